"""A broker in memory for partition tests: transactions, a changelog, fencing, and failures on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.errors import PartitionLost

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from worker.records import Message


class MemoryBroker:
    """What outlives any owner of the partition: the topics, the committed offset, the epoch of the writer."""

    def __init__(self, risk_topic: str = "risk") -> None:
        self.risk_topic = risk_topic
        self.messages: list[Message] = []
        self.committed: int | None = None
        self.commits: list[int] = []
        self.writers: list[int] = []
        """The epoch of who wrote each message."""
        self.epoch = 0
        self.fail_next: int = 0
        self.refused: set[str] = set()
        """Topics that nobody may write to."""
        self.lose_answer = False
        self.lose_commits = 0
        """So many releases die between their messages and the commit, as only those without transactions can."""

    def on(self, topic: str) -> list[Message]:
        """Return what a read_committed reader sees on a topic."""
        return [message for message in self.messages if message.topic == topic]


class MemoryOutlet:
    """One owner's way out; fenced as soon as another one opens."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker
        self._epoch: int | None = None
        self.closed = False

    async def open(self) -> int | None:
        """Fence the former owner."""
        self._broker.epoch += 1
        self._epoch = self._broker.epoch
        return self._broker.committed

    async def changelog(self) -> AsyncGenerator[tuple[bytes, bytes | None], None]:
        """Yield what was released to the risk topic."""
        for message in self._broker.on(self._broker.risk_topic):
            assert message.key is not None
            yield message.key, message.value

    async def release(self, messages: Sequence[Message], next_offset: int) -> None:
        """All or nothing."""
        broker = self._broker
        if self._epoch != broker.epoch:
            raise PartitionLost("fenced")
        if broker.fail_next:
            broker.fail_next -= 1
            raise PartitionLost("the broker is away")
        if broker.refused & {message.topic for message in messages}:
            raise PartitionLost("refused")
        broker.messages.extend(messages)
        broker.writers.extend([self._epoch] * len(messages))
        if broker.lose_commits:
            broker.lose_commits -= 1
            raise PartitionLost("died before the commit")
        broker.committed = next_offset
        broker.commits.append(next_offset)
        if broker.lose_answer:
            broker.lose_answer = False
            raise PartitionLost("the answer got lost")

    async def close(self) -> None:
        """Note that it was closed."""
        self.closed = True

"""A worker with faults at steps of taking a partition or of a release: ``python -m support.failing STEP WHAT …``.

Each step is reached in its turn, and what is named with it happens once. KILL is what a power cut does; STOP, what a
node does that freezes, until SIGCONT; the others are what a client meets: nothing comes any more, or an error.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import deque
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import structlog
from aiokafka.errors import KafkaConnectionError, ProducerFenced, TopicAuthorizationFailedError

from worker import app, logs
from worker.kafka.outlets import _lost_after
from worker.loaded import Loaded
from worker.partition.memory import CHECKPOINT
from worker.settings.load import load
from worker.settings.tree import Log

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence

    from worker.partition.life import Partition
    from worker.records import Message
    from worker.settings.tree import Settings, Topics

log = structlog.get_logger()
TAKING = (
    "taking: not fenced",
    "taking: fenced",
    "taking: offset read",
    "taking: restoring",
    "taking: restored",
    "taking: begun",
    "taking: checkpoint sent",
    "taking: offset sent",
    "taking: commit in flight",
    "taking: committed",
)
"""A new owner's way up to the end of its first release, which says that it is at work."""
RELEASING = (
    "begun",
    "assessment sent",
    "dead letter sent",
    "escalation sent",
    "snapshot sent",
    "checkpoint sent",
    "offset sent",
    "commit in flight",
    "committed",
)
"""A release of results. Each kind of record is acknowledged by the broker when the process ends; ``checkpoint sent`` is
also the last step before the offset, ``offset sent`` the last one before the commit."""
ASIDE = "neither: "
"""A later release without results, which only says what is tried next, has no steps to fail at."""
ERRORS: Mapping[str, type[BaseException]] = {
    "FENCED": ProducerFenced,
    "REFUSED": TopicAuthorizationFailedError,
    "LOST": KafkaConnectionError,
    "CANCELLED": asyncio.CancelledError,
}
"""What a client meets: a new owner, a failed send, a lost broker, a future of aiokafka's that ends cancelled."""
HANG = "HANG"
"""An answer that never comes."""
TURNS = 5
"""Of the event loop: a commit is on its way then, and hardly answered."""


class Failpoints:
    """Lets something happen at each of some steps, one after the other."""

    def __init__(self, plan: Iterable[tuple[str, str]]) -> None:
        """``plan`` are steps, each with KILL or STOP or one of ``ERRORS``."""
        self._plan = deque(plan)
        self.delivered = True
        """Whether results have left since the last fault of a release."""
        for step, what in self._plan:
            assert step in TAKING + RELEASING, f"no step is called {step!r}"
            assert what in (*ERRORS, HANG, "KILL", "STOP"), f"nothing is called {what!r}"

    def at(self, step: str) -> bool:
        """Tell whether this is the next step of the plan; between two faults of a release results leave."""
        return bool(self._plan) and self._plan[0][0] == step and (self.delivered or step not in RELEASING)

    async def reach(self, step: str) -> None:
        """Do what the plan says here, if it does."""
        if not self.at(step):
            return
        _, what = self._plan.popleft()
        if step in RELEASING:
            self.delivered = step in {"commit in flight", "committed"}  # the broker has them, or is about to
        log.info("failpoint", step=step, what=what)
        if what in ("KILL", "STOP"):
            os.kill(os.getpid(), signal.Signals[f"SIG{what}"])
        elif what == HANG:
            await asyncio.Event().wait()
        else:
            raise ERRORS[what]


class FailingProducer:
    """The real producer but for its failpoint."""

    def __init__(self, producer: Any, points: Failpoints, topics: Topics) -> None:
        self.real = producer
        self.phase = "taking: "
        self._points = points
        self.kinds = {
            topics.escalations: "escalation",
            topics.dead_letters: "dead letter",
            topics.assessments: "assessment",
        }

    async def begin_transaction(self) -> None:
        await self.real.begin_transaction()
        await self._reach("begun")

    async def send(self, topic: str, value: bytes | None, *, key: bytes | None, **more: Any) -> asyncio.Future[Any]:
        sent: asyncio.Future[Any] = await self.real.send(topic, value, key=key, **more)
        step = f"{self.kinds.get(topic) or ('checkpoint' if key == CHECKPOINT else 'snapshot')} sent"
        if self._points.at(self.phase + step):
            await asyncio.wait({sent})
        await self._reach(step)
        return sent

    async def send_offsets_to_transaction(self, offsets: Any, group: str) -> None:
        await self.real.send_offsets_to_transaction(offsets, group)
        await self._reach("offset sent")

    async def commit_transaction(self) -> None:
        committing = asyncio.ensure_future(self.real.commit_transaction())
        if self._points.at(f"{self.phase}commit in flight"):
            for _ in range(TURNS):
                await asyncio.sleep(0)
        await self._reach("commit in flight")
        await committing
        await self._reach("committed")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    async def _reach(self, step: str) -> None:
        await self._points.reach(self.phase + step)


class FailingMember:
    """The group's consumer but for its failpoint."""

    def __init__(self, member: Any, points: Failpoints) -> None:
        self._real = member
        self._points = points

    async def committed(self, partition: Any) -> int | None:
        await self._points.reach("taking: fenced")
        committed: int | None = await self._real.committed(partition)
        await self._points.reach("taking: offset read")
        return committed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class FailingOutlet:
    """The real outlet but for its failpoint."""

    def __init__(self, outlet: Any, points: Failpoints, topics: Topics) -> None:
        self._real = outlet
        self._points = points
        self._topics = topics
        outlet._member = FailingMember(outlet._member, points)

    async def open(self) -> int | None:
        await self._reach("taking: not fenced")
        committed: int | None = await self._real.open()
        self._real._producer = FailingProducer(self._real._producer, self._points, self._topics)
        return committed

    async def changelog(self) -> AsyncGenerator[tuple[bytes, bytes | None], None]:
        async with aclosing(self._real.changelog()) as records:
            async for record in records:
                await self._reach("taking: restoring")
                yield record
        await self._reach("taking: restored")

    async def _reach(self, step: str) -> None:
        async with _lost_after(self._real._kafka.send_deadline_s, step):  # as all around it
            await self._points.reach(step)

    async def release(self, messages: Sequence[Message], next_offset: int) -> None:
        producer = self._real._producer
        if any(message.topic in producer.kinds for message in messages):
            producer.phase = ""
        await self._real.release(messages, next_offset)
        self._points.delivered |= producer.phase == ""
        producer.phase = ASIDE

    async def close(self) -> None:
        if isinstance(self._real._producer, FailingProducer):
            self._real._producer = self._real._producer.real
        await self._real.close()


class FailingWorker(app.Worker):
    """The real worker but for its partitions' way out."""

    def __init__(self, settings: Settings, points: Failpoints) -> None:
        super().__init__(settings, Loaded(settings))
        self._points = points

    def _partition(self, *args: Any) -> Partition:
        partition = super()._partition(*args)
        partition._outlet = FailingOutlet(partition._outlet, self._points, self._settings.topics)
        return partition


async def main(plan: list[tuple[str, str]]) -> None:
    """Run until SIGTERM."""
    settings = load(flags={}, environ=os.environ, config=None)
    logs.configure(Log(format="json"))
    worker = FailingWorker(settings, Failpoints(plan))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
    await worker.run()


if __name__ == "__main__":
    asyncio.run(main(list(zip(sys.argv[1::2], sys.argv[2::2], strict=True))))

"""What a partition remembers: its streams (``worker.streams.store``), and which offsets are done; on the risk topic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from worker.errors import Moved, Stopped
from worker.partition.agreement import agree
from worker.partition.clock import PartitionClock
from worker.partition.suspects import Mark
from worker.records import Message
from worker.settings.tree import Streams
from worker.streams.store import Store

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import datetime

    from worker.conclude import Conclusion
    from worker.partition.agreement import Agreement
    from worker.records import LogRange
    from worker.streams.state import StreamState
    from worker.streams.store import Census, Silent

CHECKPOINT = b"\xffcheckpoint"
MOVING = b"\xffmoving"
"""Stands on every partition while ``framewatch state move`` is at work."""
BEGINNING = b"\xffbeginning"
"""Written once, before all else of a partition's state: what cuts the changelog from its front takes it first."""
CUT = (
    "the beginning of its state is missing: somebody or a cleanup.policy deleted records of the risk topic, and with "
    "them what was known of some streams"
)


class Checkpoint(Struct, frozen=True, kw_only=True):
    """Through where a release went: all below ``next_offset`` is done, and so are the offsets in ``done`` above it."""

    next_offset: int
    done: tuple[int, ...] = ()
    before: int | None = None
    """The committed offset that this release went out from."""
    mark: Mark | None = None
    """What it says of its owner; None where an older version wrote it."""
    begun: bool = False
    """Whether ``BEGINNING`` is on the topic; an older version wrote none."""


def read_checkpoint(record: bytes | None) -> Checkpoint | None:
    """Return what a checkpoint's record says; None where there is none.

    Raises:
        Stopped: It is damaged.
    """
    try:
        return msgspec.msgpack.decode(record, type=Checkpoint) if record else None
    except msgspec.DecodeError as error:
        raise Stopped("its checkpoint is damaged") from error


class Memory:
    """One partition's memory; changed by one event at a time."""

    def __init__(
        self,
        *,
        topic: str,
        partition: int,
        on_rewind: Literal["stop", "reprocess", "keep"],
        limits: Streams | None = None,
    ) -> None:
        """``topic`` is the risk topic; ``on_rewind`` says what to do where somebody moved the committed offset.

        ``limits`` says how many streams are remembered, and for how long.
        """
        self._topic = topic
        self._partition = partition
        self._on_rewind = on_rewind
        self._store = Store(limits or Streams())
        self._clock = PartitionClock()
        self._checkpoint_record: bytes | None = None
        self._checkpoint: Checkpoint | None = None
        self._begun = False
        self._moving = False
        self._restored_done: frozenset[int] = frozenset()
        self._before: int | None = None
        self._done: set[int] = set()

    # --- restoring ---

    def learn(self, key: bytes, value: bytes | None) -> None:
        """Take one record of the changelog in."""
        if key == CHECKPOINT:
            self._checkpoint_record = value
        elif key == MOVING:
            self._moving = bool(value)
        elif key == BEGINNING:
            self._begun = bool(value)
        else:
            self._store.learn(key, value)

    def agree(self, committed: int | None, log: LogRange) -> Agreement:
        """Return where to go on, once state, committed offset and log agree or an operator has said what holds.

        Raises:
            Moved: They disagree, and ``on_rewind`` is ``stop``.
        """
        if self._moving:
            raise Stopped(
                f"partition {self._partition}: its streams are being moved to other partitions; when that was cut off, "
                "framewatch state move --yes goes on with it"
            )
        damage = self._settle()
        # Until a commit has succeeded, it is this offset that the next owner finds.
        self._before = committed
        agreement = agree(self._checkpoint, committed, log)
        if agreement.moved is None:
            agreement = replace(agreement, moved=damage or self._cut())
        if agreement.moved is not None and self._on_rewind == "stop":
            raise Moved(
                f"partition {self._partition}: {agreement.moved}. Set intake.on_rewind to reprocess (forget the "
                "streams' state) or keep (go on with it)"
            )
        if agreement.moved is not None and self._on_rewind == "reprocess":
            self._store.forget_all()
        self._restored_done = frozenset(agreement.done)
        self._done = set(agreement.done)
        return agreement

    def _settle(self) -> str | None:
        """Return what is damaged, once all is forgotten as an operator has said."""
        try:
            self._checkpoint = read_checkpoint(self._checkpoint_record)
            self._clock = PartitionClock(self._store.settle())
        except Stopped as damage:
            if self._on_rewind != "reprocess":
                raise Moved(
                    f"partition {self._partition}: {damage}. Set intake.on_rewind to reprocess to forget its streams"
                ) from damage
            self._store.forget_all()
            return str(damage)
        return None

    def _cut(self) -> str | None:
        """Return what is missing where the changelog lost its beginning."""
        return CUT if self._checkpoint is not None and self._checkpoint.begun and not self._begun else None

    def is_done(self, offset: int) -> bool:
        """Tell whether an offset at or above the committed one has had its outcome before a restart."""
        return offset in self._restored_done

    def with_incidents(self) -> Iterator[StreamState]:
        """Yield the restored streams that have an open incident."""
        return self._store.with_incidents()

    # --- working ---

    def state(self, stream_id: str) -> StreamState:
        """Return what is remembered of a stream; a fresh memory where nothing is."""
        return self._store.get(stream_id)

    def initialisation(self, stream_id: str) -> bytes | None:
        """Return the stream's CMAF initialisation segment from its last init event."""
        return self._store.initialisation(stream_id)

    def hear(self, timestamp_ms: int, now: datetime) -> None:
        """Note a consumed record's timestamp (milliseconds since 1970) and the wall clock: they tell who is idle."""
        self._clock.hear(timestamp_ms, now)

    def apply(self, conclusion: Conclusion, offset: int) -> None:
        """Remember what an event led to, and that its offset is done."""
        self._done.add(offset)
        state = conclusion.state
        if conclusion.initialisation is not None:
            stream_id, data = conclusion.initialisation
            self._store.put_initialisation(stream_id, data)
            state = self._store.get(stream_id)
        if state is not None:
            self._store.put(replace(state, heard_ms=self._clock.now_ms))

    # --- letting go ---

    def silent(self, busy: Collection[str]) -> Iterator[Silent]:
        """Forget what has ended, and streams that nothing came from for long, before ``take_changes``.

        Yields the silent ones whose open incident has to be told first: each is handed to ``close`` before the next is
        asked for. ``busy`` are the streams with work waiting; they are left alone.
        """
        self._store.pack(busy)
        yield from self._store.silent(self._clock.now_ms, busy)
        self._store.evict(busy)

    def close(self, state: StreamState) -> None:
        """Take back a silent stream whose incident has been told of."""
        self._store.close(state)

    def census(self) -> Census:
        """Return how many streams are remembered, and how many were let go since the last census."""
        return self._store.census()

    def take_changes(self, next_offset: int, mark: Mark | None = None) -> list[Message]:
        """Return the records that keep everything changed since the last call, the checkpoint last.

        ``mark`` is what the checkpoint says of its owner.
        """
        self._done = {offset for offset in self._done if offset >= next_offset}
        checkpoint = Checkpoint(
            next_offset=next_offset, done=tuple(sorted(self._done)), before=self._before, mark=mark, begun=True
        )
        self._before = next_offset
        self._store.pack(())
        beginning = [] if self._begun else [(BEGINNING, b"\x01")]
        self._begun = True
        records = [*beginning, *self._store.take(), (CHECKPOINT, msgspec.msgpack.encode(checkpoint))]
        return [Message(topic=self._topic, partition=self._partition, key=k, value=v) for k, v in records]

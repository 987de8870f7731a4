"""What a partition remembers: its streams, their initialisations, and which offsets are done; kept on the risk topic.

Keys on the topic: a stream's id is its snapshot. The other keys are no UTF-8, so that no stream id is one of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeVar

import msgspec
from msgspec import Struct

from worker.errors import Stopped
from worker.records import Message
from worker.streams import state as streams

if TYPE_CHECKING:
    from worker.conclude import Conclusion
    from worker.streams.state import StreamState

V = TypeVar("V")

CHECKPOINT = b"\xffcheckpoint"
INITIALISATION = b"\xffinit\xff"


class Checkpoint(Struct, frozen=True, kw_only=True):
    """Through where a release went: all below ``next_offset`` is done, and so are the offsets in ``done`` above it."""

    next_offset: int
    done: tuple[int, ...] = ()
    before: int | None = None
    """The committed offset that this release went out from."""


class Memory:
    """One partition's memory; changed by one event at a time."""

    def __init__(self, *, topic: str, partition: int, on_rewind: Literal["stop", "reprocess", "keep"]) -> None:
        """``topic`` is the risk topic; ``on_rewind`` says what to do where somebody moved the committed offset."""
        self._topic = topic
        self._partition = partition
        self._on_rewind = on_rewind
        self._states: dict[str, StreamState] = {}
        self._initialisations: dict[str, bytes] = {}
        self._changed: set[str] = set()
        self._changed_initialisations: set[str] = set()
        self._forgotten: set[bytes] = set()
        self._checkpoint: Checkpoint | None = None
        self._restored_done: frozenset[int] = frozenset()
        self._before: int | None = None
        self._done: set[int] = set()

    # --- restoring ---

    def learn(self, key: bytes, value: bytes | None) -> None:
        """Take one record of the changelog in."""
        if key == CHECKPOINT:
            self._checkpoint = msgspec.msgpack.decode(value, type=Checkpoint) if value else None
        elif key.startswith(INITIALISATION):
            _set(self._initialisations, key.removeprefix(INITIALISATION).decode(), value)
        else:
            _set(self._states, key.decode(), streams.restore(value) if value else None)

    def agree(self, committed: int | None) -> int | None:
        """Return the offset to work from, once memory and committed offset agree; None where there is neither.

        Without transactions a crash can come between the checkpoint and the commit: then the committed offset is that
        of the release before, and the checkpoint is right. Any other difference was made by somebody: it is done as
        ``on_rewind`` says.
        """
        checkpoint = self._checkpoint
        # Until a commit has succeeded, it is this offset that the next owner finds.
        self._before = committed
        if checkpoint is None and committed is None:
            return None
        if checkpoint is not None and committed in (checkpoint.next_offset, checkpoint.before):
            self._restored_done = frozenset(checkpoint.done)
            self._done = set(checkpoint.done)
            return checkpoint.next_offset
        if self._on_rewind == "stop":
            raise Stopped(self._disagreement(committed))
        if self._on_rewind == "reprocess":
            self._forget_all()
        return committed

    def _disagreement(self, committed: int | None) -> str:
        kept = self._checkpoint.next_offset if self._checkpoint else None
        return (
            f"partition {self._partition}: the group's committed offset is {committed}, the state on topic "
            f"{self._topic} is of offset {kept}: somebody moved one of them. Set "
            "intake.on_rewind to reprocess (forget the streams' state) or keep (go on with it)"
        )

    def is_done(self, offset: int) -> bool:
        """Tell whether an offset at or above the committed one has had its outcome before a restart."""
        return offset in self._restored_done

    # --- working ---

    def state(self, stream_id: str) -> StreamState:
        """Return what is remembered of a stream; a fresh memory where nothing is."""
        return self._states.get(stream_id) or streams.StreamState(stream_id=stream_id)

    def initialisation(self, stream_id: str) -> bytes | None:
        """Return the stream's CMAF initialisation segment from its last init event."""
        return self._initialisations.get(stream_id)

    def apply(self, conclusion: Conclusion, offset: int) -> None:
        """Remember what an event led to, and that its offset is done."""
        self._done.add(offset)
        if conclusion.state is not None:
            self._states[conclusion.state.stream_id] = conclusion.state
            self._changed.add(conclusion.state.stream_id)
        if conclusion.initialisation is not None:
            stream_id, data = conclusion.initialisation
            self._initialisations[stream_id] = data
            self._changed_initialisations.add(stream_id)

    def take_changes(self, next_offset: int) -> list[Message]:
        """Return the records that keep everything changed since the last call, the checkpoint last."""
        self._done = {offset for offset in self._done if offset >= next_offset}
        checkpoint = Checkpoint(next_offset=next_offset, done=tuple(sorted(self._done)), before=self._before)
        self._before = next_offset
        records: list[tuple[bytes, bytes | None]] = [(key, None) for key in self._forgotten]
        records += [(s.encode(), streams.snapshot(self._states[s])) for s in sorted(self._changed)]
        records += [
            (INITIALISATION + s.encode(), self._initialisations[s]) for s in sorted(self._changed_initialisations)
        ]
        records.append((CHECKPOINT, msgspec.msgpack.encode(checkpoint)))
        for changed in (self._forgotten, self._changed, self._changed_initialisations):
            changed.clear()
        return [Message(topic=self._topic, partition=self._partition, key=k, value=v) for k, v in records]

    def _forget_all(self) -> None:
        self._forgotten = {s.encode() for s in self._states} | {
            INITIALISATION + s.encode() for s in self._initialisations
        }
        self._states.clear()
        self._initialisations.clear()


def _set(into: dict[str, V], key: str, value: V | None) -> None:
    if value is None:
        into.pop(key, None)
    else:
        into[key] = value

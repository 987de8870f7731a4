"""Moves the streams' state after the segments topic has grown: which stream belongs where, and what to write. Pure.

More partitions give keys other places: a stream's segments come to a partition that knows nothing of it. So the state
goes where the publishers' partitioner sends the stream now: written where it belongs, then forgotten where it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from worker.errors import Stopped
from worker.kafka.partitioners import HASHES, Partitioner, place
from worker.partition.agreement import agree
from worker.partition.memory import CHECKPOINT, MOVING, Checkpoint, read_checkpoint
from worker.settings.tree import Streams
from worker.streams.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from worker.partition.agreement import Agreement
    from worker.records import LogRange
    from worker.streams.state import StreamState

ALL = Streams(max=1_000_000)
"""Nobody is let go by moving."""


class Kept(Struct, kw_only=True):
    """One partition of the risk topic as it was read."""

    number: int
    store: Store
    checkpoint: Checkpoint | None
    clock_ms: float
    """Where the partition's own clock stands (``worker.partition.clock``)."""
    marked: bool = False
    """Whether a move was begun here and not ended."""

    @classmethod
    def read(cls, number: int, records: Iterable[tuple[bytes, bytes | None]]) -> Kept:
        """Take a partition's records in, oldest first. Raises Stopped: one is damaged, or a newer one's."""
        store, checkpoint, marked = Store(ALL), None, False
        for key, value in records:
            if key == CHECKPOINT:
                checkpoint = read_checkpoint(value)
            elif key == MOVING:
                marked = bool(value)
            else:
                store.learn(key, value)
        return cls(number=number, store=store, checkpoint=checkpoint, clock_ms=store.settle(), marked=marked)

    def agreed(self, committed: int | None, log: LogRange) -> Agreement:
        """Return from where the partition's next owner goes on. Raises Stopped: somebody moved the offset."""
        agreement = agree(self.checkpoint, committed, log)
        if agreement.moved is not None:
            raise Stopped(
                f"partition {self.number}: {agreement.moved}. Let a worker settle that first (intake.on_rewind)"
            )
        return agreement


class Move(Struct, frozen=True, kw_only=True):
    """One stream's state, from one partition to another."""

    stream_id: str
    source: int
    target: int
    forget: bool
    """Whether the source forgets it; not while segments of the stream wait there."""


class Plan(Struct, frozen=True, kw_only=True):
    """What is to be done."""

    partitioner: Partitioner
    streams: int
    moves: tuple[Move, ...]
    drops: tuple[tuple[int, str], ...]
    """Partition and stream: state that stands where it belongs as well, and is forgotten here."""

    @property
    def staying(self) -> int:
        """Streams of which a copy stays behind, since segments of them wait where they were."""
        return sum(not move.forget for move in self.moves)


def plan(
    kept: Sequence[Kept], partitions: int, waiting: Mapping[int, frozenset[str]], partitioner: Partitioner | None = None
) -> Plan:
    """Return what has to be moved for ``partitions`` partitions of segments.

    Args:
        kept: Every partition of the risk topic.
        partitions: How many partitions the segments topic has now.
        waiting: By partition, the streams of which it has segments that nobody has worked.
        partitioner: The publishers'; None tells it from where the streams are.

    Raises:
        Stopped: No partitioner that is known would have put the streams where they are.
    """
    homes = _homes(kept)
    by = partitioner or _told_by(homes, partitions)
    moves: list[Move] = []
    drops: list[tuple[int, str]] = []
    for stream_id, found in sorted(homes.items()):
        target = place(stream_id, partitions, by)
        best = max(found, key=lambda each: _weight(each.store.get(stream_id), at_home=each.number == target))
        others = [each.number for each in found if each.number not in (target, best.number)]
        if best.number != target:
            forget = stream_id not in waiting.get(best.number, frozenset())
            moves.append(Move(stream_id=stream_id, source=best.number, target=target, forget=forget))
        drops += [(number, stream_id) for number in others if stream_id not in waiting.get(number, frozenset())]
    return Plan(partitioner=by, streams=len(homes), moves=tuple(moves), drops=tuple(drops))


def _homes(kept: Sequence[Kept]) -> dict[str, list[Kept]]:
    homes: dict[str, list[Kept]] = {}
    for each in kept:
        for stream_id in each.store.ids():
            homes.setdefault(stream_id, []).append(each)
    return homes


def _weight(state: StreamState, *, at_home: bool) -> tuple[bool, float, bool, int]:
    """Return what decides between two memories of one stream: what was found is not forgotten for what is new."""
    return state.risk.incident is not None, state.risk.value, at_home, state.last_appended_ms or 0


def _told_by(homes: Mapping[str, Sequence[Kept]], partitions: int) -> Partitioner:
    """Return the partitioner that explains where all streams are: by the present number, or by one before."""
    for partitioner in HASHES:
        for before in range(partitions, 0, -1):
            if _explains(homes, partitions, before, partitioner):
                return partitioner
    raise Stopped(
        f"neither {' nor '.join(HASHES)} puts the streams where they are: the publishers choose partitions in another "
        "way. Say with --partitioner by which of these they choose from now on"
    )


def _explains(homes: Mapping[str, Sequence[Kept]], partitions: int, before: int, by: Partitioner) -> bool:
    return all(
        {each.number for each in found} <= {place(stream_id, before, by), place(stream_id, partitions, by)}
        for stream_id, found in homes.items()
    )


# --- writing it ---


def arrivals(plan: Plan, kept: Sequence[Kept]) -> Iterator[tuple[int, list[tuple[bytes, bytes | None]]]]:
    """Yield for each partition that gets streams the records that keep them there. Changes ``kept``."""
    by_number = {each.number: each for each in kept}
    for number, target in by_number.items():
        coming = [move for move in plan.moves if move.target == number]
        for move in coming:
            _adopt(target, by_number[move.source], move.stream_id)
        if coming:
            target.store.pack(())
            yield number, target.store.take()


def departures(plan: Plan, kept: Sequence[Kept]) -> Iterator[tuple[int, list[tuple[bytes, bytes | None]]]]:
    """Yield for each partition that loses streams the records that forget them; after all ``arrivals``."""
    gone = [(move.source, move.stream_id) for move in plan.moves if move.forget] + list(plan.drops)
    for each in kept:
        leaving = [stream_id for number, stream_id in gone if number == each.number]
        for stream_id in leaving:
            each.store.forget(stream_id)
        if leaving:
            yield each.number, each.store.take()


def _adopt(target: Kept, source: Kept, stream_id: str) -> None:
    state = source.store.get(stream_id)
    initialisation = source.store.initialisation(stream_id)
    if initialisation is not None:
        target.store.put_initialisation(stream_id, initialisation)
    age_ms = source.clock_ms - state.heard_ms
    init = target.store.get(stream_id).init if initialisation is not None else None
    target.store.put(replace(elsewhere(state), heard_ms=target.clock_ms - age_ms, init=init))


def elsewhere(state: StreamState) -> StreamState:
    """Return a state without what is true on its partition only: offsets.

    A stream without sequences is numbered by offsets: its count begins again, and its next segment is no late one.
    """
    seen = state.seen
    if not seen.by_sequence:
        seen = replace(seen, newest=None, former=None, behind=None, behind_run=0)
    return replace(state, through_offset=None, seen=seen)


def checkpoint(agreement: Agreement, committed: int | None) -> tuple[bytes, bytes]:
    """Return the checkpoint record that agrees with an offset committed beside it."""
    record = Checkpoint(next_offset=agreement.offset, done=agreement.done, before=committed, mark=agreement.left)
    return CHECKPOINT, msgspec.msgpack.encode(record)

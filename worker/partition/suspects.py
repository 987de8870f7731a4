"""Which event killed the last owner: found by working one at a time what may have been in work when it died. Pure.

Only a death while an event was alone counts against it: whoever dies of a power cut, an eviction or a ``kill -9`` with
hundreds of events in work has said nothing about any of them. After such a death a partition's suspects go one at a
time, beside other partitions' events, which costs little; the one that is in work at the next death is accused, and is
tried from then on with nothing else in work in the whole process.
"""

from __future__ import annotations

from msgspec import Struct

from worker.errors import SegmentError

AHEAD = 128
"""So far beyond what is consumed the recorded horizon lies: events that come until the next release need not wait."""


class Mark(Struct, frozen=True, array_like=True, kw_only=True):
    """What a checkpoint says of its owner; a newer one's meaning must go to the end, with a default."""

    owner: str
    """The process, by a name that no other one ever has."""
    clean: bool
    """The owner has handed the partition over: nothing was in work any more."""
    horizon: int
    """No event at this offset or above was begun."""
    alone_below: int = 0
    """Events below are suspects: one of them may have killed an owner before this one."""
    deaths: tuple[tuple[int, int], ...] = ()
    """Offset of an accused event, and how many owners died while it was alone in work in the whole process."""
    trying: int | None = None
    """Offset of the suspect that is alone in work now."""


class Suspects:
    """The suspects of one partition under one owner, and what may be begun."""

    def __init__(self, before: Mark | None, *, owner: str, end: int) -> None:
        """``before`` is what the last owner left; ``end`` the log's end: nobody can have begun what was not there.

        An owner that takes a partition again after a broker's fault is alive: nothing speaks against its events.
        """
        self._owner = owner
        self._horizon = 0
        self._alone_below = 0 if before is None else before.alone_below
        self._deaths: dict[int, int] = {} if before is None else dict(before.deaths)
        self._trying: int | None = None
        self._pending: dict[int, str] = {}
        self._excused: set[str] = set()
        if before is not None and not before.clean and before.owner != owner:
            self._died(before, end)

    def _died(self, before: Mark, end: int) -> None:
        self._alone_below = max(self._alone_below, min(before.horizon, end))
        if before.trying is not None:
            # The first one was perhaps another partition's doing, whose events were in work beside it: it accuses.
            accused = before.trying in self._deaths
            self._deaths[before.trying] = self._deaths[before.trying] + 1 if accused else 0

    @property
    def alone_below(self) -> int:
        """Events below are suspects."""
        return self._alone_below

    # --- what may be begun ---

    def may_begin(self, offset: int) -> bool:
        """Tell whether the event may be begun: the broker knows that it may be, and no suspect is still to be tried."""
        return offset < self._horizon and (offset < self._alone_below or not self._pending)

    def is_short(self, next_offset: int) -> bool:
        """Tell whether the recorded horizon is so near that a release should move it."""
        return next_offset + AHEAD // 2 > self._horizon

    # --- trying them ---

    def judge(self, offset: int, max_attempts: int) -> None:
        """Raise SegmentError for an event that so many owners died of."""
        if (deaths := self._deaths.get(offset, 0)) >= max_attempts:
            reason = f"the worker died {deaths} times while this was all that it had in work"
            raise SegmentError("decode", "crashed", reason, attempts=deaths)

    def begin(self, offset: int, stream_id: str) -> None:
        """Note an event that is begun; it is a suspect until it has been tried alone."""
        if offset < self._alone_below and stream_id not in self._excused:
            self._pending[offset] = stream_id

    def is_suspect(self, offset: int) -> bool:
        """Tell whether an event has to be tried alone."""
        return offset in self._pending

    def is_accused(self, offset: int) -> bool:
        """Tell whether an event has to be tried with nothing else in work in the whole process."""
        return offset in self._deaths

    def attempt(self, offset: int) -> None:
        """Note that a suspect is about to be tried: to be recorded before it is."""
        self._trying = offset

    def survived(self, offset: int) -> None:
        """Clear a suspect that came through."""
        self._trying = None
        self._pending.pop(offset, None)
        self._deaths.pop(offset, None)

    def excuse(self, offset: int) -> None:
        """Let a suspect's stream go on beside others: it waits for something, perhaps for hours, and so would all.

        If it kills after that, it will be among the next owner's suspects.
        """
        self._trying = None
        stream_id = self._pending[offset]
        self._excused.add(stream_id)
        self._pending = {o: s for o, s in self._pending.items() if s != stream_id}

    # --- what is recorded ---

    def mark(self, *, first_unfinished: int, next_offset: int, clean: bool) -> Mark:
        """Return what the next checkpoint says: of a clean end that nothing is tried any more."""
        return Mark(
            owner=self._owner,
            clean=clean,
            horizon=next_offset + AHEAD if self.is_short(next_offset) else self._horizon,
            alone_below=self._alone_below if self._alone_below > first_unfinished else 0,
            deaths=tuple(sorted((o, n) for o, n in self._deaths.items() if o >= first_unfinished)),
            trying=None if clean else self._trying,
        )

    def recorded(self, mark: Mark) -> None:
        """Note that the broker has it."""
        self._horizon = mark.horizon

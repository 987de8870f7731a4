"""A stream's own clock, which no publisher can bend. Pure.

Two times are kept apart. The *media time* is told to people: the publisher's where it is plausible, else counted. The
*own clock* is what risk decays by: a fresh segment moves it on by its measured duration, at most by what is usual for
its stream, and by that for each segment missing before it. Nothing moves it back. A jump, a step back or anything that
was there before adds nothing beyond the segment's own time, or nothing at all.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from worker.records import MediaTimeFrom, Placed

if TYPE_CHECKING:
    from worker.records import Assessment
    from worker.streams.identity import Judged

LONGEST_S = 60.0
"""No segment counts for more, whatever is usual."""
UNKNOWN_S = 10.0
"""Nor for more than this while nothing is known of its stream."""
SLACK = 1.5
"""Segments of one stream differ: up to this much of the usual duration is believed."""
DURATIONS = 9
"""The usual duration is the median of so many; half of them must lie to move it."""
LOOK_S = 10.0
"""One look vouches for at most so much of a segment."""
MOST_MISSING = 64
"""More missing segments than this are a jump of the numbers: a discontinuity, counted as this many."""
LONGEST_PAUSE_S = 86_400.0
"""A gap in the sequence that would be longer than this is no gap but another numbering."""
LATEST_S = 10 * 366 * 86_400.0
"""A publisher's media time above ten years is not plausible."""
FRAME_S = 0.02
"""Durations measured from packets are right to about a frame."""
SAME_START_S = 0.001
"""Containers that each begin at the same time count within the segment, not within the stream."""


class Clock(Struct, frozen=True, array_like=True):
    """Where a stream stands in time after its newest segment."""

    now_s: float = 0.0
    """The stream's own clock."""
    began_s: float = 0.0
    """Where on it the last segment's first frame is; a late one's is behind the others'."""
    media_time_s: float | None = None
    """Of the newest segment's first frame, as told to people; None before the first segment."""
    media_time_from: MediaTimeFrom = "counted"
    duration_s: float | None = None
    """Of the newest segment, as told to people."""
    start_s: float | None = None
    """Container time of the last segment that had one, and beside it that segment's media time."""
    start_media_time_s: float = 0.0
    durations_ms: tuple[int, ...] = ()
    """The last measured durations."""


class Step(Struct, frozen=True):
    """One segment placed on its stream's clock."""

    clock: Clock
    placed: Placed
    own_s: float
    """What the segment itself counts for, whatever its standing."""
    seen_s: float
    """How much of that was looked at."""


def usual_s(clock: Clock) -> float | None:
    """Return the median of the last measured durations in seconds; None before the first."""
    known = sorted(clock.durations_ms)
    return known[len(known) // 2] / 1000 if known else None


def place(clock: Clock, assessment: Assessment, judged: Judged, *, resumed: bool = False) -> Step:
    """Return the clock after a segment, and the segment's place on it.

    ``resumed`` is true for the first segment after the stream's end.
    """
    usual = usual_s(clock)
    own_s = _own_s(assessment, usual)
    seen_s = _seen_s(assessment, own_s)
    fresh = judged.standing == "fresh"
    missing = max((judged.step or 1) - 1, 0) if fresh else 0
    jump = missing > MOST_MISSING
    gap_s = min(missing, MOST_MISSING) * (usual or 0.0)
    counted_s, off_course = _counted(clock, assessment, judged)
    media_time_s, said_by, leap = _told(assessment, counted_s, first=clock.media_time_s is None)
    begins_anew = assessment.segment.discontinuity or resumed or jump or off_course or leap
    elapsed_s = own_s + (0.0 if jump else gap_s) if fresh else 0.0
    placed = Placed(
        assessment=assessment,
        media_time_s=media_time_s,
        media_time_from=said_by,
        elapsed_s=elapsed_s,
        watched_s=seen_s if fresh else 0.0,
        gap_s=gap_s,
        discontinuity=judged.standing == "restarted" or (fresh and begins_anew),
    )
    return Step(_moved(clock, placed, judged, own_s), placed, own_s, seen_s)


def _own_s(assessment: Assessment, usual: float | None) -> float:
    """Return what a segment counts for: its duration, at most what is usual."""
    bound_s = UNKNOWN_S if usual is None else min(LONGEST_S, SLACK * usual)
    for duration_s in (assessment.duration_s, assessment.segment.duration_s, usual):
        if _positive(duration_s):
            return min(duration_s or 0.0, bound_s)
    return 0.0


def _seen_s(assessment: Assessment, own_s: float) -> float:
    """Return how much of its own time somebody looked at. What was not measured was not watched."""
    if assessment.outcome != "assessed" or not _positive(assessment.duration_s):
        return 0.0
    return min(own_s, len(assessment.looks) * LOOK_S)


def _counted(clock: Clock, assessment: Assessment, judged: Judged) -> tuple[float, bool]:
    """Return the media time by counting, and whether the container's clock jumped.

    The container's clock is followed where it moved by what the durations let expect, else the durations are.
    """
    if clock.media_time_s is None:
        return 0.0, False
    by_durations_s = clock.media_time_s + _expected_s(clock, judged)
    if clock.start_s is None or assessment.start_s is None or not isfinite(assessment.start_s):
        return max(0.0, by_durations_s), False
    expected_s = by_durations_s - clock.start_media_time_s
    step_s = _unwrapped(assessment.start_s - clock.start_s, expected_s, assessment.wrap_s)
    if _consistent(step_s, expected_s) and not assessment.segment.discontinuity:
        return max(0.0, clock.start_media_time_s + step_s), False
    return max(0.0, by_durations_s), abs(step_s) > SAME_START_S


def _expected_s(clock: Clock, judged: Judged) -> float:
    """Return by how much the media time should have moved: a missing segment counts as the last duration."""
    last_s = clock.duration_s or 0.0
    expected_s = last_s * (1 if judged.step is None else judged.step)
    return expected_s if abs(expected_s) <= LONGEST_PAUSE_S else last_s


def _unwrapped(step_s: float, expected_s: float, wrap_s: float | None) -> float:
    """Undo the wraps of a container's clock (33 bits of 90 kHz in MPEG-TS), towards what is expected."""
    if not _positive(wrap_s) or wrap_s is None:
        return step_s
    return step_s + round((expected_s - step_s) / wrap_s) * wrap_s


def _consistent(step_s: float, expected_s: float) -> bool:
    """Return whether a step is what the durations let expect; where they are not known, whether it is one segment's."""
    return _near(step_s, expected_s) if expected_s else 0 <= step_s <= LONGEST_S


def _near(seconds: float, expected_s: float) -> bool:
    """Return whether the two are the same within half, or within a frame."""
    return abs(seconds - expected_s) <= abs(expected_s) / 2 + FRAME_S


def _told(assessment: Assessment, counted_s: float, *, first: bool) -> tuple[float, MediaTimeFrom, bool]:
    """Return the media time that people are told, whose it is, and whether the publisher's leapt."""
    said_s = assessment.segment.media_time_s
    if said_s is None or not isfinite(said_s) or not 0 <= said_s <= LATEST_S:
        return counted_s, "counted", said_s is not None
    length_s = assessment.duration_s or 0.0
    return said_s, "publisher", not first and abs(said_s - counted_s) > max(1.0, min(length_s, LONGEST_S))


def _moved(clock: Clock, placed: Placed, judged: Judged, own_s: float) -> Clock:
    """Return the clock after a segment. One behind the newest teaches only the usual duration."""
    assessment, usual = placed.assessment, usual_s(clock)
    if judged.standing == "repeat":
        return clock
    durations_ms = _learned(clock.durations_ms, assessment.duration_s)
    if judged.step is not None and judged.step <= 0:
        began_s = max(0.0, clock.now_s + (judged.step - 1) * (usual or 0.0))
        return replace(clock, began_s=began_s, durations_ms=durations_ms)
    starts = assessment.start_s is not None and isfinite(assessment.start_s)
    now_s = clock.now_s + placed.elapsed_s
    return Clock(
        now_s=now_s,
        began_s=max(clock.now_s, now_s - own_s),
        media_time_s=placed.media_time_s,
        media_time_from=placed.media_time_from,
        duration_s=_told_duration_s(assessment, usual),
        start_s=assessment.start_s if starts else clock.start_s,
        start_media_time_s=placed.media_time_s if starts else clock.start_media_time_s,
        durations_ms=durations_ms,
    )


def _learned(durations_ms: tuple[int, ...], measured_s: float | None) -> tuple[int, ...]:
    if measured_s is None or not _positive(measured_s):
        return durations_ms
    return (*durations_ms, max(1, round(min(measured_s, LONGEST_S) * 1000)))[-DURATIONS:]


def _told_duration_s(assessment: Assessment, usual: float | None) -> float | None:
    """Return the segment's duration for counting media time: the publisher's where it is plausible, else measured."""
    said_s, measured_s = assessment.segment.duration_s, assessment.duration_s
    if said_s is not None and _positive(said_s) and _near(said_s, measured_s or usual or said_s):
        return min(said_s, LONGEST_PAUSE_S)
    return min(measured_s, LONGEST_PAUSE_S) if measured_s is not None and _positive(measured_s) else usual


def _positive(seconds: float | None) -> bool:
    return seconds is not None and isfinite(seconds) and seconds > 0

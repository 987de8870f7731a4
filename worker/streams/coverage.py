"""What of a stream was watched, and what was not. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from worker.records import Coverage

if TYPE_CHECKING:
    from worker.records import Look, Placed
    from worker.streams.clock import Step
    from worker.streams.state import StreamState


class Gained(Struct, frozen=True, kw_only=True):
    """What one segment added to its stream's coverage, in seconds of media."""

    watched_s: float = 0.0
    recovered_s: float = 0.0
    """Watched late, after it had been counted as unwatched."""
    missing_s: float = 0.0
    """Unwatched: segments before this one that never came."""
    unseen_s: float = 0.0
    """Unwatched: what of this segment nobody looked at."""
    gap_s: float = 0.0
    """The run of unwatched media that it lengthened or ended."""


def cover(coverage: Coverage, gap_s: float, step: Step) -> tuple[Coverage, float]:
    """Return the coverage after a segment, and for how long in a row nothing has been watched up to now.

    A repeat adds nothing. A late segment that was looked at fills a gap: its time is watched after all, though the
    longest gap stays, for it was one when it counted.
    """
    placed = step.placed
    standing = placed.assessment.standing
    if standing == "repeat":
        return coverage, gap_s
    if standing == "late":
        return _counted(coverage, step, watched_s=(found_s := _found_s(coverage, step)), unwatched_s=-found_s), gap_s
    unseen_s = step.own_s - step.seen_s
    before_s = gap_s + placed.gap_s
    after_s = unseen_s if step.seen_s else before_s + unseen_s
    covered = _counted(
        coverage,
        step,
        watched_s=step.seen_s,
        unwatched_s=placed.gap_s + unseen_s,
        longest_gap_s=max(coverage.longest_gap_s, before_s, after_s),
    )
    return covered, after_s


def gained(before: StreamState, after: StreamState, placed: Placed) -> Gained:
    """Return what a segment added: watched less before, and so on; the sum of all is the stream's coverage."""
    watched_s = max(0.0, after.coverage.watched_s - before.coverage.watched_s)
    standing = placed.assessment.standing
    if standing == "repeat":
        return Gained()
    if standing == "late":
        return Gained(recovered_s=watched_s)
    unwatched_s = after.coverage.unwatched_s - before.coverage.unwatched_s
    return Gained(
        watched_s=watched_s,
        missing_s=placed.gap_s,
        unseen_s=max(0.0, unwatched_s - placed.gap_s),
        gap_s=max(after.gap_s, before.gap_s + placed.gap_s),
    )


def _found_s(coverage: Coverage, step: Step) -> float:
    return min(step.seen_s, coverage.unwatched_s)


def _counted(
    coverage: Coverage, step: Step, *, watched_s: float, unwatched_s: float, longest_gap_s: float | None = None
) -> Coverage:
    assessment = step.placed.assessment
    return Coverage(
        watched_s=coverage.watched_s + watched_s,
        unwatched_s=max(0.0, coverage.unwatched_s + unwatched_s),
        longest_gap_s=coverage.longest_gap_s if longest_gap_s is None else longest_gap_s,
        keyframes_seen=coverage.keyframes_seen + assessment.keyframes_seen,
        keyframes_hashed=coverage.keyframes_hashed + sum(look.hash.pdq is not None for look in assessment.looks),
        keyframes_scored=coverage.keyframes_scored + sum(scored(look) for look in assessment.looks),
    )


def scored(look: Look) -> bool:
    """Return whether a frame was scored itself."""
    return look.scores is not None and not look.near_duplicate

"""What of a stream was watched, and what was not. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.records import Coverage

if TYPE_CHECKING:
    from worker.streams.clock import Step


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
        keyframes_scored=coverage.keyframes_scored + sum(look.scores is not None for look in assessment.looks),
    )

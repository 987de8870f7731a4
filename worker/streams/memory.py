"""How a stream's memory changes with each event of it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from worker.references import EPOCH, keep, material, packed, wall
from worker.streams import clock, coverage, identity

if TYPE_CHECKING:
    from worker.records import Assessment, Placed, StreamEnd
    from worker.streams.state import StreamState

LOOSE = 4
"""So many of the newest segments to preserve are in the snapshot before they are packed with the others: what is packed
is written anew as a whole."""
WORTH_A_SECOND_TRY = frozenset({"timeout", "crashed", "out_of_memory"})
"""Failures of ours rather than of the bytes: the same bytes again are looked at, not taken for a repeat."""


def advance(state: StreamState, assessment: Assessment, *, preserve_before_s: float) -> tuple[StreamState, Placed]:
    """Return the memory after a segment, and the segment's place on the stream's clock.

    The segment is judged again here, for one that failed before its bytes were read was never judged. Risk and
    sightings stay as they were: whoever steps them puts them back.
    """
    segment = assessment.segment
    judged = identity.judge(state.seen, segment, assessment.sha256)
    if judged.standing != assessment.standing:
        assessment = replace(assessment, standing=judged.standing)
    step = clock.place(state.clock, assessment, judged, resumed=state.ended)
    covered, gap_s = coverage.cover(state.coverage, state.gap_s, step)
    after = replace(
        state,
        through_offset=segment.position.offset,
        last_appended_ms=segment.position.timestamp_ms,
        clock=step.clock,
        seen=identity.remember(state.seen, judged, segment, _known_sha256(assessment)),
        coverage=covered,
        gap_s=gap_s,
        last_look_ms=_last_look_ms(state.last_look_ms, assessment),
        shed_since_look=_shed_since_look(state.shed_since_look, assessment),
        material=_material(state, assessment),
        tenant=segment.tenant or state.tenant,
        account=segment.account or state.account,
        viewers=state.viewers if segment.viewers is None else segment.viewers,
        ended=False,
    )
    return _keep(after, step, preserve_before_s), step.placed


def ended(state: StreamState, event: StreamEnd) -> StreamState:
    """Return the memory after the end of a stream."""
    position = event.position
    return replace(state, through_offset=position.offset, last_appended_ms=position.timestamp_ms, ended=True)


def _known_sha256(assessment: Assessment) -> str | None:
    """Return the digest to remember a segment by; None where the same bytes again would deserve a look."""
    failure = assessment.failure
    ours = failure is not None and (failure.stage in {"fetch", "score"} or failure.error in WORTH_A_SECOND_TRY)
    return None if ours or assessment.outcome == "shed" else assessment.sha256


def _last_look_ms(before_ms: int | None, assessment: Assessment) -> int | None:
    if not assessment.looks or assessment.standing == "late":
        return before_ms
    at = wall(assessment.segment, assessment.looks[-1].offset_s).at
    return before_ms if at is None else round((at - EPOCH).total_seconds() * 1000)


def _shed_since_look(before: int | None, assessment: Assessment) -> int | None:
    """Count what was shed until something is looked at: what can't be decoded or was there before is no look."""
    if assessment.looks:
        return 0
    return before + 1 if before is not None and assessment.outcome == "shed" else before


def _material(state: StreamState, assessment: Assessment) -> str | None:
    """Return the key of the known material; it stays while an incident is open, so that its revisions agree."""
    before = state.material if state.risk.incident is not None else None
    if before is not None:
        return before
    matches = [match for look in assessment.looks for match in look.matches if match.list_kind != "allow"]
    nearest = min(matches, key=lambda match: match.distance, default=None)
    return None if nearest is None else material(nearest.list, nearest.entry)


def _keep(state: StreamState, step: clock.Step, preserve_before_s: float) -> StreamState:
    """Return the state with the segment among those to preserve.

    How far they reach back is measured on the stream's own clock, so that nobody can push them out by lying.
    """
    placed = step.placed
    if placed.assessment.standing == "repeat":
        return state
    since_s = max(state.recent_since_s, step.clock.now_s - preserve_before_s - step.own_s)
    tail = (*state.tail, keep(placed, began_s=step.clock.began_s))
    state = replace(state, tail=tail, recent_since_s=since_s)
    return state if len(tail) < LOOSE else replace(state, tail=(), older=packed(state.recent))

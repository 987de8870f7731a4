"""An incident in plain sentences: which rule, which frame at which time, how near, what was not sampled. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.records import Coverage, Decision, Evidence, Match, Placed, Reason, Score

MOST_TOLD = 5
"""So many pieces of evidence are told in words; all of them are among the reasons."""
MOST_CHARACTERS = 100
"""Of a name that comes from a list, a model or a policy."""


def weightiest_first(evidence: tuple[Evidence, ...]) -> list[Evidence]:
    """Return the evidence in the order in which people should hear it: known material first, then by weight."""
    return sorted(evidence, key=lambda one: (one.match is None, -one.weight))


def explain(
    decision: Decision,
    placed: Placed | None,
    coverage: Coverage,
    *,
    earlier: tuple[Reason, ...],
    with_model: bool,
    with_lists: bool,
) -> str:
    """Return why an incident was opened, updated or closed; ``earlier`` is what segments before said."""
    sentences = [
        *(("This is a test.",) if decision.incident.test else ()),
        _change(decision),
        *_evidence(decision, placed),
        *_earlier(earlier),
        *_circumstances(placed),
        *_coverage(coverage),
        *_absent(with_model=with_model, with_lists=with_lists),
    ]
    return " ".join(sentences)


def _change(decision: Decision) -> str:
    if decision.change == "opened":
        return f"Opened with severity {decision.severity}: {_opening(decision)}."
    if decision.change == "updated":
        return f"Updated, severity {decision.severity}: {_update(decision)}; the risk is {_risk(decision)}."
    return f"Closed: {_closing(decision)}. Detection ends with that, the review does not."


def _opening(decision: Decision) -> str:
    if any(evidence.match is not None and evidence.match.list_kind == "block" for evidence in decision.evidence):
        return f"a match with a block list opens at once; the risk is {_risk(decision)}"
    if decision.risk.peak > decision.open_above:
        return f"the stream's risk rose to {decision.risk.peak:.2f}, above the policy's {decision.open_above:.2f}"
    return f"the risk is {_risk(decision)}"


def _update(decision: Decision) -> str:
    if decision.evidence:
        kinds = sorted({evidence.kind.replace("_", " ") for evidence in decision.evidence})
        return f"new evidence ({', '.join(kinds)})"
    return "the stream goes on" if decision.incident.live else "the stream has ended"


def _closing(decision: Decision) -> str:
    if decision.closed_why == "quiet":
        return (
            f"quiet for long enough, the risk is {decision.risk.value:.2f}, closing is below {decision.close_below:.2f}"
        )
    if decision.closed_why == "ended":
        return "the stream has ended"
    if decision.closed_why == "idle":
        return "nothing came from the stream for long"
    return "a reviewer's verdict"


def _risk(decision: Decision) -> str:
    return f"{decision.risk.value:.2f}, the policy opens above {decision.open_above:.2f}"


def _evidence(decision: Decision, placed: Placed | None) -> Iterator[str]:
    by_weight = weightiest_first(decision.evidence)
    for evidence in by_weight[:MOST_TOLD]:
        yield f"{_what(evidence, _where(evidence, placed))} ({evidence.weight:+.2f})."
    if len(by_weight) > MOST_TOLD:
        yield f"{len(by_weight) - MOST_TOLD} more such are among the reasons."


def _earlier(earlier: tuple[Reason, ...]) -> Iterator[str]:
    times = sorted({reason.frame.media_time_s for reason in earlier if reason.frame is not None})
    if len(times) == 1:
        yield f"Before it, a look at {_time(times[0])} had raised the risk; it is among the reasons."
    elif times:
        span = f"{_time(times[0])} to {_time(times[-1])}"
        yield f"Before it, looks from {span} had raised the risk; the weightiest are among the reasons."


def _where(evidence: Evidence, placed: Placed | None) -> str:
    if placed is None or evidence.look is None:
        return "A frame"
    return f"The keyframe at {_time(placed.media_time_s + placed.assessment.looks[evidence.look].offset_s)}"


def _what(evidence: Evidence, where: str) -> str:
    if evidence.match is not None:
        return f"{where} {_nearness(evidence.match)}"
    if evidence.label is not None and evidence.score is not None:
        return f"{where} shows {_name(evidence.label)} {_probability(evidence.score)}"
    return "A signal from outside counts"


def _nearness(match: Match) -> str:
    apart = f"{match.distance} of 256 bits apart, radius {match.radius}"
    source = f"the {match.list_kind} list {_name(match.list)}, version {_name(match.list_version)}"
    if match.video:
        at = "" if match.at_s is None else f" at {_time(match.at_s)}"
        return f"lines up in time with the known video {_name(match.entry)}{at} of {source}: {apart}"
    return f"matches {_name(match.entry)} of {source}: {apart}"


def _probability(score: Score) -> str:
    return f"with probability {score.probability:.3f} (score {score.score:.3f})"


def _circumstances(placed: Placed | None) -> Iterator[str]:
    if placed is None:
        return
    assessment = placed.assessment
    if assessment.standing == "late":
        yield "Its segment came late: what was found in it counts all the same."
    elif placed.discontinuity:
        yield "The stream's clock or numbering began anew with this segment: nothing decayed over the break."
    if assessment.why == "partial":
        yield "Its segment is damaged after a whole keyframe."
    if assessment.keyframes_seen > len(assessment.looks) > 0:
        yield f"Of the segment's {_keyframes(assessment.keyframes_seen)}, {len(assessment.looks)} sampled."
    if placed.gap_s > 0:
        yield f"{placed.gap_s:.1f} s before this segment are missing."


def _coverage(coverage: Coverage) -> Iterator[str]:
    yield f"Of the stream {coverage.watched_s:.1f} s were watched so far{_unwatched(coverage)}."
    yield (
        f"Of {_keyframes(coverage.keyframes_seen)} seen, {coverage.keyframes_hashed} were hashed "
        f"and {coverage.keyframes_scored} scored."
    )


def _unwatched(coverage: Coverage) -> str:
    if coverage.unwatched_s <= 0:
        return ", nothing was left out"
    return f", {coverage.unwatched_s:.1f} s were not (longest gap {coverage.longest_gap_s:.1f} s)"


def _absent(*, with_model: bool, with_lists: bool) -> Iterator[str]:
    if not with_model:
        yield "No classifier was on."
    if not with_lists:
        yield "No hash list was on."


def _keyframes(count: int) -> str:
    return "1 keyframe" if count == 1 else f"{count} keyframes"


def _time(seconds: float) -> str:
    minutes, rest_ms = divmod(round(seconds * 1000), 60_000)
    return f"{minutes // 60}:{minutes % 60:02}:{rest_ms / 1000:06.3f}"


def _name(name: str) -> str:
    """Return a name on one line, bounded, in quotation marks."""
    shown = "".join(character if character.isprintable() else " " for character in name)
    return f'"{shown[:MOST_CHARACTERS]}"' if len(shown) <= MOST_CHARACTERS else f'"{shown[:MOST_CHARACTERS]}…"'

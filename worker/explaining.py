"""Why something was caught or not: what the records say of one stream around one moment. Pure.

It concludes nothing that the records don't say. An outcome says what was looked at; a config event says with what.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from msgspec import Struct

from worker.records import AssessmentReport, ConfigReport, Incident

if TYPE_CHECKING:
    from collections.abc import Iterable

LEAST_QUALITY = 50
"""Below it a picture is too plain for a PDQ hash (``worker.hashing``)."""
WHY = {
    "no_video": "there is no video in it",
    "no_keyframe": "no keyframe in it could be decoded",
    "repeat": "the same bytes had been looked at before",
    "plan": "the sampling plan left it out",
    "lateness": "it came too late to matter, under load",
    "overload": "the worker had too much to do",
    "late": "it came behind its successors",
    "restarted": "the stream's numbering began anew",
    "hurried": "it came late, under load, and only its first keyframe was looked at",
    "partial": "it is damaged, and what could be decoded was looked at",
}
"""The contract's reasons for an outcome, in words."""


class Config(Struct, frozen=True, kw_only=True):
    """What workers decided with; the same for all that are named."""

    workers: tuple[str, ...]
    since: datetime
    """The oldest of their latest config events up to the moment."""
    report: ConfigReport


class Explanation(Struct, frozen=True, kw_only=True):
    """What is known of one stream around one moment."""

    stream_id: str
    at: datetime
    begin: datetime
    end: datetime
    segments: tuple[AssessmentReport, ...]
    """Of the span, in the order of the stream's partition."""
    nearest: int | None
    """Index of the segment that the moment lies in, or else of the last one before it; None where there is none."""
    missing: tuple[tuple[int, int], ...]
    """Sequences that never came, first and last of each run."""
    incidents: tuple[Incident, ...]
    """What was told of the stream, in the order in which it was told."""
    configs: tuple[Config, ...]


def explain(
    stream_id: str,
    at: datetime,
    window: timedelta,
    told: Iterable[AssessmentReport | ConfigReport],
    incidents: Iterable[Incident],
) -> Explanation:
    """Return what the records say of a stream from ``window`` before ``at`` to ``window`` after it."""
    begin, end = at - window, at + window
    reports = list(told)
    segments = tuple(
        sorted(
            (r for r in reports if isinstance(r, AssessmentReport) and r.stream_id == stream_id and _in(r, begin, end)),
            key=lambda report: (report.partition, report.offset),
        )
    )
    return Explanation(
        stream_id=stream_id,
        at=at,
        begin=begin,
        end=end,
        segments=segments,
        nearest=_nearest(segments, at),
        missing=_missing(segments),
        incidents=tuple(incident for incident in incidents if incident.stream_id == stream_id),
        configs=_configs([r for r in reports if isinstance(r, ConfigReport)], at),
    )


def happened(report: AssessmentReport) -> datetime | None:
    """Return when a segment was, by who captured it, else by the broker; None where neither says."""
    timings = report.timings
    return timings.captured_at or timings.appended_at or timings.received_at


def best(report: AssessmentReport) -> tuple[str, float] | None:
    """Return the label with the highest probability in any frame of a segment; None where nothing was scored."""
    scored = [(label, score.probability) for frame in report.frames for label, score in frame.scores.items()]
    return max(scored, key=lambda pair: pair[1], default=None)


def words(report: AssessmentReport) -> str:
    """Return what became of a segment, in words."""
    why = "" if report.why is None else WHY.get(report.why, report.why.replace("_", " "))
    if report.outcome == "assessed":
        looked = _looked(report)
        return f"looked at: {looked}; {why}" if why else f"looked at: {looked}"
    said = {"skipped": "not looked at", "shed": "not looked at", "dead_lettered": "could not be looked at"}
    return f"{said[report.outcome]}: {why}"


def _looked(report: AssessmentReport) -> str:
    frames = report.frames
    parts = [f"{len(frames)} keyframe{'' if len(frames) == 1 else 's'}"]
    matches = sorted({(match.list, match.entry, match.distance) for frame in frames for match in frame.matches})
    parts += [f"matches entry {entry} of list {name}, {distance} bits away" for name, entry, distance in matches]
    if not matches:
        parts.append("matches no list")
    if plain := sum(frame.quality < LEAST_QUALITY for frame in frames):
        parts.append(f"{plain} too plain to be hashed")
    if (top := best(report)) is not None:
        parts.append(f"at most {top[0]} {top[1]:.3f}")
    return ", ".join(parts)


def _in(report: AssessmentReport, begin: datetime, end: datetime) -> bool:
    when = happened(report)
    return when is not None and begin <= when <= end


def _nearest(segments: tuple[AssessmentReport, ...], at: datetime) -> int | None:
    before = [(when, index) for index, one in enumerate(segments) if (when := happened(one)) is not None and when <= at]
    return max(before)[1] if before else None


def _missing(segments: tuple[AssessmentReport, ...]) -> tuple[tuple[int, int], ...]:
    there = sorted({one.sequence for one in segments if one.sequence is not None})
    return tuple((a + 1, b - 1) for a, b in pairwise(there) if b - a > 1)


def _configs(reports: list[ConfigReport], at: datetime) -> tuple[Config, ...]:
    latest: dict[str, ConfigReport] = {}
    for report in sorted(reports, key=lambda one: one.at):
        if report.at <= at:
            latest[report.worker] = report
    alike: dict[str, list[ConfigReport]] = {}
    for report in latest.values():
        alike.setdefault(repr((report.version, report.model, report.policy, report.lists, report.limits)), []).append(
            report
        )
    return tuple(
        Config(workers=tuple(sorted(one.worker for one in same)), since=min(one.at for one in same), report=same[0])
        for same in alike.values()
    )

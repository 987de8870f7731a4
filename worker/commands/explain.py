"""``framewatch explain``: what was looked at, what was seen, and what was on."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
from rich.text import Text

from worker.commands.terminal import safe
from worker.errors import SegmentError, Unreadable, UsageError
from worker.explaining import explain, happened, words
from worker.kafka.window import between
from worker.wire import headers, read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from worker.explaining import Config, Explanation
    from worker.records import AssessmentReport, ConfigReport, Incident, Received
    from worker.settings.tree import Settings

CONFIG_BEFORE = timedelta(minutes=10)
"""Every worker says every five minutes what it decides with (``worker.app``)."""
MOST_SHOWN = 200


def gather(
    settings: Settings,
    stream_id: str,
    at: str,
    *,
    window_s: float,
    late_s: float,
    progress: Callable[[int], None],
) -> Explanation:
    """Return what the topics say of a stream around ``at``.

    Args:
        settings: Where the topics are.
        stream_id: The stream.
        at: RFC 3339, with an offset or Z.
        window_s: So many seconds before and after are shown.
        late_s: So long after the window an outcome may have been written, as while a backlog was worked off.
        progress: Told how many records have been read, now and then.

    Raises:
        UsageError: No such moment or stream can be, or the assessments are turned off.
        Stopped: There is no broker or no topic.
    """
    topic = settings.topics.assessments
    if not topic:
        raise UsageError("topics.assessments is empty: what became of each segment was not written down")
    _check(stream_id)
    moment, window = _moment(at), timedelta(seconds=window_s)
    begin, end = moment - max(window, CONFIG_BEFORE), moment + window + timedelta(seconds=late_s)
    told, incidents = asyncio.run(_read(settings, stream_id, begin, end, progress))
    return explain(stream_id, moment, window, told, incidents)


def lines(found: Explanation) -> Iterator[Text]:
    """Return an explanation for a person. No text in it is taken for markup or for a terminal's escape."""
    yield Text(f"{safe(found.stream_id)} around {_clock(found.at)}", style="bold")
    yield from _segments(found)
    yield from _gaps(found)
    yield from _told(found)
    yield from _configs(found)


def as_json(found: Explanation) -> str:
    """Return an explanation on one line, in ASCII, for programs."""
    text = msgspec.json.encode(found).decode()
    return re.sub(r"[^\x20-\x7e]", lambda each: _escaped(each[0]), text)


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


# --- reading ------------------------------------------------------------------------------------------------------


async def _read(
    settings: Settings, stream_id: str, begin: datetime, end: datetime, progress: Callable[[int], None]
) -> tuple[list[AssessmentReport | ConfigReport], list[Incident]]:
    key = stream_id.encode()
    told: list[AssessmentReport | ConfigReport] = []
    async with between(settings.kafka, settings.topics.assessments, begin, end) as records:
        count = 0
        async for received in records:
            progress(count := count + 1)
            if received.key in (key, None) and (report := _report(received)) is not None:
                told.append(report)
    async with between(settings.kafka, settings.topics.escalations, begin, end) as records:
        incidents = [one async for received in records if received.key == key if (one := _incident(received))]
    return told, incidents


def _report(received: Received) -> AssessmentReport | ConfigReport | None:
    try:
        return read.read_assessment(received)
    except Unreadable:  # somebody else's record: it says nothing of the stream
        return None


def _incident(received: Received) -> Incident | None:
    try:
        return read.read_incident(received)
    except Unreadable:
        return None


def _moment(at: str) -> datetime:
    try:
        return headers.time("--at", at.encode())
    except SegmentError as error:
        raise UsageError(f"{error.reason}") from None


def _check(stream_id: str) -> None:
    try:
        headers.key(stream_id.encode())
    except (SegmentError, UnicodeEncodeError):
        raise UsageError("the stream must be 1 to 256 bytes of UTF-8") from None


# --- in words -----------------------------------------------------------------------------------------------------


def _segments(found: Explanation) -> Iterator[Text]:
    if not found.segments:
        yield Text(
            f"  no segment of it has an outcome between {_clock(found.begin)} and {_clock(found.end)}: none was "
            "published, or the outcomes came later than --late-s, or retention has deleted them",
            style="yellow",
        )
    for index, report in enumerate(found.segments[:MOST_SHOWN]):
        here = index == found.nearest
        yield Text(f"{'>' if here else ' '} {_segment(report)}", style="bold" if here else "")
    if len(found.segments) > MOST_SHOWN:
        yield Text(f"  and {len(found.segments) - MOST_SHOWN} more; a smaller --window-s shows fewer")


def _segment(report: AssessmentReport) -> str:
    when = happened(report)
    number = "" if report.sequence is None else f"  sequence {report.sequence}"
    risk = "" if report.risk is None else f"; risk {report.risk:.2f}"
    return f"{'' if when is None else _clock(when)}{number}  {safe(words(report))}{risk}{_delay(report)}"


def _delay(report: AssessmentReport) -> str:
    timings = report.timings
    since = timings.captured_at or timings.appended_at
    if since is None or timings.decided_at is None:
        return ""
    return f"; decided {max(0.0, (timings.decided_at - since).total_seconds()):.1f} s later"


def _gaps(found: Explanation) -> Iterator[Text]:
    for first, last in found.missing:
        which = f"sequence {first} has" if first == last else f"sequences {first} to {last} have"
        yield Text(f"  {which} no outcome here: not published, or outside of the window", style="yellow")


def _told(found: Explanation) -> Iterator[Text]:
    if not found.incidents:
        yield Text("  no incident of it was told in this time")
    for incident in found.incidents:
        what = f"{incident.severity} incident, revision {incident.revision}, {incident.state}"
        yield Text(f"  {_clock(incident.updated_at)}  {what}: {safe(incident.explanation)}", style="red")


def _configs(found: Explanation) -> Iterator[Text]:
    if not found.configs:
        yield Text("  what was on is not known: no worker has said so in the ten minutes before", style="yellow")
    for config in found.configs:
        yield Text(f"  on: {safe(_config(config))}", style="dim")


def _config(config: Config) -> str:
    report = config.report
    model = "no classifier" if report.model is None else f"model {report.model.name} {report.model.version}"
    lists = ", ".join(f"{one.name} {one.version}" for one in report.lists) or "none"
    interval_s = report.limits.get("sampling.interval_s")
    every = "" if interval_s is None else f", a keyframe every {interval_s:g} s"
    policy = f"policy {report.policy.name} {report.policy.sha256[:12]}"
    workers = f"{len(config.workers)} worker{'' if len(config.workers) == 1 else 's'}"
    return f"framewatch {report.version}, {model}, {policy}, lists: {lists}{every} ({workers}: {_named(config)})"


def _named(config: Config) -> str:
    first = ", ".join(config.workers[:3])
    return first if len(config.workers) <= 3 else f"{first} and {len(config.workers) - 3} more"  # noqa: PLR2004 - as above


def _clock(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"

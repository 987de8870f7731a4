"""What a show came to, and whether that is what was expected. Pure."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from worker.demo.streams import CARDS_TO_OPEN, Kind, Stream
from worker.records import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.demo.ledger import Ledger, Published

Expected = Literal["one", "none", "either"]
"""Of incidents of one stream; ``either`` where the show was stopped before it was clear."""
MOST_TOLD = 3
OUTCOMES: tuple[Outcome, ...] = ("assessed", "skipped", "shed", "dead_lettered")


class Latency(Struct, frozen=True, kw_only=True):
    """Seconds, by nearest rank."""

    p50_s: float
    p99_s: float
    count: int


class StreamRow(Struct, frozen=True, kw_only=True):
    """One stream against what was expected of it."""

    stream_id: str
    kind: Kind
    published: int
    outcomes: dict[Outcome, int]
    expected: Expected
    opened: int
    """Incidents opened."""


class ErrorRow(Struct, frozen=True, kw_only=True):
    """One name of an error in dead letters."""

    error: str
    expected: int
    found: int


class Speed(Struct, frozen=True, kw_only=True):
    """What the worker's processes took, decoders included, from the first segment to the last outcome."""

    segments: int
    cpu_s: float
    wall_s: float

    @property
    def per_core_and_second(self) -> float:
        """Segments that one core would work in a second."""
        return self.segments / self.cpu_s if self.cpu_s > 0 else math.inf


class Summary(Struct, frozen=True, kw_only=True):
    """All of it."""

    published: int
    outcomes: dict[Outcome, int]
    streams: tuple[StreamRow, ...]
    errors: tuple[ErrorRow, ...]
    to_escalation: Latency | None
    to_outcome: Latency | None
    speed: Speed | None
    problems: tuple[str, ...]
    """Why it was not as expected, a line each; empty when all is well."""

    @property
    def accounted(self) -> int:
        """Segments with an outcome."""
        return sum(self.outcomes.values())


def summarise(ledger: Ledger, streams: Sequence[Stream], speed: Speed | None, *, also: Sequence[str] = ()) -> Summary:
    """Hold what was found against what was published; ``also`` are problems that somebody else has noticed."""
    rows = tuple(_row(ledger, stream) for stream in streams)
    errors = _errors(ledger)
    totals = Counter(fate.outcome for fate in ledger.fates.values())
    return Summary(
        published=len(ledger.published),
        outcomes={outcome: totals[outcome] for outcome in OUTCOMES if totals[outcome]},
        streams=rows,
        errors=errors,
        to_escalation=latency([one.latency_s for one in ledger.escalations if one.latency_s is not None]),
        to_outcome=latency([fate.latency_s for fate in ledger.fates.values() if fate.latency_s is not None]),
        speed=speed,
        problems=(
            *_missing(ledger),
            *_strange(ledger),
            *_incidents(rows),
            *_strangers(ledger, rows),
            *_unlike(ledger),
            *_letters(errors),
            *also,
        ),
    )


def expected(published: Sequence[Published]) -> Expected:
    """Return whether what a stream has sent so far must open an incident."""
    if any(one.piece.footage == "clip" for one in published):
        return "one"
    cards = sum(one.piece.footage == "card" for one in published)
    if cards >= CARDS_TO_OPEN:
        return "one"
    return "either" if cards else "none"


def latency(seconds: Sequence[float]) -> Latency | None:
    """Return the median and the 99th percentile; None of nothing."""
    if not seconds:
        return None
    return Latency(p50_s=percentile(seconds, 50), p99_s=percentile(seconds, 99), count=len(seconds))


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that so many percent of all values don't exceed (nearest rank)."""
    return sorted(values)[max(0, math.ceil(percent / 100 * len(values)) - 1)]


def _row(ledger: Ledger, stream: Stream) -> StreamRow:
    course = ledger.course(stream.stream_id)
    opened = {
        one.incident.incident_id
        for one in ledger.escalations
        if one.incident.stream_id == stream.stream_id and one.change == "opened"
    }
    return StreamRow(
        stream_id=stream.stream_id,
        kind=stream.kind,
        published=len(course.published),
        outcomes=dict(course.outcomes),
        expected=expected(course.published),
        opened=len(opened),
    )


def _errors(ledger: Ledger) -> tuple[ErrorRow, ...]:
    wanted = Counter(one.piece.why for one in ledger.published.values() if one.piece.outcome == "dead_lettered")
    found = Counter(letter.error for letter in ledger.letters)
    names = [*wanted, *(error for error in found if error not in wanted)]
    return tuple(ErrorRow(error=str(name), expected=wanted[name], found=found[str(name)]) for name in names)


# --- the verdict -----------------------------------------------------------------------------------------------------


def _missing(ledger: Ledger) -> list[str]:
    without = [one for event_id, one in ledger.published.items() if event_id not in ledger.fates]
    if not without:
        return []
    return [f"{len(without)} of {len(ledger.published)} segments have no outcome, the first is {without[0].event_id}"]


def _strange(ledger: Ledger) -> list[str]:
    return [f"{ledger.unknown} outcomes are of segments that nobody published"] if ledger.unknown else []


def _incidents(rows: Sequence[StreamRow]) -> list[str]:
    return [problem for row in rows if (problem := _incident(row)) is not None]


def _incident(row: StreamRow) -> str | None:
    if row.expected == "one" and row.opened == 0:
        return f"{row.stream_id}: the expected incident is missing"
    if row.expected == "none" and row.opened:
        return f"{row.stream_id}: an incident that nobody expected"
    return f"{row.stream_id}: {row.opened} incidents instead of one" if row.opened > 1 else None


def _strangers(ledger: Ledger, rows: Sequence[StreamRow]) -> list[str]:
    own = {row.stream_id for row in rows}
    others = {one.incident.stream_id for one in ledger.escalations} - own
    return [f"{stream_id}: an incident of a stream that is not in the show" for stream_id in sorted(others)]


def _unlike(ledger: Ledger) -> list[str]:
    """Segments that came to something else than expected."""
    unlike = [
        f"{event_id}: expected {_words(one.outcome, one.why)}, came to {_words(fate.outcome, fate.why)}"
        for event_id, fate in ledger.fates.items()
        if (one := ledger.published[event_id].piece) and (one.outcome, one.why) != (fate.outcome, fate.why)
    ]
    more = len(unlike) - MOST_TOLD
    return [*unlike[:MOST_TOLD], *([f"and {more} more that came to something else"] if more > 0 else [])]


def _letters(errors: Sequence[ErrorRow]) -> list[str]:
    return [
        f"dead letters {row.error}: expected {row.expected}, found {row.found}"
        for row in errors
        if row.expected != row.found
    ]


def _words(outcome: Outcome, why: str | None) -> str:
    return outcome.replace("_", "-") if why is None else f"{outcome.replace('_', '-')} ({why})"

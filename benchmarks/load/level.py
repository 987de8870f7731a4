"""What is made of a schedule that was played: latencies, throughput, CPU. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.load.play import KNOWN, PERIOD_S
from benchmarks.load.result import Level, Moment, Overload
from benchmarks.load.tails import between, recovered_s, tail

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from benchmarks.load.play import Stretch
    from benchmarks.load.stand import Played
    from benchmarks.rig.answers import Outcome, Where
    from benchmarks.rig.publishing import Due, Sent


class Came:
    """A schedule that was played, with what came of it."""

    def __init__(self, played: Played, outcomes: Mapping[Where, Outcome], opened: Mapping[Where, int]) -> None:
        """``outcomes`` and ``opened`` may know of other segments too."""
        self._both = tuple(zip(played.due, played.sent, strict=True))
        self._outcomes = outcomes
        self._opened = opened
        self.start_s = played.start_s

    def within(self, begin_s: float, end_s: float) -> list[tuple[Due, Sent]]:
        """What was due between two moments, seconds after the start."""
        return [(due, sent) for due, sent in self._both if begin_s <= due.at_s < end_s]

    def assessed(self, begin_s: float, end_s: float) -> int:
        """How many were told of as looked at, between two moments, seconds after the start."""
        begin_ms, end_ms = ((self.start_s + at_s) * 1000 for at_s in (begin_s, end_s))
        answers = (self._outcomes.get(sent.where) for _, sent in self._both)
        return sum(one is not None and one.outcome == "assessed" and begin_ms <= one.at_ms < end_ms for one in answers)

    def shed(self, sent: Sent) -> bool:
        """Whether a segment was not looked at because it was too late."""
        outcome = self._outcomes.get(sent.where)
        return outcome is not None and outcome.outcome == "shed"

    def to_assessment(self, sent: Sent) -> float | None:
        """Milliseconds from a segment's append to its assessment's; None where it was not looked at."""
        outcome = self._outcomes.get(sent.where)
        return None if outcome is None or outcome.outcome != "assessed" else float(outcome.at_ms - sent.appended_ms)

    def escalated_ms(self, sent: Sent) -> int | None:
        """When the broker had the escalation of what a segment shows."""
        return self._opened.get(sent.where)

    def lost(self) -> int:
        """Segments without an outcome, or with another one than these two."""
        answers = (self._outcomes.get(sent.where) for _, sent in self._both)
        return sum(one is None or one.outcome not in ("assessed", "shed") for one in answers)

    def wrong(self) -> int:
        """Known pictures that were looked at and opened nothing, and incidents of quiet ones or of what was shed."""
        return sum(
            (due.body == KNOWN and not self.shed(sent)) is not (sent.where in self._opened) for due, sent in self._both
        )

    def known(self, both: Iterable[tuple[Due, Sent]]) -> list[Sent]:
        """Those that show the known picture."""
        return [sent for due, sent in both if due.body == KNOWN]


def level(
    came: Came, *, load: float, arrivals: str, stretch: Stretch, spent: Mapping[str, float], settle_s: float
) -> Level:
    """Return what is to be told of a level. ``spent``: seconds of CPU between its settling and its end."""
    window_s = stretch.seconds - settle_s
    both = came.within(settle_s, stretch.seconds)
    known = [(sent, at_ms) for sent in came.known(both) if (at_ms := came.escalated_ms(sent)) is not None]
    assessed = came.assessed(settle_s, stretch.seconds)
    by_stream = _by_place(came, both)
    return Level(
        load=load,
        arrivals=arrivals,
        streams=stretch.streams,
        seconds=window_s,
        offered_per_s=len(both) / window_s,
        assessed_per_s=assessed / window_s,
        shed=sum(came.shed(sent) for _, sent in both),
        known_shed=sum(came.shed(sent) for sent in came.known(both)),
        escalation=tail(at_ms - sent.appended_ms for sent, at_ms in known),
        escalation_due=tail(at_ms - sent.due_ms for sent, at_ms in known),
        assessment=tail(value for values in by_stream.values() for value in values),
        append=tail(sent.appended_ms - sent.handed_ms for _, sent in both),
        late=tail(sent.handed_ms - sent.due_ms for _, sent in both),
        streams_p50=between(by_stream, 50),
        streams_p99=between(by_stream, 99),
        cpu_ms={name: seconds * 1000 / max(1, assessed) for name, seconds in spent.items()},
        cores={name: seconds / window_s for name, seconds in spent.items()},
        lost=came.lost(),
        wrong=came.wrong(),
    )


def _by_place(came: Came, both: Iterable[tuple[Due, Sent]]) -> dict[str, list[float]]:
    """Latencies to the assessment, by the place of a live stream."""
    found: dict[str, list[float]] = {}
    for due, sent in both:
        if (took_ms := came.to_assessment(sent)) is not None:
            found.setdefault(due.stream_id.rpartition("-")[0], []).append(took_ms)
    return found


def overload(
    came: Came, stretches: Sequence[Stretch], loads: tuple[float, float], *, lateness_s: float, settle_s: float
) -> Overload:
    """Return what is to be told of three stretches: normal, past capacity, normal again."""
    before, past, after = stretches
    from_s, to_s = before.seconds, before.seconds + past.seconds
    until_s = to_s + after.seconds
    calm = tail(_waits(came, settle_s, from_s))
    return Overload(
        normal=loads[0],
        past=loads[1],
        from_s=from_s,
        to_s=to_s,
        lateness_s=lateness_s,
        before_p99=None if calm is None else calm.p99,
        worst_ms=max(_waits(came, 0.0, until_s), default=None),
        recovered_s=None if calm is None else _back(came, to_s, until_s, calm.p99),
        seconds=tuple(_moment(came, second) for second in range(int(until_s))),
        lost=came.lost(),
        wrong=came.wrong(),
    )


def _waits(came: Came, begin_s: float, end_s: float) -> list[float]:
    """Milliseconds to the escalation of what was due between two moments."""
    known = came.known(came.within(begin_s, end_s))
    return [at_ms - sent.appended_ms for sent in known if (at_ms := came.escalated_ms(sent)) is not None]


def _back(came: Came, to_s: float, until_s: float, before_p99: float) -> float | None:
    """When it is as before; a shed segment is one that was not served, whatever it shows."""
    served: list[tuple[float, float | None]] = []
    for due, sent in came.within(to_s, until_s):
        at_ms = came.escalated_ms(sent)
        if due.body == KNOWN or came.shed(sent):
            served.append((sent.appended_ms, None if at_ms is None else at_ms - sent.appended_ms))
    start_ms = came.start_s * 1000
    return recovered_s(served, start_ms + to_s * 1000, before_p99, start_ms + (until_s - PERIOD_S / 2) * 1000)


def _moment(came: Came, second: int) -> Moment:
    both = came.within(second, second + 1)
    waits = tail(_waits(came, second, second + 1))
    return Moment(
        at_s=second,
        offered=len(both),
        shed=sum(came.shed(sent) for _, sent in both),
        p50=None if waits is None else waits.p50,
        p99=None if waits is None else waits.p99,
    )

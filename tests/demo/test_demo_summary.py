"""What the demo says at the end: its arithmetic and its verdict."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker import escalation
from worker.demo.ledger import Escalated, Fate, Ledger, Published
from worker.demo.streams import CARDS_TO_OPEN, Piece, Stream, cast, piece, story
from worker.demo.summary import Speed, latency, percentile, summarise
from worker.escalation.context import Context
from worker.policy.read import default
from worker.records import DeadLetter, Incident
from worker.settings.tree import LinkTemplates

CONTEXT = Context(
    model=None, policy=default().ref, lists=(), links=LinkTemplates(), preserve_before_s=0.0, source="tests"
)

START = datetime(2026, 11, 22, tzinfo=UTC)
CALM = Stream(number=0, stream_id="calm", kind="harmless", phase_s=0.0)
RISKY = Stream(number=1, stream_id="risky", kind="risky", phase_s=0.0)
BAD = Piece(footage="harmless", index=0, outcome="dead_lettered", why="corrupt", fault="noise")


def show(pieces: dict[Stream, list[Piece]], *, opened: tuple[str, ...] = (), lost: tuple[str, ...] = ()) -> Ledger:
    """A show in which everything came to what was expected, but for the segments that are lost."""
    ledger = Ledger()
    for stream, sent in pieces.items():
        for number, what in enumerate(sent):
            event_id = f"{stream.stream_id}/{number}"
            ledger.publish(Published(event_id=event_id, stream_id=stream.stream_id, piece=what))
            if event_id not in lost:
                ledger.assess(event_id, fate(what))
    for number, stream_id in enumerate(opened):
        incident = an_incident(stream_id, number)
        ledger.escalate(Escalated(incident=incident, change="opened", latency_s=0.1))
    return ledger


def an_incident(stream_id: str, number: int) -> Incident:
    """Some incident of a stream."""
    return escalation.test_incident(stream_id, START + timedelta(seconds=number), CONTEXT)


def fate(what: Piece) -> Fate:
    """The outcome that was expected."""
    return Fate(outcome=what.outcome, why=what.why, risk=1.0, latency_s=0.2, read_at_s=0.0)


def plain(count: int) -> list[Piece]:
    """Harmless segments."""
    return [Piece(footage="harmless", index=n) for n in range(count)]


def cards(count: int) -> list[Piece]:
    """Segments of the test card."""
    return [Piece(footage="card", index=n) for n in range(count)]


def a_letter(error: str) -> DeadLetter:
    """A dead letter of this error."""
    return DeadLetter(
        topic="segments", partition=0, offset=1, timestamp=None, stream_id="calm", sequence=1, event_id="calm/1",
        stage="decode", error=error, reason="noise", attempts=1,
    )  # fmt: skip


def test_a_show_as_expected_has_no_problem_and_adds_up():
    """Every segment has its outcome, the risky stream its incident: nothing to complain of."""
    ledger = show({CALM: plain(3), RISKY: cards(CARDS_TO_OPEN)}, opened=("risky",))
    summary = summarise(ledger, (CALM, RISKY), None)
    assert summary.problems == ()
    assert summary.published == summary.accounted == 3 + CARDS_TO_OPEN
    assert [(row.expected, row.opened) for row in summary.streams] == [("none", 0), ("one", 1)]


def test_a_missing_incident_is_told():
    """Enough of the test card must have opened an incident."""
    summary = summarise(show({RISKY: cards(CARDS_TO_OPEN)}), (RISKY,), None)
    assert summary.problems == ("risky: the expected incident is missing",)


def test_too_little_of_the_card_may_open_an_incident_or_not():
    """Who presses Ctrl-C just after the card has come sees no failure, whichever way it went."""
    early = {RISKY: cards(CARDS_TO_OPEN - 1)}
    assert summarise(show(early), (RISKY,), None).problems == ()
    assert summarise(show(early, opened=("risky",)), (RISKY,), None).problems == ()


@pytest.mark.parametrize(
    ("opened", "problem"),
    [
        (("calm",), "calm: an incident that nobody expected"),
        (("risky", "risky"), "risky: 2 incidents instead of one"),
        (("nobody",), "nobody: an incident of a stream that is not in the show"),
    ],
)
def test_an_unexpected_incident_is_told(opened, problem):
    """A harmless stream has none, a risky one has one, and a stream that nobody plays has none either."""
    ledger = show({CALM: plain(2), RISKY: cards(1)}, opened=opened)
    assert summarise(ledger, (CALM, RISKY), None).problems == (problem,)


def test_a_missing_outcome_is_told():
    """What was published and has no outcome is counted, and the first one is named."""
    summary = summarise(show({CALM: plain(3)}, lost=("calm/1",)), (CALM,), None)
    assert summary.problems == ("1 of 3 segments have no outcome, the first is calm/1",)
    assert (summary.published, summary.accounted) == (3, 2)


def test_an_outcome_that_nobody_expected_is_told():
    """A harmless segment that was refused is a problem, and so is its dead letter."""
    ledger = show({CALM: plain(2)}, lost=("calm/1",))
    ledger.assess("calm/1", fate(BAD))
    ledger.letters.append(a_letter("corrupt"))
    assert summarise(ledger, (CALM,), None).problems == (
        "calm/1: expected assessed, came to dead-lettered (corrupt)",
        "dead letters corrupt: expected 0, found 1",
    )


def test_an_outcome_of_nothing_that_was_published_is_told():
    """Assessments of strangers' events don't belong on these topics."""
    ledger = show({CALM: plain(1)})
    ledger.assess("somebody/1", fate(BAD))
    assert summarise(ledger, (CALM,), None).problems == ("1 outcomes are of segments that nobody published",)


def test_a_dead_letter_that_is_missing_is_told():
    """A segment that was refused must have its letter."""
    summary = summarise(show({CALM: [BAD]}), (CALM,), None)
    assert summary.problems == ("dead letters corrupt: expected 1, found 0",)


def test_nothing_has_no_latency():
    """There is no percentile of nothing."""
    assert latency([]) is None


@given(st.lists(st.floats(0, 1000), min_size=1), st.floats(0, 100))
def test_a_percentile_is_a_value_that_so_many_do_not_exceed(values, percent):
    """It is one of the values; at least so many percent of them are not above it, and fewer are below."""
    found = percentile(values, percent)
    assert found in values
    assert sum(value <= found for value in values) >= percent / 100 * len(values) - 1e-9
    assert sum(value < found for value in values) <= percent / 100 * len(values) + 1e-9


def test_speed_is_of_one_core():
    """Ten segments in two seconds of CPU are five per core and second, however long it took."""
    assert Speed(segments=10, cpu_s=2.0, wall_s=60.0).per_core_and_second == 5.0


def test_a_show_of_a_minute_has_everything_in_it():
    """Each kind of trouble is broadcast early enough to be seen, and every fault at least once."""
    at = story(60.0)
    sent = {stream.kind: [piece(stream, number, at) for number in range(30)] for stream in cast(12)}
    assert sum(one is not None and one.footage == "card" for one in sent["risky"]) >= CARDS_TO_OPEN
    assert sum(one is not None and one.footage == "clip" for one in sent["known"]) == 3
    assert len({one.fault for one in sent["broken"] if one and one.fault}) == 8
    assert sent["ending"][-1] is None


@pytest.mark.parametrize("count", [4, 7, 12, 25])
def test_a_show_of_any_size_has_the_streams_that_matter(count):
    """Names are unique, and a risky, a known, a broken and a harmless stream are there."""
    streams = cast(count)
    assert len({one.stream_id for one in streams}) == len(streams) == count
    assert {"risky", "known", "broken", "harmless"} <= {one.kind for one in streams}

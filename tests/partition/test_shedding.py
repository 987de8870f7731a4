"""How much is looked at: what is left out first, what never is, and that lateness is nobody's to claim."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from support.partitions import record

from worker.partition.backlog import NEAR_LIVE_S, Backlog
from worker.partition.shedding import RECENT_S, at_risk, measure, owed
from worker.records import EventId, OpenIncident, Received, StreamRisk
from worker.settings.tree import Overload

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
MUCH = {"whole": 2, "first": 1, "overload": 0, "lateness": 0}
AGES = st.floats(0.0, 100_000.0)
LIMITS = st.builds(
    Overload,
    lateness_s=st.one_of(st.just(0.0), st.floats(0.1, 1000.0)),
    first_keyframe_s=st.one_of(st.just(0.0), st.floats(0.1, 1000.0)),
    one_in=st.integers(1, 20),
)
TEN = Overload(lateness_s=10.0)
STATES = st.fixed_dictionaries({"stands": st.booleans(), "at_risk": st.booleans(), "owed": st.booleans()})
CALM = {"stands": False, "at_risk": False, "owed": False}


@given(LIMITS, st.tuples(AGES, AGES).map(sorted), STATES)
def test_the_older_is_never_looked_at_more(limits, ages, state):
    """Nor more because its partition stands behind, or less because its stream shows something or is owed a look."""
    young, old = ages
    much = MUCH[measure(young, limits, **state)]
    assert MUCH[measure(old, limits, **state)] <= much
    assert MUCH[measure(young, limits, **state | {"stands": True})] <= much
    assert MUCH[measure(young, limits, **state | {"at_risk": True})] >= much
    assert MUCH[measure(young, limits, **state | {"owed": True})] >= max(much, 1)


@given(AGES, STATES)
def test_by_default_nothing_is_left_out_whatever_its_age(age_s, state):
    """Without a word in the settings every segment is looked at as planned."""
    assert measure(age_s, Overload(), **state) == "whole"


def test_further_keyframes_go_before_the_first_one():
    """Between the two limits one look is left; above the second none."""
    limits = Overload(lateness_s=10.0, first_keyframe_s=3.0)
    ages = (0.0, 3.0, 3.1, 10.0, 10.1)
    assert [measure(age_s, limits, **CALM) for age_s in ages] == ["whole", "whole", "first", "first", "lateness"]


def test_what_stands_behind_is_looked_at_at_its_first_keyframes_before_anything_is_shed():
    """Behind for long, even young segments have one look; only those over two seconds have none."""
    limits = Overload(lateness_s=10.0, first_keyframe_s=3.0)
    found = [measure(age_s, limits, stands=True, at_risk=False, owed=False) for age_s in (0.1, RECENT_S, 2.1, 10.1)]
    assert found == ["first", "first", "overload", "lateness"]


def test_a_stream_that_shows_something_is_shed_last():
    """While others are shed to be near live it is looked at, up to the limit that holds for all."""
    found = [measure(age_s, TEN, stands=True, at_risk=True, owed=False) for age_s in (2.1, 10.0, 10.1)]
    assert found == ["whole", "whole", "lateness"]
    incident = OpenIncident(
        incident_id="i",
        revision=1,
        opened_by=EventId(source="s", id="e"),
        opened_at=NOW,
        severity="high",
        kinds=("label",),
        live=True,
        test=False,
    )
    risks = (StreamRisk(), StreamRisk(value=3.9), StreamRisk(value=4.0), StreamRisk(incident=incident))
    assert [at_risk(risk, 4.0) for risk in risks] == [False, False, True, True]


@given(st.integers(1, 20), st.lists(AGES, max_size=100))
def test_of_so_many_segments_in_a_row_one_is_looked_at_however_late(one_in, ages):
    """A stream is owed its first look, and one after that many less one were shed."""
    limits, shed_since_look, in_a_row = Overload(lateness_s=1.0, one_in=one_in), None, 0
    for age_s in ages:
        due = owed(shed_since_look, limits)
        looked = MUCH[measure(age_s, limits, stands=True, at_risk=False, owed=due)] > 0
        in_a_row = 0 if looked else in_a_row + 1
        shed_since_look = 0 if looked else (shed_since_look or 0) + 1
        assert in_a_row < one_in


# --- how old, and whether it stands ---


def came(age_s: float, stream: str = "s") -> Received:
    """A record with a timestamp so long before now."""
    one = record(0, stream)
    return replace(one, position=replace(one.position, timestamp_ms=round((NOW.timestamp() - age_s) * 1000)))


def later(seconds: float) -> datetime:
    """So long after now."""
    return NOW + timedelta(seconds=seconds)


def test_an_event_s_age_is_what_it_waited_at_the_broker_and_here():
    """Both count, whichever way the time is split."""
    backlog = Backlog(TEN)
    arrived = [backlog.arrived(came(age_s), NOW) for age_s in (3.0, 3.0)]
    assert backlog.age_s(arrived[1], later(4.0)) == 7.0


@given(st.lists(st.floats(0.0, 1e6), min_size=5, max_size=30), st.floats(0.0, 1e6))
def test_no_publisher_s_clock_makes_its_own_stream_old(lies, wait_s):
    """Beside streams that tell the truth, an old timestamp or none makes nobody older than his time here."""
    backlog = Backlog(TEN)
    for lie_s in lies:
        for _ in range(5):
            backlog.arrived(came(0.0), NOW)
        for liar in (came(lie_s), came(-lie_s)):
            assert backlog.age_s(backlog.arrived(liar, NOW), later(wait_s)) <= wait_s + 0.001


def test_a_record_without_a_timestamp_is_as_old_as_its_time_here():
    """Kafka's "none" is no date of 1970."""
    backlog = Backlog(TEN)
    none = record(0)
    none = replace(none, position=replace(none.position, timestamp_ms=-1))
    assert backlog.age_s(backlog.arrived(none, NOW), later(2.0)) == 2.0


def played(backlog: Backlog, age_s: float, *, until_s: int, waits_in_ten: int = 10, young: int = 0) -> list[bool]:
    """Whether it stands, second after second of ten turns each, where each turn's event but the young is this old."""
    stood = []
    for second in range(until_s):
        backlog.arrived(came(0.0), later(second))
        for turn in range(10):
            backlog.turn(0.0 if turn < young else age_s, later(second), waited=turn < waits_in_ten)
        stood.append(backlog.stands(later(second)))
    return stood


def test_a_partition_stands_behind_once_nothing_was_near_live_for_long():
    """A burst does not make it stand; what does not go away does."""
    stood = played(Backlog(TEN), NEAR_LIVE_S + 0.1, until_s=20)
    assert not any(stood[:11])
    assert all(stood[14:])
    assert not any(played(Backlog(TEN), NEAR_LIVE_S, until_s=20))


def test_where_most_find_a_decoder_free_nothing_stands_whatever_the_clocks_say():
    """A publisher's or broker's clock that is minutes behind sheds nothing where nothing has to wait."""
    assert not any(played(Backlog(TEN), 300.0, until_s=60, waits_in_ten=3))


def test_a_decoder_that_is_free_now_and_then_is_no_sign_that_the_backlog_is_gone():
    """While much is shed at once decoders run dry for a moment, and a few segments are young."""
    assert all(played(Backlog(TEN), 5.0, until_s=60, waits_in_ten=8, young=2)[20:])


def test_a_partition_in_which_nothing_had_its_turn_for_long_does_not_stand_yet():
    """After a time without events nobody knows of a backlog."""
    backlog = Backlog(TEN)
    played(backlog, 5.0, until_s=8)
    backlog.arrived(came(5.0), later(100.0))
    assert not backlog.stands(later(100.0))
    backlog.turn(5.0, later(100.0), waited=True)
    assert not backlog.stands(later(100.0))


def test_without_a_limit_nothing_stands():
    """The default has no limit."""
    assert not any(played(Backlog(Overload()), 300.0, until_s=15))

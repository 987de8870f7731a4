"""The breaker: most healthy streams at once, or nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from support.assessments import a_segment, an_assessment, at_ms

from worker.breaker import LEAST_STREAMS, MOST_STREAMS, RECENT_S, Breaker, turn, was_healthy
from worker.records import Failure
from worker.streams.state import StreamState


def after(streams: int, bad: int, *, partitions: int = 2, at_s: float = 1.0) -> Breaker:
    """So many healthy streams, of which the first ones have turned bad."""
    breaker = Breaker()
    for n in range(streams):
        breaker.note(f"s{n}", n % partitions, "healthy", healthy_before=False, at_s=0.0)
    for n in range(bad):
        breaker.note(f"s{n}", n % partitions, "bad", healthy_before=True, at_s=at_s)
    return breaker


@pytest.mark.parametrize(
    ("streams", "bad", "partitions", "at_s", "trips"),
    [
        (20, 11, 2, 1.0, True),
        (20, 10, 2, 1.0, False),
        (19, 19, 2, 1.0, False),
        (40, 40, 1, 1.0, False),
        (1000, 501, 8, RECENT_S, True),
        (1000, 499, 8, 1.0, False),
    ],
)
def test_over_half_of_twenty_streams_in_two_partitions_trip_it(streams, bad, partitions, at_s, trips):
    """No fewer streams, no smaller share, no single partition."""
    breaker = after(streams, bad, partitions=partitions, at_s=at_s)
    assert (breaker.tripped is not None) is trips


def test_one_publisher_s_thousand_bad_segments_are_one_bad_stream():
    """However many it sends, the others go on."""
    breaker = after(20, 0)
    for n in range(1000):
        assert not breaker.note("hostile", n % 2, "bad", healthy_before=True, at_s=1.0)
    assert (breaker.bad, breaker.tripped) == (1, None)


def test_streams_that_were_never_healthy_do_not_count():
    """A publisher that opens a thousand broken streams stops nobody."""
    breaker = after(20, 0)
    for n in range(1000):
        breaker.note(f"new{n}", n % 2, "bad", healthy_before=False, at_s=1.0)
    assert (breaker.streams, breaker.tripped) == (20, None)


def test_a_deploy_that_is_bad_from_its_start_trips_it_too():
    """The new process has seen nobody healthy: the streams' state says who was."""
    breaker = Breaker()
    trips = [breaker.note(f"s{n}", n % 3, "bad", healthy_before=True, at_s=0.0) for n in range(LEAST_STREAMS + 5)]
    assert trips.index(True) == LEAST_STREAMS - 1
    assert trips.count(True) == 1


def test_a_stream_that_recovers_is_healthy_again():
    """A glitch that passes adds up to nothing."""
    breaker = Breaker()
    for round_s in range(50):
        for n in range(20):
            breaker.note(f"s{n}", n % 2, "bad" if n == round_s % 20 else "healthy", healthy_before=True, at_s=round_s)
    assert breaker.tripped is None


turns = st.tuples(
    st.integers(0, 40), st.integers(0, 3), st.sampled_from(["healthy", "bad"]), st.booleans(), st.floats(0, RECENT_S)
)


@given(st.lists(turns, max_size=300))
def test_it_trips_exactly_when_the_plain_count_says_so(notes):
    """Against a count from the definition: each stream's newest turn, among those healthy within the time."""
    breaker, at_s = Breaker(), 0.0
    newest: dict[str, tuple[int, float, bool]] = {}
    for number, partition, what, healthy_before, passed_s in notes:
        at_s += passed_s
        name = f"s{number}"
        newest = {s: seen for s, seen in newest.items() if at_s - seen[1] <= RECENT_S}
        if what == "healthy":
            newest[name] = (partition, at_s, False)
        elif name in newest or healthy_before:
            newest[name] = (partition, newest[name][1] if name in newest else at_s, True)
        bad = [seen for seen in newest.values() if seen[2]]
        too_many = len(newest) >= 20 and len(bad) * 2 > len(newest) and len({p for p, _, _ in bad}) >= 2
        before = breaker.tripped
        tripped = breaker.note(name, partition, what, healthy_before=healthy_before, at_s=at_s)
        assert tripped is (too_many and before is None)
        assert (breaker.streams, breaker.bad) == (len(newest), len(bad))


def test_it_is_bounded():
    """A million stream ids cost no more than the newest of them."""
    breaker = Breaker()
    for n in range(MOST_STREAMS + 500):
        breaker.note(f"s{n}", 0, "healthy", healthy_before=False, at_s=0.0)
    assert breaker.streams == MOST_STREAMS


@pytest.mark.parametrize(
    ("failure", "says"),
    [
        (None, "healthy"),
        (Failure(stage="decode", error="crashed", reason="x"), "bad"),
        (Failure(stage="score", error="model_failed", reason="x"), "bad"),
        (Failure(stage="wire", error="bad_header", reason="x"), None),
        (Failure(stage="fetch", error="not_found", reason="x"), None),
    ],
)
def test_only_decoder_and_model_make_a_stream_bad(failure, says):
    """What its publisher wrote wrongly says nothing of a deploy."""
    assert turn(an_assessment(a_segment(0), failure=failure)) == says


def test_a_segment_without_a_look_says_nothing():
    """A repeat or a segment without video is neither healthy nor bad."""
    assert turn(an_assessment(a_segment(0), looks=(), outcome="skipped")) is None


@pytest.mark.parametrize(("look_s", "healthy"), [(None, False), (-10.0, True), (-301.0, False)])
def test_who_was_healthy_is_told_by_the_records_times(look_s, healthy):
    """Not by the wall clock: behind a backlog the streams are as recent as they were."""
    state = StreamState(stream_id="stream-1", last_look_ms=None if look_s is None else at_ms(look_s))
    assessment = an_assessment(replace(a_segment(0)))
    assert was_healthy(state, assessment) is healthy

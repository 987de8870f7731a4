"""The load benchmark's schedules and arithmetic: what is due when, and what is made of what came."""

from __future__ import annotations

import math
import sys
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT))  # last, so that the installed package goes before the tree's

from benchmarks.figures import percentile  # noqa: E402 - needs the path above
from benchmarks.load import cost, level, play, report, result, tails  # noqa: E402
from benchmarks.load.floors import Turn  # noqa: E402
from benchmarks.load.part import PART  # noqa: E402
from benchmarks.load.play import KNOWN, LIFE, PERIOD_S, Stretch  # noqa: E402
from benchmarks.load.stand import Played  # noqa: E402
from benchmarks.part import failed  # noqa: E402
from benchmarks.rig.answers import Outcome  # noqa: E402
from benchmarks.rig.publishing import Due, Sent  # noqa: E402

PARTITIONS = 4
stretches = st.builds(Stretch, streams=st.integers(1, 60), seconds=st.integers(2, 40).map(float))


def of_streams(due):
    """What each stream sends, in the order of its times."""
    found = defaultdict(list)
    for one in due:
        found[one.stream_id].append(one)
    return found


# --- schedules --------------------------------------------------------------------------------------------------------


@given(stretches)
def test_evenly_phased_streams_share_the_two_seconds_out(stretch):
    """Between any two segments in a row passes the same time, and each stream's come every two seconds."""
    due = play.evenly(stretch, "s", PARTITIONS)
    gaps = [after.at_s - before.at_s for before, after in pairwise(due)]
    assert gaps == pytest.approx([PERIOD_S / stretch.streams] * len(gaps))
    assert len(due) == pytest.approx(stretch.streams / PERIOD_S * stretch.seconds, abs=1)
    assert due[-1].at_s < stretch.seconds
    for of_stream in of_streams(due).values():
        steps = [after.at_s - before.at_s for before, after in pairwise(of_stream)]
        assert steps == pytest.approx([PERIOD_S] * len(steps))


@given(stretches, st.booleans())
def test_a_stream_goes_on_without_a_gap_and_shows_the_known_picture_last_and_once(stretch, known):
    """So each opens one incident at most; and no segment shows what the one before it showed."""
    for of_stream in of_streams(play.evenly(stretch, "s", PARTITIONS, known=known)).values():
        first = of_stream[0].sequence
        assert [one.sequence for one in of_stream] == list(range(first, first + len(of_stream)))
        assert len({one.partition for one in of_stream}) == 1
        shown = [one.body for one in of_stream]
        assert [body == KNOWN for body in shown] == [known and one.sequence == LIFE - 1 for one in of_stream]
        assert all(body == KNOWN or body % LIFE == one.sequence for body, one in zip(shown, of_stream, strict=True))
        pictures = [body // LIFE for body in shown]
        assert all(before != after for before, after in pairwise(pictures))


def test_known_pictures_come_at_all_times_and_on_all_partitions():
    """Else a level's escalations would be those of one moment, or of one partition."""
    due = play.evenly(Stretch(streams=20, seconds=20.0), "s", PARTITIONS)
    known = [one for one in due if one.body == KNOWN]
    assert len(known) == len(due) / LIFE
    assert {int(one.at_s // PERIOD_S) for one in known} == set(range(10))
    assert {one.partition for one in known} == set(range(PARTITIONS))


def test_poisson_arrivals_have_the_same_rate_and_no_rhythm():
    """The mean gap is that of evenly phased streams, and so is its deviation; the seed alone decides."""
    due = play.poisson(Stretch(streams=100, seconds=100.0), "s", PARTITIONS, 1)
    gaps = [after.at_s - before.at_s for before, after in pairwise(due)]
    mean = sum(gaps) / len(gaps)
    assert mean == pytest.approx(PERIOD_S / 100, rel=0.05)
    assert math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) == pytest.approx(mean, rel=0.05)
    assert due == play.poisson(Stretch(streams=100, seconds=100.0), "s", PARTITIONS, 1)
    assert due != play.poisson(Stretch(streams=100, seconds=100.0), "s", PARTITIONS, 2)


def test_stretches_follow_one_another_with_streams_of_their_own():
    """Past capacity other streams come: nobody's clock jumps."""
    due = play.one_after_the_other([Stretch(streams=2, seconds=4.0), Stretch(streams=4, seconds=4.0)], "s", PARTITIONS)
    assert [one.at_s for one in due] == sorted(one.at_s for one in due)
    assert (len(due), due[4].at_s) == (12, 4.0)
    assert not {one.stream_id for one in due[:4]} & {one.stream_id for one in due[4:]}


@pytest.mark.parametrize(("per_s", "load", "streams"), [(40.0, 0.7, 56), (40.0, 1.2, 96), (0.1, 0.1, 1)])
def test_a_load_is_so_many_live_streams(per_s, load, streams):
    """Each sends a segment every two seconds; there is one at least."""
    assert play.streams_at(per_s, load) == streams


# --- latencies --------------------------------------------------------------------------------------------------------


@settings(deadline=None)  # the first example loads the histogram's library
@given(st.lists(st.integers(1, 100_000), min_size=1, max_size=300))
def test_a_tails_percentiles_are_those_of_its_values(values):
    """To three digits, and the histogram that is kept says the same to anybody's tools."""
    found = tails.tail(values)
    for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("worst", 1.0)):
        assert getattr(found, name) == pytest.approx(percentile(values, share), rel=0.002)
    kept = HdrHistogram.decode(found.hdr)
    assert kept.get_total_count() == found.count == len(values)
    assert kept.get_max_value() / 1000 == found.worst


def test_a_tail_of_nothing_is_none():
    """No latency is made up where nothing came."""
    assert tails.tail([]) is None
    assert tails.between({}, 99) is None


def test_streams_differ_by_what_each_of_them_has():
    """The worst stream is told, however many others are well."""
    found = tails.between({"a": [1.0, 2.0], "b": [5.0], "c": [3.0, 9.0]}, 99)
    assert (found.least, found.median, found.most) == (2.0, 5.0, 9.0)


@pytest.mark.parametrize(
    ("p99", "expected"),
    [
        ({0.1: 30, 0.5: 50, 0.7: 91, 0.85: 80}, 0.5),  # what is above it has a rise below it
        ({0.1: 30, 0.5: 50, 0.7: 90}, 0.7),
        ({0.1: 91, 0.5: 50}, None),
    ],
)
def test_the_knee_is_where_it_first_rises_above_three_times_the_unloaded_median(p99, expected):
    """A lucky level past it does not move it."""
    assert tails.knee(p99, 30.0) == expected


def second(at_s, latency):
    """Segments every 100 ms of a second, with one latency."""
    return [(at_s * 1000.0 + n * 100, latency) for n in range(10)]


def test_it_is_back_when_it_stays_as_before_for_three_seconds():
    """One good second between bad ones is no recovery; the bad one after it counts."""
    came = [
        *second(0, 900.0),
        *second(1, 50.0),
        *second(2, 500.0),
        *(one for s in (3, 4, 5) for one in second(s, 190.0)),
    ]
    assert tails.recovered_s(came, 0.0, 100.0, 6000.0) == 3.0
    assert tails.recovered_s(came, 0.0, 90.0, 6000.0) is None


def test_it_is_not_back_while_anything_is_shed():
    """What is still looked at may be quick just because the rest is not."""
    came = [*second(0, 50.0), *second(1, 50.0), *second(2, 50.0), *second(3, 50.0), (500.0, None)]
    assert tails.recovered_s(came, 0.0, 100.0, 4000.0) == 0.6


def test_what_came_before_the_end_of_the_overload_is_no_part_of_the_recovery():
    """It waits in the queue that the overload left."""
    came = [*second(0, 5000.0), *(one for s in (1, 2, 3) for one in second(s, 50.0))]
    assert tails.recovered_s(came, 1000.0, 100.0, 4000.0) == 0.0


# --- a level ----------------------------------------------------------------------------------------------------------


def due(at_s, body=0, stream="s-0-0"):
    """A segment that is due."""
    return Due(at_s=at_s, stream_id=stream, sequence=0, partition=0, body=body)


def sent(offset, due_ms, *, late_ms=0.0, append_ms=1):
    """A segment that the broker has, so much after it was due."""
    handed_ms = due_ms + late_ms
    return Sent(
        partition=0, offset=offset, due_ms=due_ms, handed_ms=handed_ms, appended_ms=round(handed_ms + append_ms)
    )


def came(both, outcomes, opened=None):
    """A schedule that started at second 100."""
    dues, sents = zip(*both, strict=True)
    told = {(0, offset): Outcome(at_ms, outcome, None) for offset, (at_ms, outcome) in outcomes.items()}
    played = Played(due=dues, sent=sents, start_s=100.0)
    return level.Came(played, told, {(0, offset): at_ms for offset, at_ms in (opened or {}).items()})


def leveled(found, seconds=4.0, settle_s=1.0):
    """The level of it."""
    stretch = Stretch(streams=1, seconds=seconds)
    return level.level(found, load=0.7, arrivals="even", stretch=stretch, spent={"loop": 0.6}, settle_s=settle_s)


def test_a_late_generator_counts_from_when_a_segment_was_due():
    """A stall that keeps it from sending is not forgiven; from the append it would be."""
    found = leveled(
        came([(due(2.0, KNOWN), sent(0, 102_000.0, late_ms=700.0))], {0: (102_800, "assessed")}, {0: 102_751})
    )
    assert found.escalation.p50 == pytest.approx(50, rel=0.001)
    assert found.escalation_due.p50 == pytest.approx(751, rel=0.001)
    assert found.late.worst == pytest.approx(700, rel=0.001)


def test_what_was_looked_at_is_counted_when_it_was_told():
    """Throughput is what came out in the window, offered what was due in it; the settling is neither."""
    both = [(due(at_s), sent(n, (100 + at_s) * 1000)) for n, at_s in enumerate((0.5, 1.5, 2.0, 3.9))]
    outcomes = {0: (101_200, "assessed"), 1: (102_000, "assessed"), 2: (102_500, "shed"), 3: (104_100, "assessed")}
    found = leveled(came(both, outcomes))
    assert (found.offered_per_s, found.assessed_per_s, found.shed) == (1.0, pytest.approx(2 / 3), 1)
    assert found.cpu_ms == {"loop": pytest.approx(300)}
    assert found.cores == {"loop": pytest.approx(0.2)}


def test_a_known_picture_that_was_shed_is_missing_nowhere_and_one_that_was_looked_at_is():
    """Shedding is told as shedding; an incident that does not come is a defect, and so is one that should not."""
    both = [
        (due(1.0, KNOWN), sent(0, 101_000)),
        (due(2.0, KNOWN), sent(1, 102_000)),
        (due(2.5), sent(2, 102_500)),
        (due(3.0), sent(3, 103_000)),
    ]
    outcomes = {0: (101_100, "shed"), 1: (102_100, "assessed"), 2: (102_600, "assessed")}
    found = leveled(came(both, outcomes, {2: 102_600}))
    assert (found.known_shed, found.wrong, found.lost) == (1, 2, 1)
    assert leveled(came(both, outcomes | {3: (103_100, "dead_lettered")}, {1: 102_100})).lost == 1


def test_places_of_streams_are_told_apart_whoever_lives_there():
    """A place that is always late shows, though its streams come and go."""
    both = [(due(1.0, stream="s-0-0"), sent(0, 101_000)), (due(3.0, stream="s-0-1"), sent(1, 103_000))]
    both += [(due(2.0, stream="s-1-0"), sent(2, 102_000))]
    found = leveled(came(both, {0: (101_011, "assessed"), 1: (103_011, "assessed"), 2: (102_301, "assessed")}))
    assert (found.streams_p99.least, found.streams_p99.most) == (10.0, 300.0)


def overloaded(after_ms):
    """Two seconds calm, two past capacity, six after; each second ten segments of the known picture."""
    both, outcomes, opened = [], {}, {}
    for n in range(100):
        at_s = n / 10
        both.append((due(at_s, KNOWN), sent(n, (100 + at_s) * 1000)))
        took_ms = 50 if at_s < 2 else 2000 if at_s < 4 else after_ms(at_s)
        outcomes[n] = (both[-1][1].appended_ms + took_ms, "assessed")
        opened[n] = both[-1][1].appended_ms + took_ms
    stretches = [Stretch(streams=1, seconds=seconds) for seconds in (2.0, 2.0, 6.0)]
    return level.overload(came(both, outcomes, opened), stretches, (0.5, 1.2), lateness_s=5.0, settle_s=0.0)


def test_a_recovery_is_counted_from_the_end_of_the_overload():
    """What waits on in the first second after it makes it one second."""
    found = overloaded(lambda at_s: 900 if at_s < 5 else 60)
    assert (found.before_p99, found.recovered_s) == (pytest.approx(50, rel=0.01), 1.0)
    assert [round(one.p99, -1) for one in found.seconds] == [50, 50, 2000, 2000, 900, 60, 60, 60, 60, 60]


# --- cost -------------------------------------------------------------------------------------------------------------


def test_a_cost_is_held_against_the_floors_of_the_same_slice():
    """A machine that is slower in each slice than in the one before changes no ratio."""
    both = [(due(n / 10), sent(n, 100_000.0 + n * 100)) for n in range(40)]
    played = Played(due=tuple(one for one, _ in both), sent=tuple(one for _, one in both), start_s=100.0)
    slow = {0: 1, 1: 1, 2: 2, 3: 3}
    looks, spent = [(100.0, {"loop": 0.0, "bytes in": 0.0, "decoders": 0.0})], 0.0
    for number, factor in slow.items():
        spent += factor * 0.1
        looks.append((101.0 + number, {"loop": spent, "bytes in": spent / 10, "decoders": spent}))
    turns = [
        Turn(at_s=100.5 + n, idr=10.0 * f, bare=6.0 * f, warm_idr=5.0 * f, warm_bare=3.0 * f) for n, f in slow.items()
    ]
    slices = cost.sliced(looks, played, turns, begin_s=1.0, end_s=4.0, slice_s=1.0)
    capacity = result.Capacity(segments=1, per_s=1.0, cpu_ms={}, strangers=0.0)
    found = cost.told(slices, "demo", capacity, Stretch(streams=1, seconds=4.0))
    assert found.worker_ms.count == 3
    assert (found.worker_ms.median, found.worker_ms.mad) == (pytest.approx(40), pytest.approx(20))
    assert (found.over_floor.median, found.over_floor.mad) == (pytest.approx(20 / 16), pytest.approx(0, abs=1e-9))
    assert found.over_floor_with_bytes_in.median == pytest.approx(20 / 17)
    assert found.over_warm_floor.median == pytest.approx(20 / 8)


# --- the result -------------------------------------------------------------------------------------------------------


def a_level(load, p50, p99, per_s, **more):
    """A level with such latencies and throughput."""
    tail = replace(tails.tail([p50]), p50=p50, p99=p99)
    empty = leveled(came([(due(2.0), sent(0, 102_000.0))], {0: (102_100, "assessed")}))
    return replace(empty, load=load, escalation=tail, escalation_due=tail, assessed_per_s=per_s, **more)


def a_result(**changes):
    """What a good run gives."""
    found = result.Load(
        clip="720p",
        segment_bytes=500_000,
        idr_bytes=100_000,
        life=LIFE,
        partitions=PARTITIONS,
        lateness_s=5.0,
        capacity=result.Capacity(segments=100, per_s=50.0, cpu_ms={"loop": 4.0, "decoders": 12.0}, strangers=0.0),
        levels=(a_level(0.1, 30, 40, 5.0), a_level(0.7, 35, 80, 35.0), a_level(1.2, 2000, 2500, 49.0)),
        overload=overloaded(lambda at_s: 900 if at_s < 5 else 60),
        costs=(),
        repeated=0,
        skipped={},
    )
    return replace(found, **changes)


def breached(found):
    """The bounds that such a result misses."""
    return [check.bound.value for check in failed(result.checks(found), quick=False)]


def test_a_good_run_misses_no_bound():
    """What was not measured is missed by nobody."""
    assert breached(a_result()) == []


@pytest.mark.parametrize(
    ("levels", "missed"),
    [
        ((a_level(0.1, 30, 40, 5.0), a_level(0.7, 35, 91, 35.0)), "at 70 % load"),
        ((a_level(0.1, 30, 40, 5.0), a_level(1.2, 2000, 2500, 47.0)), "throughput"),  # the backlog's peak counts too
        ((a_level(1.0, 30, 40, 60.0), a_level(1.2, 2000, 2500, 49.0)), "throughput"),
        ((a_level(0.1, 30, 40, 5.0), a_level(1.2, 2000, 5100, 49.0)), "lateness limit"),
        ((a_level(0.1, 30, 40, 5.0, lost=1),), "without just one outcome"),
        ((a_level(0.1, 30, 40, 5.0, wrong=1),), "incidents missing"),
    ],
)
def test_each_bound_can_be_missed(levels, missed):
    """A benchmark that can't fail is a defect."""
    [found] = breached(a_result(levels=levels))
    assert missed in found


def test_poisson_arrivals_are_told_and_not_held_to_the_bound_of_live_streams():
    """Live streams are evenly phased."""
    levels = (*a_result().levels, a_level(0.7, 35, 500, 35.0, arrivals="poisson"))
    assert breached(a_result(levels=levels)) == []


def test_an_outcome_too_many_is_a_defect():
    """Exactly once is what is promised, under load too."""
    assert breached(a_result(repeated=1)) == ["segments without just one outcome"]


def test_an_overload_that_is_never_over_misses_its_bound():
    """However short the time was that was watched."""
    assert breached(a_result(overload=overloaded(lambda _: 900))) == ["back to normal after an overload"]


def test_strangers_are_who_had_the_workers_core_and_was_not_the_worker():
    """A busy machine is told as one, and what is around the worker has another core."""
    assert result.strangers({"core": 0.9, "loop": 0.2, "decoders": 0.4, "broker": 0.3}) == pytest.approx(0.3)
    assert result.strangers({"loop": 0.2}) == 0.0


def test_a_result_is_kept_told_and_drawn():
    """As JSON and back it is the same; its text links just the plots that there are."""
    found = a_result()
    assert msgspec.json.decode(msgspec.json.encode(found), type=PART.result) == found
    names = [name for name, _ in report.plots(found)]
    assert all(f"(benchmarks/load-{name}.svg)" in report.text(found) for name in names)
    assert report.text(found).count(".svg)") == len(names)

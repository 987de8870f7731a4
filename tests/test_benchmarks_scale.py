"""The scale benchmark's arithmetic: which time of a backlog counts, whose turn it is, and what is held against what."""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT))  # last, so that the installed package goes before the tree's

from benchmarks import clips  # noqa: E402 - needs the path above
from benchmarks.figures import figure  # noqa: E402
from benchmarks.part import failed  # noqa: E402
from benchmarks.rig import crew, remembered  # noqa: E402
from benchmarks.rig.known import ASK  # noqa: E402
from benchmarks.scale import backlog, report, result, sizes, window  # noqa: E402
from benchmarks.scale.part import PART  # noqa: E402
from benchmarks.scale.window import Answer  # noqa: E402
from worker.examine import examine  # noqa: E402
from worker.streams.identity import REMEMBERED  # noqa: E402
from worker.streams.state import restore, snapshot  # noqa: E402

# --- the time that counts ---------------------------------------------------------------------------------------------


def answered(*partitions):
    """An answer a second, on these partitions one after the other, from second 100 on."""
    return [Answer(partition, 100.0 + number) for number, partition in enumerate(partitions)]


def looks(*decoded):
    """A look a second from second 100 on, with each worker's decoders' seconds so far."""
    return [
        (100.0 + number, {crew.decoders_of(worker): s for worker, s in enumerate(each)})
        for number, each in enumerate(decoded)
    ]


def test_of_one_workers_backlog_the_middle_counts():
    """Neither the first answers, while it starts, nor the last, when its lanes run dry."""
    assert window.window(answered(*[0, 1] * 50), [], 1) == (120.0, 195.0)


def test_nothing_counts_before_every_worker_decodes():
    """The first one has all partitions until the others have joined."""
    begin_s, _ = window.window(answered(*[0, 1] * 50), looks(*[(n, max(0.0, n - 39.5)) for n in range(100)]), 2)
    assert begin_s == 140.0


def test_nothing_counts_after_a_partition_is_worked_off():
    """Its worker may have no other one."""
    both = answered(*[0, 1] * 30, *[1] * 40)
    assert window.window(both, looks(*[(n, n) for n in range(100)]), 2) == (120.0, 158.0)
    assert window.window(both, [], 1) == (120.0, 195.0)


@pytest.mark.parametrize("decoded", [[(n, 0.0) for n in range(100)], [(n, max(0.0, n - 96)) for n in range(100)]])
def test_a_backlog_that_is_too_short_is_told(decoded):
    """A worker that never came, or came at the very end, makes no figure."""
    with pytest.raises(ValueError, match="take a longer one"):
        window.window(answered(*[0, 1] * 50), looks(*decoded), 2)


def test_what_was_spent_is_told_a_segment():
    """Of the segments and the CPU between the two moments, by who took it."""
    spent = [(100.0 + n, {"loop": 0.02 * n, "decoders": 0.1 * n, "broker": 0.01 * n}) for n in range(100)]
    found = window.worked(answered(*[0, 1] * 50), spent, 1, generator_ms=0.5)
    assert (found.segments, found.seconds, found.per_s) == (75, 75.0, 1.0)
    assert found.worker_ms == pytest.approx(120)
    assert {name: found.cpu_ms[name] for name in ("broker", "generator", "answers")} == pytest.approx(
        {"broker": 10, "generator": 0.5, "answers": 0}
    )


# --- what is played ---------------------------------------------------------------------------------------------------


@given(st.sampled_from([10, 100, 1000, 10_000]), st.integers(1, 3000))
def test_streams_take_turns_where_their_past_ends(streams, count):
    """Each goes on where it was, on one partition, and partitions have the same, also with ten streams."""
    due = backlog.turns(streams, count)
    of_stream = defaultdict(list)
    for one in due:
        of_stream[one.stream_id].append(one)
    assert len(of_stream) == min(streams, count)
    lengths = {len(each) for each in of_stream.values()}
    assert max(lengths) - min(lengths) <= 1
    for each in of_stream.values():
        assert [one.sequence for one in each] == [remembered.HISTORY + n for n in range(len(each))]
        assert [one.body for one in each] == list(range(len(each)))
        assert len({one.partition for one in each}) == 1
    of_partition = [sum(one.partition == number for one in due) for number in range(backlog.SMALL_PARTITIONS)]
    assert max(of_partition) - min(of_partition) <= 1


def test_a_stream_with_a_past_remembers_as_much_as_a_stream_can():
    """And what it gets next begins where its clock stands: it is one stream that goes on."""
    state = remembered.remembered()
    again = restore("s", snapshot(state), state.older)
    assert len(again.seen.contents) // 8 == REMEMBERED
    assert len(again.recent) >= 60
    assert again.sequence == remembered.HISTORY - 1
    begins_s = remembered.next_begins_s(remembered.HISTORY)
    assert begins_s == remembered.BEGAN_S + again.media_time_s + 2.0


def test_segments_grow_behind_the_same_first_keyframe():
    """About as large as was wanted, looked at once, and with the same hash."""
    whole = clips.encode(clips.Recipe(height=288, codec="h264", weight="heavy", containers=("ts",)), 1, frames=50)
    made = [sizes.stretched(whole, size) for size in (80_000, 400_000, 3_000_000)]
    assert [len(one) for one in made] == [pytest.approx(size, rel=0.15) for size in (80_000, 400_000, 3_000_000)]
    seen = [examine(one, None, ASK) for one in made]
    assert {one.frames[0].hash for one in seen} == {examine(clips.transport(whole), None, ASK).frames[0].hash}
    assert [one.keyframes_seen for one in seen] == [1, 1, 1]
    assert not any(one.damaged for one in seen)


# --- the result -------------------------------------------------------------------------------------------------------


def worked(per_s=50.0, ms=10.0):
    """A backlog that was worked off so quickly, at such a cost."""
    cpu_ms = dict.fromkeys((*result.WORKER, *result.AROUND), ms / 4)
    return result.Worked(segments=100, seconds=100 / per_s, per_s=per_s, cpu_ms=cpu_ms)


def a_result(**changes):
    """What a good run gives."""
    one, two = (worked(50), worked(60)), (worked(90), worked(102))
    found = result.Scale(
        clip="720p",
        segment_bytes=500_000,
        partitions=4,
        backlog=100,
        shared=True,
        grown=(
            result.Grown(cores=1, workers=1, runs=one),
            result.Grown(cores=2, workers=1, runs=two),
            result.Grown(cores=2, workers=2, runs=two),
        ),
        small="288p",
        small_bytes=20_000,
        small_segments=100,
        small_partitions=5,
        streams=(
            result.Streams(streams=10, runs=(worked(ms=10), worked(ms=20))),
            result.Streams(streams=10_000, runs=(worked(ms=10.5), worked(ms=21))),
        ),
        sizes=tuple(
            result.Size(way=way, segment_bytes=size, worker_ms=figure([1.0]), broker_ms=figure([1.0]))
            for way in ("inline", "file")
            for size in (200_000, 8_000_000)
        ),
        lists=(listed(0, 1.0), listed(1_000_000, 1.01)),
        list_clip="720p",
        wrong=0,
        skipped={"3 workers on 2 cores": "busy"},
    )
    return replace(found, **changes)


def listed(entries, over_none):
    """A list and what it adds."""
    ms = figure([1.0])
    return result.Listed(entries=entries, read_s=None, match_ms=ms, whole_ms=ms, over_none=figure([over_none]))


def test_runs_are_held_against_their_neighbours():
    """The first against the first: a machine that became slower in between changes no ratio."""
    found = a_result()
    assert result.second_core(found).median == pytest.approx((1.8 + 1.7) / 2)
    assert result.many_streams(found).median == pytest.approx(1.05)
    assert result.many_streams(found).mad == pytest.approx(0)


def test_a_good_run_misses_no_bound():
    """And what was not measured is missed by nobody."""
    assert failed(result.checks(a_result()), quick=False) == ()
    assert failed(result.checks(a_result(grown=(), streams=(), lists=())), quick=False) == ()


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        (
            {
                "grown": (
                    result.Grown(cores=1, workers=1, runs=(worked(50),)),
                    result.Grown(cores=2, workers=1, runs=(worked(84),)),
                )
            },
            "second core",
        ),
        (
            {
                "streams": (
                    result.Streams(streams=10, runs=(worked(ms=10),)),
                    result.Streams(streams=10_000, runs=(worked(ms=11.1),)),
                )
            },
            "10,000 streams",
        ),
        ({"lists": (listed(0, 1.0), listed(1_000_000, 1.06))}, "list of 1,000,000"),
        ({"wrong": 1}, "looked at just once"),
    ],
)
def test_each_bound_can_be_missed(changes, missed):
    """A benchmark that can't fail is a defect."""
    [found] = failed(result.checks(a_result(**changes)), quick=False)
    assert missed in found.bound.value


def test_a_result_is_kept_told_and_drawn():
    """As JSON and back it is the same; its text links just the plots that there are."""
    found = a_result()
    assert msgspec.json.decode(msgspec.json.encode(found), type=PART.result) == found
    names = [name for name, _ in report.plots(found)]
    assert all(f"(benchmarks/scale-{name}.svg)" in report.text(found) for name in names)
    assert report.text(found).count(".svg)") == len(names)
    assert "not measured, 3 workers on 2 cores: busy" in report.text(found)

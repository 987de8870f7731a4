"""The safety benchmark: what is taken out is out and nothing else, whose turn it is, and what is held against what."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from support.assessments import a_segment, an_assessment

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT))  # last, so that the installed package goes before the tree's

from benchmarks import clips  # noqa: E402 - needs the path above
from benchmarks.figures import figure  # noqa: E402
from benchmarks.part import failed  # noqa: E402
from benchmarks.rig import crew, remembered  # noqa: E402
from benchmarks.safety import child, duel, report, result  # noqa: E402
from benchmarks.safety.duel import Load, Turn  # noqa: E402
from benchmarks.safety.part import OFF, PART  # noqa: E402
from worker.conclude import Conclusion  # noqa: E402
from worker.examine import examine  # noqa: E402
from worker.partition.memory import Memory  # noqa: E402
from worker.records import Ask, LogRange, Media  # noqa: E402
from worker.streams.memory import advance  # noqa: E402

# --- turns ------------------------------------------------------------------------------------------------------------


@given(st.integers(1, 200), st.integers(0, 20), st.integers(1, 6))
def test_streams_go_on_from_turn_to_turn(streams, played, each):
    """Evenly phased, two seconds apart, each where it left off, each on its own partition."""
    due = duel.schedule(streams, played, each)
    gaps = [after.at_s - before.at_s for before, after in pairwise(due)]
    assert gaps == pytest.approx([duel.PERIOD_S / streams] * len(gaps))
    assert due[-1].at_s < each * duel.PERIOD_S
    for number in range(streams):
        own = [one for one in due if one.stream_id == f"stream-{number}"]
        assert [one.sequence for one in own] == [remembered.HISTORY + played + turn for turn in range(each)]
        assert [one.body for one in own] == [played + turn for turn in range(each)]
        assert {one.partition for one in own} == {number % duel.PARTITIONS}


class Fighting:
    """One that writes down when it had its turn, and takes so long."""

    def __init__(self, name, told, ms):
        self.name, self.told, self.ms = name, told, ms

    def turn(self, load):
        self.told.append(self.name)
        slower = len(self.told)  # the machine gets slower with each turn
        return a_turn(self.ms * slower)


def a_turn(ms, wait_ms=300.0):
    """A turn at such a cost."""
    return Turn(dict.fromkeys(crew.WORKER, ms / 4) | {"broker": 1.0}, [wait_ms])


def test_every_other_round_runs_the_other_way_about():
    """So that a drift favours nobody; and nothing counts before both are warm."""
    told = []
    usual, other = duel.taking_turns(Fighting("a", told, 10), Fighting("b", told, 10), Load(8, 4, []), 4)
    assert "".join(told) == "ab" + "abbaabba"
    assert (len(usual), len(other)) == (4, 4)
    assert duel.over(usual, other).median == pytest.approx(1, abs=0.05)


def test_a_side_is_told_by_its_medians():
    """One wild turn moves nothing; waits are those of all segments."""
    found = duel.side([a_turn(10, 100), a_turn(12, 200), a_turn(1000, 300)])
    assert (found.worker_ms.median, found.wait_ms) == (pytest.approx(12), 200)
    assert found.parts_ms["broker"] == 1.0


# --- what is taken out ------------------------------------------------------------------------------------------------


def remembering(kind):
    """A partition's memory after a segment of a stream."""
    memory = kind(topic="risk", partition=3, on_rewind="keep")
    memory.agree(None, a_log())
    state, _ = advance(memory.state("stream-1"), an_assessment(a_segment(0)), preserve_before_s=120.0)
    memory.apply(Conclusion(state=state, messages=()), 1000)
    return memory


def a_log():
    """A log that begins with the segment."""
    return LogRange(first=1000, end=1001)


def test_without_snapshots_nothing_is_written_and_the_stream_is_remembered_all_the_same():
    """What comes next is judged like with them."""
    usual, forgetful = remembering(Memory), remembering(child._Forgetful)
    assert usual.take_changes(1001)
    assert list(forgetful.silent(())) == []
    assert forgetful.take_changes(1001) == []
    assert forgetful.state("stream-1").seen == usual.state("stream-1").seen


async def test_without_the_jail_a_segment_gives_the_same_sample():
    """Only where it is decoded differs."""
    clip = clips.make((clips.Recipe(height=288, codec="h264", weight="heavy", containers=("ts",)),), 1)[0]
    ask = Ask(content_type="video/mp2t", interval_s=2, max_keyframes=1, view=None, max_pixels=10**6, max_streams=8)
    found = await child._InThreads().sample(Media(data=clip.data, init=None, sha256=clip.sha256), ask)
    here = examine(clip.data, None, ask)
    assert [frame.hash for frame in found.frames] == [frame.hash for frame in here.frames]


class Releasing:
    """An outlet that remembers what it was given."""

    def __init__(self):
        self.released = []

    async def open(self):
        """As the real one."""
        return 7

    def changelog(self):
        raise AssertionError

    async def release(self, messages, next_offset):
        self.released.append((messages, next_offset))

    async def close(self):
        """As the real one."""


async def test_a_release_is_timed_and_otherwise_as_it_was(tmp_path):
    """A line for each."""
    outlet = Releasing()
    timed = child._Timed(outlet, tmp_path / "releases")
    assert await timed.open() == 7
    await timed.release(["a"], 1)
    await timed.release([], 2)
    assert outlet.released == [(["a"], 1), ([], 2)]
    assert all(float(line) >= 0 for line in (tmp_path / "releases").read_text().splitlines())
    assert len((tmp_path / "releases").read_text().splitlines()) == 2


# --- the result -------------------------------------------------------------------------------------------------------


def a_duel(what, over):
    """A worker beside one without it."""
    side = duel.side([a_turn(10)])
    return result.Duel(what=what, usual=side, other=side, over=figure([over]))


def a_result(**changes):
    """What a good run gives."""
    found = result.Safety(
        clip="720p",
        segment_bytes=500_000,
        partitions=8,
        share=0.7,
        per_s=60.0,
        release_interval_s=0.5,
        duels=(a_duel(result.BOTH, 1.04), a_duel(result.JAIL, 1.5)),
        intervals=(result.Interval(seconds=0.1, side=duel.side([a_turn(12)]), over=figure([1.2])),),
        releases=result.Releases(waits_ms=figure([5.0]), hasty_ms=figure([4.0]), cpu_over=figure([1.01])),
        wrong=0,
    )
    return replace(found, **changes)


def test_a_good_run_misses_no_bound():
    """What only the jail costs is told, and not held to the bound of the others."""
    assert failed(result.checks(a_result()), quick=False) == ()


@pytest.mark.parametrize(
    ("changes", "missed"),
    [({"duels": (a_duel(result.BOTH, 1.06),)}, "transactions and snapshots"), ({"wrong": 1}, "looked at just once")],
)
def test_each_bound_can_be_missed(changes, missed):
    """A benchmark that can't fail is a defect."""
    [found] = failed(result.checks(a_result(**changes)), quick=False)
    assert missed in found.bound.value


def test_each_thing_that_is_on_is_turned_off():
    """Everything that the report has a row for."""
    assert set(OFF) == {result.BOTH, result.JAIL, result.TRANSACTIONS, result.SNAPSHOTS}


def test_a_result_is_kept_told_and_drawn():
    """As JSON and back it is the same; its text links just the plots that there are."""
    found = a_result()
    assert msgspec.json.decode(msgspec.json.encode(found), type=PART.result) == found
    names = [name for name, _ in report.plots(found)]
    assert all(f"(benchmarks/safety-{name}.svg)" in report.text(found) for name in names)
    assert report.text(found).count(".svg)") == len(names)

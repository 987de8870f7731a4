"""The benchmark beside the peers: its arithmetic, what it plays, and that their recipes read what ours reads."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT))  # last, so that the installed package goes before the tree's
sys.path.append(str(ROOT / "benchmarks" / "peers" / "theirs"))

import recipes  # noqa: E402 - needs the path above

from benchmarks import clips  # noqa: E402
from benchmarks.figures import figure  # noqa: E402
from benchmarks.part import failed  # noqa: E402
from benchmarks.peers import decisions, playing, readers, report, result  # noqa: E402
from benchmarks.stages.decoding import asking  # noqa: E402
from worker.examine import examine  # noqa: E402
from worker.hashing import hamming, pdq  # noqa: E402

TINY = clips.Recipe(height=288, codec="h264", weight="heavy", containers=("ts",))
OWN = ("pyav", "pyav-tuned", "cv2-first", "pyav-1fps", "cv2-1fps", "cv2-grab-1fps", "vpdq-1fps")
"""Recipes that need nothing but what Framewatch is tested with."""


def a_reading(*, heavy=True, **ratios):
    """A segment that each reader read at so many times our cost."""
    names = {name.replace("_", "-"): ratio for name, ratio in ratios.items()}
    hashed = {f"{name} {result.HASHED}": figure([ratio]) for name, ratio in names.items()}
    both = {result.FLOOR: figure([0.8]), result.OURS: figure([1.0]), f"{result.OURS} {result.HASHED}": figure([1.0])}
    return result.Reading(
        clip="x",
        heavy=heavy,
        ms=both | {name: figure([ratio]) for name, ratio in names.items()} | hashed,
        ratios={name: figure([ratio]) for name, ratio in names.items()} | hashed,
        pictures=dict.fromkeys([result.OURS, *names], 1),
        bits=dict.fromkeys(names, 0),
        failed={"decord-first": "no TS"},
    )


def a_pipeline(**changes):
    """A pipeline that takes four times what ours does."""
    fine = result.Pipeline(
        name="FastStream",
        recipe="pyav",
        model="demo",
        cpu_ms=figure([80.0]),
        broker_ms=figure([5.0]),
        latency_ms=figure([60.0]),
        ratio=figure([4.0]),
        wrong=0,
    )
    return replace(fine, **changes)


def a_hashing(height, ratio):
    """A picture so high, hashed so many times quicker."""
    one = figure([1.0])
    return result.Hashing(clip="x", height=height, ours_ms=one, pdqhash_ms=one, ratio=figure([ratio]))


def a_result(**changes):
    """A run in which all is well."""
    ours = a_pipeline(name=result.OURS, recipe=result.OURS, cpu_ms=figure([20.0]), ratio=figure([1.0]))
    fine = result.Peers(
        rounds=1,
        pipeline_rounds=1,
        segments="",
        burst=1,
        list_size=1,
        packages={},
        readings=(a_reading(pyav=2.5, ffmpeg_keyframes=3.0, cv2_1fps=14.0, vpdq_1fps=13.0),),
        hashings=(a_hashing(720, 15.0), a_hashing(1080, 24.0)),
        bits=(0, 1),
        pipelines=(ours, a_pipeline()),
        skipped={},
    )
    return replace(fine, **changes)


# --- bounds -----------------------------------------------------------------------------------------------------------


def test_a_run_in_which_all_is_well_breaches_nothing_and_can_be_told():
    """Every bound is measured; the text has every table, and what it links is drawn."""
    fine = a_result()
    checks = result.checks(fine)
    assert failed(checks, quick=False) == ()
    assert all(check.measured is not None for check in checks)
    told = report.text(fine)
    assert "decord, first picture: no TS" in told
    assert "| **Framewatch** | its own" in told
    assert all(f"benchmarks/peers-{name}.svg" in told for name, _ in report.plots(fine))


@pytest.mark.parametrize(
    ("worse", "measured"),
    [
        ({"readings": (a_reading(pyav=1.9),)}, 1.9),
        ({"readings": (a_reading(ffmpeg_keyframes=2.4),)}, 2.4),
        ({"readings": (a_reading(cv2_1fps=20.0, vpdq_1fps=11.0),)}, 11.0),
        ({"hashings": (a_hashing(720, 11.9), a_hashing(720, 20.0), a_hashing(1080, 24.0))}, 11.9),
        ({"hashings": (a_hashing(720, 15.0), a_hashing(1080, 17.0))}, 17.0),
        ({"pipelines": (a_pipeline(), a_pipeline(name="Faust", ratio=figure([2.9])))}, 2.9),
    ],
)
def test_a_speed_below_its_bound_fails_a_full_run_and_no_quick_one(worse, measured):
    """The least favourable of all that is in question counts."""
    checks = result.checks(a_result(**worse))
    assert [check.measured for check in failed(checks, quick=False)] == [measured]
    assert failed(checks, quick=True) == ()


@pytest.mark.parametrize(
    ("worse", "measured"),
    [
        ({"bits": (3, 2)}, 2.5),
        ({"bits": (0, 0, 0, 0, 9)}, 9),
        ({"readings": (replace(a_reading(pyav=3.0), bits={"pyav": 32}),)}, 32),
        ({"pipelines": (a_pipeline(wrong=1), a_pipeline(wrong=1))}, 2),
    ],
)
def test_a_breach_of_quality_fails_a_quick_run_too(worse, measured):
    """A pipeline that decides otherwise, or a reader that reads something else, is no peer."""
    [breach] = failed(result.checks(a_result(**worse)), quick=True)
    assert breach.measured == measured


def test_only_heavy_segments_count_for_the_readers_bounds():
    """Around a small IDR there is always more than in it."""
    light = a_reading(heavy=False, pyav=1.0)
    assert result.least((light, a_reading(pyav=2.0)), ("pyav",)) == 2.0
    assert result.least((light,), ("pyav",)) is None


def test_with_another_model_no_bound_is_held():
    """What a large model takes is the same on both sides; it is told, not held."""
    real = a_pipeline(model="opennsfw", ratio=figure([1.5]))
    assert failed(result.checks(a_result(pipelines=(a_pipeline(), real))), quick=False) == ()


# --- arithmetic -------------------------------------------------------------------------------------------------------


def test_the_fastest_reader_is_the_one_that_read_all_heavy_segments_at_least_cost():
    """One that could not read a segment is no candidate, however quick elsewhere."""
    readings = (a_reading(pyav=3.0, cv2_first=2.0, pyav_tuned=2.5), a_reading(pyav=3.0, pyav_tuned=2.9))
    assert result.fastest(readings, "x") == "pyav-tuned"
    assert result.fastest((), "x") == "x"


def test_the_most_that_a_ratio_can_be_is_theirs_over_the_floor():
    """Even without any cost but decoding; the best of theirs counts, of heavy segments only."""
    light = a_reading(heavy=False, cv2_1fps=0.1)
    readings = (light, a_reading(cv2_1fps=16.0, vpdq_1fps=8.0, pyav=2.0), a_reading(cv2_1fps=12.0))
    found = result.most(a_result(readings=readings, pipelines=(a_pipeline(cpu_ms=figure([8.0])),)))
    assert found == pytest.approx({"1 fps": 10.0, "pipelines": 10.0})
    assert result.most(a_result(readings=(light,))) == {}


@given(st.floats(1, 1000))
def test_streams_a_core_and_cpu_an_hour_are_two_sides_of_one_thing(ms):
    """So many streams for an hour are one core's hour."""
    one = a_pipeline(cpu_ms=figure([ms]))
    assert one.streams * one.cpu_s_per_hour == pytest.approx(3600)


def test_a_reader_is_held_against_ours_of_the_same_kind():
    """With a hash against with a hash, without against without."""
    assert readers.base("pyav") == result.OURS
    assert readers.base(f"pyav {result.HASHED}") == f"{result.OURS} {result.HASHED}"


# --- what is played ---------------------------------------------------------------------------------------------------


@given(st.integers(1, 100))
def test_no_stream_shows_the_same_picture_twice_in_a_row(count):
    """Whoever spares what looks like the last one gains nothing by it."""
    due = playing.streams("x", count)
    assert len({playing.event_of(one) for one in due}) == count
    for before, after in pairwise(due):
        if before.stream_id == after.stream_id:
            assert before.body % (playing.PICTURES + 1) != after.body % (playing.PICTURES + 1)
            assert after.sequence == before.sequence + 1


def test_a_known_picture_ends_a_stream_and_comes_at_most_once_in_it():
    """An incident that is open already would not be opened again."""
    due = playing.streams("x", 200)
    known = [one for one in due if playing.is_known(one)]
    assert len({one.stream_id for one in known}) == len(known) == 10
    assert {one.sequence for one in known} == {playing.LIFE - 1}
    assert sum(map(playing.is_known, playing.singles("y", 6))) == 3


class Told:
    """What a pipeline decided, as ``Decisions`` keeps it."""

    def __init__(self, decided, escalated, repeated=0):
        self.decided = dict.fromkeys(decided, 0)
        self.escalated = dict.fromkeys(escalated, 0)
        self.repeated = repeated


def test_each_way_of_deciding_wrongly_is_counted():
    """Missed, made up, undecided, and decided twice."""
    due = playing.singles("x", 4)
    names = [playing.event_of(one) for one in due]
    known = [name for name, one in zip(names, due, strict=True) if playing.is_known(one)]
    assert decisions.wrong(due, names, Told(names, known)) == 0
    assert decisions.wrong(due, names, Told(names, known[1:])) == 1
    assert decisions.wrong(due, names, Told(names, [*known, names[0]])) == 1
    assert decisions.wrong(due, names, Told(names[1:], known)) == 1
    assert decisions.wrong(due, names, Told(names, known, repeated=1)) == 1


# --- their recipes ----------------------------------------------------------------------------------------------------


def test_every_recipe_is_told_of():
    """Each has its kind and its title."""
    assert recipes.RECIPES.keys() == result.KINDS.keys() == result.TITLES.keys()


@pytest.mark.parametrize("name", OWN)
def test_a_recipe_gives_the_keyframe_that_ours_gives(tmp_path, name):
    """Model input and full picture; at 1 fps a picture each second."""
    clip = clips.make((TINY,), 1)[0]
    file = tmp_path / "segment.ts"
    file.write_bytes(clip.data)
    asked = recipes.Clip(clip.data, file, **readers.size(clip), full=True)
    found = recipes.RECIPES[name](asked)
    assert len(found.inputs) == len(found.full) == (1 if result.KINDS[name] == "keyframes" else 2)
    assert found.inputs[0].shape == (224, 224, 3)
    assert found.full[0].shape == (288, 512, 3)
    ours = examine(clip.data, clip.init, asking(clip, None)).frames[0].hash.pdq
    assert hamming(ours, pdq(np.ascontiguousarray(found.full[0])).pdq) <= 10

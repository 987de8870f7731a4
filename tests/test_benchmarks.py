"""The benchmarks' arithmetic, their bounds, and that what they hold against each other is the same thing."""

from __future__ import annotations

import re
import sys
from dataclasses import replace as replace_clip
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT))  # last, so that the installed package goes before the tree's

from benchmarks import clips, drawing, floor, lookalikes, near_duplicates, page, tables  # noqa: E402 - needs the path above
from benchmarks.figures import figure, interleaved, percentile, ratios  # noqa: E402
from benchmarks.part import Bound, Check, Kept, failed  # noqa: E402
from benchmarks.parts import PARTS  # noqa: E402
from benchmarks.stages import decoding, quality, report, result, way  # noqa: E402
from worker.examine import examine  # noqa: E402
from worker.hashing import hamming, pdq  # noqa: E402
from worker.scoring import session  # noqa: E402

DEMO = ROOT / "models" / "demo"
TINY = clips.Recipe(height=288, codec="h264", weight="heavy", containers=("ts", "fmp4", "cmaf"), keyframes=2)
KEPT = list(page.read(ROOT / "docs" / "benchmarks", PARTS))
times = st.lists(st.floats(0.001, 1e6), min_size=1, max_size=200)


# --- arithmetic -------------------------------------------------------------------------------------------------------


def test_a_figure_is_the_median_and_its_absolute_deviation():
    """One wild round moves neither by much."""
    found = figure([1.0, 2.0, 3.0, 4.0, 1000.0])
    assert (found.median, found.mad, found.count) == (3.0, 1.0, 5)


def test_a_figure_of_nothing_is_refused():
    """No number is made up where nothing was measured."""
    with pytest.raises(ValueError, match="nothing"):
        figure([])


@given(st.lists(st.tuples(st.floats(0.1, 10), st.floats(0.1, 10), st.floats(0.1, 100)), min_size=1))
def test_what_slows_both_of_a_pair_cancels_out(rounds):
    """A round in which the machine was busy gives the same ratio."""
    above, below, slower = zip(*rounds, strict=True)
    slowed = ratios(
        [a * s for a, s in zip(above, slower, strict=True)], [b * s for b, s in zip(below, slower, strict=True)]
    )
    assert slowed == pytest.approx(ratios(above, below))


def test_a_ratio_to_nothing_or_of_no_pair_is_refused():
    """A floor of 0 and a missing round are mistakes of the benchmark, not figures."""
    with pytest.raises(ValueError, match="floor of 0"):
        ratios([1.0], [0.0])
    with pytest.raises(ValueError, match="argument"):
        ratios([1.0, 2.0], [1.0])


@given(times, st.sampled_from([0.01, 0.5, 0.99, 1.0]))
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(values, share):
    """Nearest rank: one of the values, with enough of them at or below it and too few below."""
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values)
    assert sum(value < found for value in values) < share * len(values)


def test_a_percentile_of_nothing_is_refused():
    """No latency is made up where nothing came."""
    with pytest.raises(ValueError, match="values"):
        percentile([], 0.5)


def test_measurements_take_turns_and_every_other_round_runs_backwards():
    """A B, B A, A B: whatever drifts favours neither."""
    order = []

    def measuring(name):
        def measure():
            order.append(name)
            return {name: float(len(order))}

        return measure

    taken = interleaved([measuring("a"), measuring("b")], 3)
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert taken == {"a": [1.0, 4.0, 5.0], "b": [2.0, 3.0, 6.0]}


# --- what is measured -------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_segments():
    """Bytes are a function of recipe and seed."""
    first = [clip.sha256 for clip in clips.make((TINY,), 1, seconds=0.4)]
    clips.encode.cache_clear()
    assert [clip.sha256 for clip in clips.make((TINY,), 1, seconds=0.4)] == first
    assert [clip.sha256 for clip in clips.make((TINY,), 2, seconds=0.4)] != first


def test_segments_that_are_not_the_pinned_ones_are_named():
    """Another encoder's bytes, or another seed's, are never taken for those of the kept results."""
    clip = replace_clip(clips.make((TINY,), 1, seconds=0.4)[0], name=next(iter(clips.PINNED)))
    assert clip.name in clips.same_as_pinned([clip], clips.SEED)
    assert "another seed" in clips.same_as_pinned([clip], clips.SEED + 1)
    assert "pinned ones" in clips.same_as_pinned([], clips.SEED)


def test_heavy_segments_are_as_heavy_as_the_bounds_say():
    """The bound on heavy IDRs is about at least one segment of the quick run as well."""
    heavy = clips.make((clips.QUICK[0],), clips.SEED, seconds=0.04)[0]
    assert heavy.idr_bytes >= result.HEAVY_IDR_BYTES


def test_a_later_segment_is_the_same_on_a_later_clock():
    """The streams of the latency run go on in time."""
    whole = clips.encode(TINY, 1, frames=10)
    clip = clips.make((TINY,), 1, seconds=0.4)[0]
    at_s = [
        examine(clips.transport(whole, start_s=s), None, decoding.asking(clip, None)).start_s or 0.0 for s in (0, 6)
    ]
    assert at_s[1] - at_s[0] == pytest.approx(6.0)


@pytest.mark.parametrize("clip", clips.make((TINY,), 1, seconds=0.4), ids=lambda clip: clip.name)
def test_the_floor_decodes_the_keyframe_that_is_examined(clip):
    """Again and again the same picture; and both count the same keyframes."""
    idr = floor.Idr(clip)
    pictures = [idr.decode()[0].to_ndarray(format="rgb24") for _ in range(2)]
    idr.close()
    assert np.array_equal(*pictures)
    sample = examine(clip.data, clip.init, decoding.asking(clip, None))
    ours, floors = sample.frames[0].hash.pdq, pdq(pictures[0]).pdq
    assert ours is not None
    assert floors is not None
    assert hamming(ours, floors) <= 2
    assert sample.keyframes_seen == floor.keyframes(clip) == 2


def test_a_flipped_hash_is_as_far_away_as_it_says():
    """The queries at the radius and beyond it are what they are called."""
    packed = np.arange(32, dtype=np.uint8)
    assert hamming(packed.tobytes(), quality.flipped(packed, np.arange(31))) == 31


def test_every_step_is_measured_and_a_part_is_less_than_the_whole():
    """One tiny round: the names that the tables need are there, and the steps' sum is within their whole."""
    clip = clips.make((TINY,), 1, seconds=0.4)[0]
    classifier, known = session.load(DEMO, threads=1), way.hash_list(1000, 1)
    with decoding.jailed() as jail:
        taken = decoding.decoding(clip, classifier.view, jail, 2)
        assert not quality.jail_differs(clip, classifier.view, jail)
    assert {"idr", "examine", "examine_wall", "sha256", "jail_wall", "jail_parent", "fetch"} <= taken.keys()
    for index, whole in enumerate(taken["examine"]):
        assert 0 < sum(taken[step][index] for step in ("open", "decode", "hash", "resize")) <= whole
    steps = way.way(clip, classifier, DEMO / "model.onnx", known, 2)
    assert {"floors", "whole", *(step for step, _ in report.STEPS)} <= steps.keys()
    assert quality.score_off(clip, classifier, DEMO / "model.onnx") == pytest.approx(0, abs=1e-6)
    assert quality.matches_wrong(known, 1, queries=5) == 0
    classifier.close()


def test_the_measured_stream_is_quiet_until_its_picture_is_known():
    """The step called an incident opens one, the other one doesn't."""
    clip = clips.make((TINY,), 1, seconds=0.4)[0]
    classifier = session.load(DEMO, threads=1)
    steps = way.Way(clip, classifier, way.hash_list(1000, 1))
    assert steps.conclude().incident is None
    opened = steps.open_incident().incident
    assert opened is not None
    assert opened.severity == "critical"
    classifier.close()


# --- bounds -----------------------------------------------------------------------------------------------------------


def a_run(**changes):
    """Stages in which all is well and little was measured."""
    fine = result.Stages(
        rounds=1, segments="", list_size=1, clips=(a_clip(1.2),), ways=(), quality=quality_of(), skipped={}
    )
    return replace(fine, **changes)


def quality_of(**changes):
    """Quality as it should be."""
    fine = result.Quality(
        pdq_pictures=1,
        pdq_mean_bits=0.0,
        pdq_max_bits=0,
        keyframes_off=0,
        jail_differs=0,
        score_off=0.0,
        matches_wrong=0,
    )
    return replace(fine, **changes)


def a_clip(ratio, idr_bytes=result.HEAVY_IDR_BYTES):
    """A segment with that ratio to its floor."""
    names = ("idr", "examine", "open", "decode", "hash", "resize", "sha256", "fetch", "jail_parent")
    return result.ClipResult(
        name="720p x",
        sha256="0" * 64,
        segment_bytes=1,
        idr_bytes=idr_bytes,
        ms={name: figure([1.0]) for name in names},
        ratios={result.IDR_RATIO: figure([ratio]), result.JAIL_RATIO: figure([1.0])},
    )


def test_a_run_within_its_bounds_does_not_fail_for_what_was_not_measured():
    """Where there is no oracle, nothing is breached, and the report says what is missing and why."""
    fine = a_run(skipped={"PDQ beside pdqhash": "no compiler"})
    assert failed(result.checks(fine), quick=False) == ()
    assert "not measured, PDQ beside pdqhash: no compiler" in report.text(fine)


def test_a_breach_of_speed_fails_a_full_run_and_not_a_quick_one():
    """A noisy machine's quick run proves that it runs, not how fast."""
    slow = result.checks(a_run(clips=(a_clip(1.0), a_clip(1.7))))
    assert [check.measured for check in failed(slow, quick=False)] == [1.7]
    assert failed(slow, quick=True) == ()
    assert "**missed**" in tables.bounds(slow)


def test_a_light_segment_is_not_held_to_the_bound_of_heavy_ones():
    """Around a small IDR there is always more than in it."""
    light = a_run(clips=(a_clip(3.0, idr_bytes=result.HEAVY_IDR_BYTES - 1),))
    assert failed(result.checks(light), quick=False) == ()


@pytest.mark.parametrize(
    "worse",
    [
        {"pdq_mean_bits": 2.1},
        {"pdq_max_bits": 9},
        {"keyframes_off": 1},
        {"jail_differs": 1},
        {"score_off": 0.01},
        {"matches_wrong": 1},
    ],
    ids=lambda worse: next(iter(worse)),
)
def test_a_breach_of_quality_fails_a_quick_run_too(worse):
    """Speed is never bought with quality."""
    [breach] = failed(result.checks(a_run(quality=quality_of(**worse))), quick=True)
    assert breach.bound.kind == "quality"
    assert breach.measured == next(iter(worse.values()))


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_a_bound_is_breached_on_its_wrong_side_only(limit, measured):
    """At most and at least are each other's mirror, and a value on the limit holds."""
    most = Bound(value="", limit=limit, kind="speed", unit="", why="")
    assert Check(bound=most, measured=measured).breached == (measured > limit)
    assert Check(bound=replace(most, side="at least"), measured=measured).breached == (measured < limit)
    assert not Check(bound=most, measured=limit).breached
    assert not Check(bound=most, measured=None).breached


# --- the page ---------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not KEPT, reason="no result is kept yet")
def test_the_page_is_the_newest_results_kept():
    """docs/benchmarks.md says what the newest file of each part in docs/benchmarks says, quality unharmed."""
    assert (ROOT / "docs" / "benchmarks.md").read_text() == page.page(KEPT)
    for part, kept in KEPT:
        assert not kept.quick
        assert failed(part.checks(page.decoded(part, kept)), quick=True) == ()


@pytest.mark.skipif(not KEPT, reason="no result is kept yet")
def test_every_plot_that_the_page_shows_is_there():
    """Each picture of docs/benchmarks.md is a file beside it, and none is left over."""
    shown = set(re.findall(r"\(benchmarks/([a-z0-9-]+\.svg)\)", page.page(KEPT)))
    assert shown == {file.name for file in (ROOT / "docs" / "benchmarks").glob("*.svg")}
    assert shown == {name for name, _ in page.plots(KEPT)}


def test_the_same_figures_give_the_same_plot():
    """A plot made anew changes only where its figures did."""
    first, second = (dict(report.plots(a_run())) for _ in range(2))
    assert drawing.svg(first["way"]) == drawing.svg(second["way"])
    assert drawing.svg(dict(report.plots(a_run(clips=(a_clip(1.2), a_clip(1.3)))))["way"]) != drawing.svg(first["way"])


def test_the_newest_result_of_a_part_is_told(tmp_path):
    """Older files stay as history."""
    for date in ("2026-01-01", "2026-03-01", "2026-02-01"):
        kept = Kept(
            part="stages",
            date=date,
            quick=False,
            seed=1,
            machine={},
            versions={},
            result=msgspec.Raw(msgspec.json.encode(a_run())),
        )
        kept.path(tmp_path).write_bytes(msgspec.json.encode(kept))
    [(part, newest)] = page.read(tmp_path, PARTS)
    assert (part.name, newest.date) == ("stages", "2026-03-01")
    assert page.decoded(part, newest) == a_run()


# --- near-duplicates --------------------------------------------------------------------------------------------------


def test_what_sparing_costs_is_held_against_scoring_every_look():
    """Looks that show it and were spared are missed; an incident that opens later, or never, is told as that."""
    undisturbed = near_duplicates.Loss(looks=10, showing=4, opened_s=[10.0, 20.0])
    found = near_duplicates.Loss(looks=10, showing=4, missed=1, off=[0.0, 0.5], opened_s=[10.0, 24.0])
    assert found.row(undisturbed) == " 20.0% | 0.2500 | 0.500 | 1 of 4 | 2.0 s, 4 s"
    assert near_duplicates.Loss(looks=10, opened_s=[10.0]).later(undisturbed) == "1 never"


def test_a_stream_is_followed_by_the_worker_s_own_rule():
    """A fade into the demo's card: what is spared is near what was scored, and the card is found."""
    model = session.load(DEMO, threads=1)
    shows = lookalikes.made_up(1)["the demo's card fades in over 80 s"]
    seen = near_duplicates.encoded(shows, near_duplicates.asking(model.view))
    scores = [model.score_one(one.picture) for one in seen]
    every = near_duplicates.lost([seen], [scores], model, None)
    spared = near_duplicates.lost([seen], [scores], model, 31)
    model.close()
    assert (len(every.off), every.missed, every.looks) == (0, 0, near_duplicates.DRAWS * lookalikes.LOOKS)
    assert len(spared.off) > every.looks / 4
    assert spared.missed < spared.showing == every.showing
    assert len(spared.opened_s) == len(every.opened_s) == near_duplicates.DRAWS


def test_an_attack_leaves_pdq_near_what_it_copies():
    """The coarse of a picture, all of it, is that picture to PDQ; a window over all of it is the other."""
    one, other = lookalikes.blobs(1, lookalikes.WIDTH), lookalikes.blobs(2, lookalikes.WIDTH)
    assert hamming(pdq(one).pdq, pdq(lookalikes.hybrid(one, other, 500.0)).pdq) <= 4
    assert hamming(pdq(other).pdq, pdq(lookalikes.inset(one, other, 1.0, 0)).pdq) == 0

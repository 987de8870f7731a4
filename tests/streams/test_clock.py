"""A stream's own clock, and the media time that people are told."""

from __future__ import annotations

from math import inf, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from support.assessments import WRAP_S, a_look, a_segment, an_assessment

from worker.records import Assessment, EventId, Failure, Placed, StreamEnd
from worker.streams.clock import LONGEST_S, LOOK_S, MOST_MISSING
from worker.streams.memory import advance, ended
from worker.streams.state import StreamState, restore, snapshot

NEW = StreamState(stream_id="stream-1")


def play(*assessments: Assessment, state: StreamState = NEW) -> tuple[StreamState, list[Placed]]:
    """Let a stream pass; return its memory and each segment's place."""
    placed = []
    for assessment in assessments:
        state, one = advance(state, assessment, preserve_before_s=120.0)
        placed.append(one)
    return state, placed


def honest(*numbers: int) -> list[Assessment]:
    """Return segments as an honest publisher sends them."""
    return [an_assessment(a_segment(number)) for number in numbers]


def test_an_honest_stream_is_watched_second_by_second() -> None:
    """Each two-second segment moves clock and media time by two seconds, all of it watched."""
    state, placed = play(*honest(*range(5)))
    assert [p.media_time_s for p in placed] == pytest.approx([0, 2, 4, 6, 8])
    assert [(p.elapsed_s, p.watched_s, p.gap_s) for p in placed] == [(2.0, 2.0, 0.0)] * 5
    assert not any(p.discontinuity for p in placed)
    assert state.clock.now_s == 10.0
    assert placed[0].media_time_from == "counted"


def test_the_publishers_media_time_is_told() -> None:
    """ce_mediatime goes before counting, and counting goes on from it."""
    said = an_assessment(a_segment(0, media_time_s=3600.5))
    _, placed = play(said, *honest(1))
    assert [(p.media_time_s, p.media_time_from) for p in placed] == [(3600.5, "publisher"), (3602.5, "counted")]


@pytest.mark.parametrize("lie", [nan, inf, -inf, -1.0, 1e9])
def test_an_implausible_media_time_is_not_told(lie: float) -> None:
    """What is no time of a stream is counted instead, and is a discontinuity."""
    _, placed = play(*honest(0), an_assessment(a_segment(1, media_time_s=lie)))
    assert (placed[1].media_time_s, placed[1].media_time_from, placed[1].discontinuity) == (2.0, "counted", True)


@pytest.mark.parametrize("leap", [0.0, 5000.0])
def test_a_leap_of_the_publishers_time_decays_nothing(leap: float) -> None:
    """The leap is told to people, but the own clock moves by the segment alone."""
    segments = [an_assessment(a_segment(n, media_time_s=100.0 + 2 * n)) for n in range(3)]
    _, placed = play(*segments, an_assessment(a_segment(3, media_time_s=leap)))
    assert [p.discontinuity for p in placed] == [False, False, False, True]
    assert (placed[3].media_time_s, placed[3].elapsed_s, placed[3].watched_s) == (leap, 2.0, 2.0)


def test_a_wrap_of_the_containers_clock_is_undone() -> None:
    """Over the 33-bit wrap of MPEG-TS media times go on, right to the millisecond."""
    lengths = [2.0, 1.92, 2.08, 2.002, 2.0, 1.96]
    start, expected, segments = WRAP_S - 5.0, [0.0], []
    for number, length in enumerate(lengths):
        segments.append(an_assessment(a_segment(number), start_s=start % WRAP_S, duration_s=length - 0.04))
        start += length
        expected.append(expected[-1] + length)
    _, placed = play(*segments)
    assert [p.media_time_s for p in placed] == pytest.approx(expected[:-1], abs=1e-6)
    assert not any(p.discontinuity for p in placed)


def test_a_wrap_in_a_gap_is_undone() -> None:
    """Also when the segment with the wrap in it is missing."""
    before = an_assessment(a_segment(0), start_s=WRAP_S - 1.0)
    after = an_assessment(a_segment(3), start_s=5.1)
    _, placed = play(before, after)
    assert placed[1].media_time_s == pytest.approx(6.1)
    assert not placed[1].discontinuity


def test_a_jump_of_the_containers_clock_is_a_discontinuity() -> None:
    """Media time then goes on by durations, and the own clock by the segment alone."""
    jumped = an_assessment(a_segment(2), start_s=70_000.0)
    _, placed = play(*honest(0, 1), jumped, an_assessment(a_segment(3), start_s=70_002.0))
    assert [p.media_time_s for p in placed] == pytest.approx([0, 2, 4, 6])
    assert [p.discontinuity for p in placed] == [False, False, True, False]
    assert placed[2].elapsed_s == 2.0


@pytest.mark.parametrize("length", [0.1, 0.5, 2.0, 6.0])
def test_containers_that_all_begin_at_zero_are_counted_by_duration(length: float) -> None:
    """Segments that were cut into files of their own are one stream without discontinuities."""
    segments = [an_assessment(a_segment(n), start_s=0.0, wrap_s=None, duration_s=length) for n in range(4)]
    _, placed = play(*segments)
    assert [p.media_time_s for p in placed] == pytest.approx([n * length for n in range(4)])
    assert not any(p.discontinuity for p in placed)


def test_a_gap_counts_as_missing_segments() -> None:
    """Two missing numbers are four seconds that nobody saw; they move the clock, and are not watched."""
    _, placed = play(*honest(0, 1, 4))
    assert (placed[2].media_time_s, placed[2].gap_s) == (8.0, 4.0)
    assert (placed[2].elapsed_s, placed[2].watched_s, placed[2].discontinuity) == (6.0, 2.0, False)


def test_a_jump_of_the_numbers_is_a_discontinuity() -> None:
    """A jump moves the clock by the segment alone, and counts as a bounded gap."""
    far = an_assessment(a_segment(2**53 - 1), start_s=14.0)
    _, placed = play(*honest(0, 1), far)
    assert placed[2].discontinuity
    assert (placed[2].elapsed_s, placed[2].gap_s) == (2.0, 2.0 * MOST_MISSING)
    assert placed[2].media_time_s == 4.0


def test_a_long_outage_is_told_in_media_time() -> None:
    """A hundred missing segments are too many for the own clock, but people are told when it was."""
    _, placed = play(*honest(0, 1, 102))
    assert (placed[2].media_time_s, placed[2].discontinuity, placed[2].elapsed_s) == (204.0, True, 2.0)


def test_a_late_segment_moves_nothing() -> None:
    """It has its own media time, and the next goes on as if it had not come."""
    _, placed = play(*honest(0, 1, 3, 2, 4))
    assert [p.media_time_s for p in placed] == pytest.approx([0, 2, 6, 4, 8])
    assert (placed[3].elapsed_s, placed[3].watched_s, placed[3].discontinuity) == (0.0, 0.0, False)
    assert (placed[4].elapsed_s, placed[4].discontinuity) == (2.0, False)


def test_a_restarted_segment_moves_nothing_and_is_a_discontinuity() -> None:
    """Other bytes under a known number were not waited for, and are no quiet."""
    again = an_assessment(a_segment(1), content="other bytes")
    _, placed = play(*honest(0, 1, 2), again)
    assert (placed[3].elapsed_s, placed[3].watched_s, placed[3].discontinuity) == (0.0, 0.0, True)
    assert placed[3].assessment.standing == "restarted"


def test_media_time_goes_on_over_a_restarted_count() -> None:
    """When the numbers begin again at 0, people are told the time from the stream's start."""
    anew = [
        an_assessment(a_segment(n, event=EventId(source="new", id=str(n)), discontinuity=n == 0), start_s=1.4 + 2 * n)
        for n in range(3)
    ]
    _, placed = play(*honest(*range(5)), *anew)
    assert [p.media_time_s for p in placed[5:]] == pytest.approx([10, 12, 14])
    assert [p.discontinuity for p in placed[5:]] == [True, False, False]


def test_a_repeat_moves_nothing() -> None:
    """A publisher's retry is no time that passed."""
    repeat = replace(honest(1)[0], outcome="skipped", why="repeat", looks=())
    state, _ = play(*honest(0, 1))
    after, placed = play(repeat, state=state)
    assert (placed[0].elapsed_s, placed[0].watched_s) == (0.0, 0.0)
    assert (after.clock, after.coverage) == (state.clock, state.coverage)


@pytest.mark.parametrize(
    "change",
    [
        {
            "outcome": "dead_lettered",
            "failure": Failure(stage="decode", error="corrupt", reason="-"),
            "duration_s": None,
        },
        {"outcome": "shed", "why": "overload", "duration_s": None, "sha256": None},
        {"outcome": "skipped", "why": "no_keyframe"},
    ],
)
def test_what_was_not_looked_at_is_not_watched(change: dict[str, object]) -> None:
    """A segment that failed, was shed or skipped moves the clock and counts as unwatched."""
    unseen = an_assessment(a_segment(1), looks=(), start_s=None)
    state, placed = play(*honest(0), replace(unseen, **change), *honest(2))
    assert (placed[1].elapsed_s, placed[1].watched_s) == (2.0, 0.0)
    assert (state.coverage.watched_s, state.coverage.unwatched_s, state.coverage.longest_gap_s) == (4.0, 2.0, 2.0)
    assert placed[2].media_time_s == 4.0


def test_a_ten_hour_segment_counts_as_a_usual_one() -> None:
    """However long a container says it is, it can't decay a risk for hours."""
    looks = tuple(a_look(2.0 * n) for n in range(64))
    long = an_assessment(a_segment(9), duration_s=36_000.0, looks=looks)
    _, placed = play(*honest(*range(9)), long)
    assert placed[9].watched_s == 3.0


def test_one_look_does_not_vouch_for_a_whole_minute() -> None:
    """Where all segments are a minute long, one keyframe of each is watched for ten seconds."""
    _, placed = play(*[an_assessment(a_segment(n), duration_s=60.0, start_s=60.0 * n) for n in range(4)])
    assert (placed[3].elapsed_s, placed[3].watched_s) == (60.0, LOOK_S)


def test_the_first_segment_after_the_end_is_a_discontinuity() -> None:
    """A stream that comes back does not go on from where it was."""
    state, _ = play(*honest(0, 1))
    last = a_segment(2)
    over = ended(state, StreamEnd(position=last.position, event=last.event, stream_id=last.stream_id))
    after, placed = play(*honest(3), state=over)
    assert over.ended
    assert not after.ended
    assert placed[0].discontinuity


times = st.one_of(st.none(), st.floats(), st.floats(0, 200), st.sampled_from([nan, inf, -1.0, 1e9, 36_000.0, WRAP_S]))


@st.composite
def lies(draw: st.DrawFn) -> list[Assessment]:
    """Draw what a publisher who lies about everything could send."""
    told = []
    for offset in range(draw(st.integers(0, 25))):
        segment = a_segment(
            draw(st.one_of(st.integers(0, 20), st.integers(0, 2**53 - 1))),
            media_time_s=draw(times),
            duration_s=draw(times),
            discontinuity=draw(st.booleans()),
        )
        segment = replace(segment, position=replace(segment.position, offset=offset))
        if draw(st.booleans()):
            segment = replace(segment, sequence=None)
        outcome = draw(st.sampled_from(["assessed", "assessed", "skipped", "dead_lettered", "shed"]))
        told.append(
            an_assessment(
                segment,
                content=draw(st.sampled_from("abc")) + str(segment.sequence),
                outcome=outcome,
                start_s=draw(times),
                wrap_s=draw(st.sampled_from([None, WRAP_S, 0.0, -1.0])),
                duration_s=draw(times),
                looks=tuple(a_look() for _ in range(draw(st.integers(0, 10)))) if outcome == "assessed" else (),
            )
        )
    return told


def measured_s(assessment: Assessment) -> float:
    """Return what a segment could count for at most."""
    seconds = assessment.duration_s
    return 0.0 if seconds is None or not 0 < seconds < inf else min(seconds, LONGEST_S)


@settings(deadline=None)
@given(lies())
def test_nobody_can_bend_the_clock(told: list[Assessment]) -> None:
    """Whatever a publisher says: no more is watched than was measured and looked at, and time never goes back."""
    state, now_s = NEW, 0.0
    for assessment in told:
        state, placed = advance(state, assessment, preserve_before_s=120.0)
        looked_at = assessment.outcome == "assessed" and placed.assessment.standing == "fresh"
        assert 0.0 <= placed.watched_s <= placed.elapsed_s + 1e-9
        assert placed.watched_s <= (measured_s(assessment) if looked_at else 0.0)
        assert 0.0 <= placed.gap_s <= MOST_MISSING * LONGEST_S
        assert placed.elapsed_s <= LONGEST_S * (MOST_MISSING + 1)
        assert 0.0 <= placed.media_time_s < inf
        assert state.clock.now_s >= now_s
        now_s = state.clock.now_s
    seen = state.coverage
    assert 0.0 <= seen.watched_s <= sum(map(measured_s, told)) + 1e-6
    assert 0.0 <= seen.unwatched_s < inf
    assert 0.0 <= seen.longest_gap_s < inf


@settings(deadline=None)
@given(lies(), st.integers(0, 25))
def test_a_replay_from_a_snapshot_gives_the_same(told: list[Assessment], cut: int) -> None:
    """Whoever restores a snapshot and goes on from there places every segment as the one before would have."""
    whole, placed = play(*told)
    half, first = play(*told[:cut])
    restored, rest = play(*told[cut:], state=restore(half.stream_id, snapshot(half), half.older))
    assert restored == whole
    assert [(p.media_time_s, p.elapsed_s, p.watched_s) for p in first + rest] == [
        (p.media_time_s, p.elapsed_s, p.watched_s) for p in placed
    ]

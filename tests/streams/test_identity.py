"""What a segment is among those that its stream had before."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.assessments import a_segment, sha256

from worker.records import EventId, Segment
from worker.streams.identity import FAR_BACK, REMEMBERED, Seen, judge, remember, standing
from worker.streams.state import StreamState


def run(seen: Seen, *numbers: int, content: str = "") -> tuple[Seen, list[str]]:
    """Let segments of these numbers pass, each with an id and bytes of its own; return their standings."""
    standings = []
    for number in numbers:
        seen, was = let_pass(seen, a_segment(number, event=EventId(source="s", id=f"{content}{number}")), content)
        standings.append(was)
    return seen, standings


def let_pass(seen: Seen, segment: Segment, content: str) -> tuple[Seen, str]:
    """Let one segment pass."""
    digest = sha256(f"{content} {segment.sequence}")
    judged = judge(seen, segment, digest)
    return remember(seen, judged, segment, digest), judged.standing


def test_segments_in_order_are_fresh() -> None:
    """Numbers that go up, also over gaps, are fresh."""
    assert run(Seen(), 0, 1, 2, 5, 6)[1] == ["fresh"] * 5


def test_the_same_bytes_under_the_same_id_are_a_repeat() -> None:
    """A publisher's retry carries the same id and the same bytes."""
    seen, _ = run(Seen(), 1, 2, 3)
    assert run(seen, 2)[1] == ["repeat"]


def test_the_same_bytes_under_the_same_sequence_are_a_repeat() -> None:
    """A segment sent again under another id is known by its sequence."""
    seen, _ = run(Seen(), 1, 2)
    again = a_segment(2, event=EventId(source="other", id="other"))
    assert judge(seen, again, sha256(" 2")).standing == "repeat"


def test_the_same_bytes_under_a_new_id_and_sequence_are_fresh() -> None:
    """A slate that is shown for minutes is the same bytes over and over, and watched each time."""
    seen, _ = run(Seen(), 1)
    assert judge(seen, a_segment(2), sha256(" 1")).standing == "fresh"


@pytest.mark.parametrize(
    "segment",
    [
        a_segment(2, event=EventId(source="s", id="new")),
        a_segment(9, event=EventId(source="s", id="2")),
        a_segment(3, event=EventId(source="s", id="2")),
    ],
)
def test_a_known_id_or_sequence_with_other_bytes_is_restarted(segment: Segment) -> None:
    """Whoever reuses a name for other bytes has begun again, and is looked at."""
    seen, _ = run(Seen(), 1, 2, 3)
    assert judge(seen, segment, sha256("other")).standing == "restarted"


def test_the_source_is_part_of_an_id() -> None:
    """Ids of different sources are different, however source and id are cut."""
    seen, _ = run(Seen(), 1)
    first = a_segment(2, event=EventId(source="ab", id="c"))
    seen = remember(seen, judge(seen, first, sha256("x")), first, sha256("x"))
    assert judge(seen, a_segment(3, event=EventId(source="a", id="bc")), sha256("y")).standing == "fresh"


def test_an_older_sequence_is_late() -> None:
    """A segment that fills a gap came late, and the newest stays the newest."""
    seen, standings = run(Seen(), 1, 2, 5, 3, 6)
    assert standings == ["fresh", "fresh", "fresh", "late", "fresh"]
    assert seen.newest == 6


def test_late_segments_between_fresh_ones_never_restart_the_count() -> None:
    """However many come late, as long as new ones come in between, the count goes on."""
    _, standings = run(Seen(), 1, 10, 2, 11, 3, 12, 4, 13, 5, 14, 6)
    assert standings.count("late") == 5
    assert "restarted" not in standings


@pytest.mark.parametrize("last", [10, 40, 63, 64, 65, 500, 2**53 - 1])
def test_a_restarted_count_is_not_late_for_ever(last: int) -> None:
    """When the numbers fall back to 0 and go on from there, three segments later all is fresh again."""
    seen, _ = run(Seen(), *range(max(0, last - 100), last + 1), content="old")
    _, standings = run(seen, *range(60), content="new")
    assert "restarted" in standings[:3]
    assert standings[3:] == ["fresh"] * 57


def test_a_far_step_back_is_a_restart_at_once() -> None:
    """More than 64 back nothing is late."""
    seen, _ = run(Seen(), 200)
    assert run(seen, 200 - FAR_BACK)[1] == ["late"]
    assert run(seen, 199 - FAR_BACK)[1] == ["restarted"]


def test_a_stray_number_from_far_back_costs_no_gap() -> None:
    """The count before is taken up again where it was left, not as thousands of missing segments."""
    seen, _ = run(Seen(), 5000, 5001, 7)
    judged = judge(seen, a_segment(5002), sha256("x"))
    assert (judged.standing, judged.step) == ("fresh", 1)


def test_the_publisher_may_say_that_the_count_restarts() -> None:
    """With ce_discontinuity a step back of any size is a restart."""
    seen, _ = run(Seen(), 8, 9)
    judged = judge(seen, a_segment(5, discontinuity=True), sha256("x"))
    assert (judged.standing, judged.afresh) == ("restarted", True)


def test_without_a_sequence_the_offset_orders() -> None:
    """Segments without a sequence are fresh in the order of their records; a retry is a repeat by its id."""
    seen = Seen()
    standings = []
    for offset_from, number in enumerate((4, 9, 4)):
        segment = a_segment(number, sequence=None)
        segment = a_segment(offset_from + 10, event=segment.event, sequence=None)
        digest = sha256(str(number))
        judged = judge(seen, segment, digest)
        seen = remember(seen, judged, segment, digest)
        standings.append(judged.standing)
    assert standings == ["fresh", "fresh", "repeat"]


def test_sequences_that_appear_or_vanish_are_a_restart() -> None:
    """A sequence and an offset can't be compared."""
    seen, _ = run(Seen(), 5)
    unnumbered = a_segment(6, sequence=None)
    judged = judge(seen, unnumbered, sha256("x"))
    assert judged.standing == "restarted"
    seen = remember(seen, judged, unnumbered, sha256("x"))
    assert judge(seen, a_segment(7, sequence=None), sha256("y")).standing == "fresh"
    assert judge(seen, a_segment(7), sha256("z")).standing == "restarted"


def test_bytes_that_nobody_read_are_not_remembered() -> None:
    """A retry of what could not be fetched is late, not a repeat: it is looked at."""
    seen, _ = run(Seen(), 1)
    failed = a_segment(2)
    seen = remember(seen, judge(seen, failed, None), failed, None)
    assert seen.newest == 2
    assert judge(seen, failed, sha256("x")).standing == "late"


def test_the_last_64_are_remembered() -> None:
    """The 64th last is still known, the 65th is not."""
    seen, _ = run(Seen(), *range(REMEMBERED + 1))
    assert run(seen, 1)[1] == ["repeat"]
    assert run(seen, 0)[1] != ["repeat"]
    assert (len(seen.ids), len(seen.contents)) == (4 * REMEMBERED, 8 * REMEMBERED)


def test_numbers_beside_each_other_make_no_third() -> None:
    """256 and 257 are remembered as 00000100 00000101: 65536, which is 00010000, is not among them."""
    seen, _ = run(Seen(), 256, 257)
    assert judge(seen, a_segment(65536), sha256("x")).standing == "fresh"


def test_standing_is_asked_of_a_stream() -> None:
    """What assess asks before it decodes."""
    segment = a_segment(1)
    assert standing(StreamState(stream_id="s"), segment, sha256("x")) == "fresh"


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 90), st.integers(0, 3)), max_size=120))
def test_a_repeat_is_told_exactly(events: list[tuple[int, int]]) -> None:
    """Whatever comes: a repeat has the bytes and the id of one of the last 64, so nothing new is ever skipped."""
    seen, known = Seen(), list[tuple[int, str]]()
    for number, version in events:
        segment, digest = a_segment(number), sha256(f"{number} {version}")
        judged = judge(seen, segment, digest)
        assert (judged.standing == "repeat") == ((number, digest) in known[-REMEMBERED:])
        seen = remember(seen, judged, segment, digest)
        if judged.standing != "repeat":
            known.append((number, digest))


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**53 - 1), min_size=2, max_size=30))
def test_the_newest_falls_only_with_a_restart(numbers: list[int]) -> None:
    """A late segment never moves the newest number."""
    seen = Seen()
    for number in numbers:
        before, segment = seen.newest, a_segment(number)
        judged = judge(seen, segment, sha256(str(number)))
        seen = remember(seen, judged, segment, sha256(str(number)))
        assert judged.afresh or before is None or (seen.newest is not None and seen.newest >= before)

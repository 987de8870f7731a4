"""What the records say of a stream around a moment: no more, and no less."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace
from support.assessments import START, a_look, a_match, a_segment, an_assessment

from worker import explaining, reports
from worker.explaining import explain, words
from worker.records import ConfigReport, Placed, PolicyRef
from worker.streams.state import StreamState
from worker.telemetry.catalogue.bounds import WHYS

MINUTE = timedelta(minutes=1)


def a_report(number: int, **changes):
    """What became of the segment of this number, captured two seconds after the one before."""
    segment = a_segment(number, captured_at=START + timedelta(seconds=2 * number))
    placed = Placed(
        assessment=an_assessment(segment, **changes),
        media_time_s=2.0 * number,
        media_time_from="counted",
        elapsed_s=2.0,
        watched_s=2.0,
        gap_s=0.0,
        discontinuity=False,
    )
    return reports.report(placed, StreamState(stream_id="stream-1"), START)


def a_config(worker: str, minute: float, **changes) -> ConfigReport:
    """What a worker says of itself."""
    report = ConfigReport(
        worker=worker,
        version="1",
        at=START + minute * MINUTE,
        model=None,
        policy=PolicyRef(name="default", sha256="0" * 64),
        lists=(),
        limits={},
        jail="full",
    )
    return replace(report, **changes)


def explained(*told, at_s: float = 10.0, window_s: float = 60.0):
    """The explanation of the tests' stream."""
    return explain("stream-1", START + timedelta(seconds=at_s), timedelta(seconds=window_s), told, ())


def test_the_segment_that_the_moment_lies_in_is_the_nearest_before_it():
    """Segments are told by when they were captured, in their order."""
    found = explained(*(a_report(n) for n in (7, 4, 5, 6)), at_s=11.0)
    assert [one.sequence for one in found.segments] == [4, 5, 6, 7]
    assert found.segments[found.nearest].sequence == 5


def test_segments_outside_of_the_window_and_of_others_are_left_out():
    """The window is inclusive on both sides."""
    other = replace(a_report(5), stream_id="stream-2")
    found = explained(a_report(1), a_report(4), other, a_report(6), a_report(7), at_s=10.0, window_s=2.0)
    assert [one.sequence for one in found.segments] == [4, 6]


def test_sequences_that_never_came_are_told():
    """Runs of them, first and last."""
    assert explained(*(a_report(n) for n in (1, 2, 5, 7))).missing == ((3, 4), (6, 6))


def test_nothing_before_the_moment_means_that_no_segment_is_meant():
    """What came later says nothing of the moment."""
    assert explained(a_report(9), at_s=1.0).nearest is None


def test_the_configs_are_each_worker_s_latest_up_to_the_moment():
    """Those who decide alike are told together; what came later is left out."""
    found = explained(
        a_config("a", -5), a_config("a", -1, version="2"), a_config("b", -2, version="2"), a_config("c", 3), at_s=0
    )
    assert [(one.workers, one.report.version, one.since) for one in found.configs] == [
        (("a", "b"), "2", START - 2 * MINUTE)
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "looked at: 1 keyframe, matches no list, at most card 0.010"),
        ({"why": "late"}, "looked at: 1 keyframe, matches no list, at most card 0.010; it came behind its successors"),
        ({"outcome": "skipped", "why": "no_keyframe"}, "not looked at: no keyframe in it could be decoded"),
        ({"outcome": "dead_lettered", "why": "bad_digest"}, "could not be looked at: bad digest"),
        (
            {"looks": (a_look(0.0, a_match()), a_look(1.0, probability=None))},
            "looked at: 2 keyframes, matches entry clip-7 of list demo, 4 bits away, at most card 0.010",
        ),
        (
            {"looks": (replace(a_look(), near_duplicate=True),)},
            (
                "looked at: 1 keyframe, matches no list, 1 not scored but taken to be as the stream's last scored "
                "frame, at most card 0.010"
            ),
        ),
    ],
)
def test_an_outcome_in_words(changes, expected):
    """A match is never left out, and a reason stands behind what it explains."""
    assert words(a_report(1, **changes)) == expected


def test_every_reason_of_the_contract_has_words():
    """A reason without any is shown as it is called."""
    assert {why for whys in WHYS.values() for why in whys} <= set(explaining.WHY)

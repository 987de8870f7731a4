"""What is told of what happened."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from structlog.testing import capture_logs
from support.assessments import START, a_look, a_match, a_segment, an_assessment, at_ms

from worker import conclude
from worker.breaker import Breaker
from worker.conclude import Conclusion, Rules
from worker.errors import PartitionLost
from worker.escalation.context import Context
from worker.health import Health
from worker.observe.gauges import Gauges
from worker.observe.partition import PartitionObserver
from worker.observe.spans import MOST_FOLLOWED, Spans
from worker.observe.sparing import Sparing
from worker.observe.stations import breaker_judge, stage_observer
from worker.policy.read import default
from worker.records import Failure, Message, Received, Trace
from worker.settings.tree import LinkTemplates, Topics
from worker.streams.identity import standing
from worker.streams.state import StreamState
from worker.telemetry import Telemetry
from worker.telemetry.behind import Behind
from worker.telemetry.catalogue.bounds import ERRORS, UNREADY, UNWATCHED, WHYS

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
CONTEXT = Context(
    model=None, policy=default().ref, lists=(), links=LinkTemplates(), preserve_before_s=0.0, source="test"
)
RULES = Rules(policy=default(), context=CONTEXT, topics=Topics(), max_message_bytes=1024**2, with_payload=False)


@pytest.mark.parametrize("timestamp_ms", [-1, -(10**15), 0, 10**18])
def test_an_incident_is_told_whatever_timestamp_its_publisher_set(timestamp_ms):
    """A record's timestamp may be no date: the incident has left, and telling of it must not end the worker."""
    segment = a_segment(0)
    received = Received(
        position=replace(segment.position, timestamp_ms=timestamp_ms), key=b"stream-1", value=b"", headers=()
    )
    assessment = an_assessment(segment, looks=(a_look(0.0, a_match()),))
    conclusion = conclude.segment(StreamState(stream_id="stream-1"), assessment, received, START, RULES)
    assert conclusion.incident is not None
    telemetry = Telemetry()
    PartitionObserver(telemetry, 0).released(received, conclusion, START)
    assert b'change="opened"' in telemetry.expose("")[0]


def test_one_bad_stream_is_told_once_in_a_while_and_no_other_is_kept_back():
    """A flood of one publisher's dead letters hides nobody else's."""
    sparing = Sparing(every_s=60.0, most=3)
    told = [sparing.pass_("bad", at_s) for at_s in (0.0, 1.0, 59.0, 60.0, 61.0)]
    assert told == [0, None, None, 2, None]
    assert sparing.pass_("other", 61.0) == 0
    for kind in ("a", "b", "c"):
        assert sparing.pass_(kind, 62.0) == 0
    assert sparing.pass_("bad", 63.0) == 0


def test_a_bad_deploy_halts_intake_with_the_breaker_s_line():
    """Each segment's turn reaches the breaker with what its stream was before; it halts once."""
    halts: list[str] = []
    judge = breaker_judge(Breaker(), halts.append, lambda: 0.0)
    failure = Failure(stage="score", error="model_failed", reason="x")
    for n in range(25):
        position = replace(a_segment(0).position, partition=n % 2)
        segment = a_segment(0, stream_id=f"s{n}", position=position)
        before = StreamState(stream_id=f"s{n}", last_look_ms=at_ms(-10))
        judge(before, an_assessment(segment, looks=(), outcome="dead_lettered", failure=failure))
    assert len(halts) == 1
    assert halts[0].startswith("20 of 20 streams")


class Told:
    """A partition's observer and the telemetry that it counts in, over the life of one stream."""

    def __init__(self, **more) -> None:
        self.telemetry = Telemetry()
        self.observer = PartitionObserver(self.telemetry, 0, topics=Topics(), **more)
        self.state = StreamState(stream_id="stream-1")

    def take(self, assessment, *, now=START, value=b"media") -> Conclusion:
        """Conclude a segment, and tell that the broker has it."""
        segment = assessment.segment
        received = Received(position=segment.position, key=b"stream-1", value=value, headers=())
        assessment = replace(assessment, standing=standing(self.state, segment, assessment.sha256 or ""))
        conclusion = conclude.segment(self.state, assessment, received, now, RULES)
        self.state = conclusion.state
        self.observer.consumed(received)
        self.observer.released(received, conclusion, now)
        return conclusion

    def media(self, coverage: str, *causes: str) -> float:
        """Seconds of media, over these causes."""
        name = "framewatch_media_seconds_total"
        return sum(self.telemetry.value(name, coverage, cause) for cause in causes or ("none",))

    def value(self, name: str, *labels: str) -> float:
        return self.telemetry.value(f"framewatch_{name}", *labels)


def a_failure(stage: str, error: str) -> dict:
    """What makes an assessment a dead letter."""
    failure = Failure(stage=stage, error=error, reason="x")
    return {"outcome": "dead_lettered", "why": error, "failure": failure, "looks": ()}


NOT_WATCHED = [
    ({"outcome": "skipped", "why": "no_video", "looks": ()}, "no_video"),
    ({"outcome": "skipped", "why": "no_keyframe", "looks": ()}, "no_keyframe"),
    ({"outcome": "skipped", "why": "plan", "looks": ()}, "plan"),
    ({"outcome": "shed", "why": "lateness", "looks": ()}, "lateness"),
    ({"outcome": "shed", "why": "overload", "looks": ()}, "overload"),
    (a_failure("fetch", "not_found"), "fetch"),
    (a_failure("decode", "corrupt"), "decode"),
    (a_failure("score", "model_failed"), "score"),
]


@pytest.mark.parametrize(("changes", "cause"), NOT_WATCHED)
def test_what_was_not_watched_is_counted_with_its_cause(changes, cause):
    """Each way not to be looked at has its name, and the run of it is the longest gap."""
    told = Told()
    told.take(an_assessment(a_segment(0)))
    for number in (1, 2):
        told.take(an_assessment(a_segment(number), **changes))
    assert told.media("watched") == pytest.approx(2.0)
    assert told.media("unwatched", cause) == told.media("unwatched", *UNWATCHED) == pytest.approx(4.0)
    assert told.value("longest_gap_seconds", cause) == pytest.approx(4.0)


def test_segments_that_never_came_are_missing_and_one_that_comes_late_is_recovered():
    """A gap in the numbers is unwatched at once; what fills it later is told beside it, for counters only grow."""
    told = Told()
    for number in (0, 1, 4):
        told.take(an_assessment(a_segment(number)))
    assert told.media("unwatched", "missing") == pytest.approx(4.0)
    assert told.value("longest_gap_seconds", "missing") == pytest.approx(4.0)
    told.take(an_assessment(a_segment(2)))
    assert (told.media("watched"), told.media("recovered")) == (pytest.approx(6.0), pytest.approx(2.0))
    assert told.media("unwatched", "missing") == pytest.approx(4.0)


def test_a_long_segment_with_one_look_is_watched_in_part():
    """A look vouches for ten seconds; the rest is unmeasured, not watched."""
    told = Told()
    for number in range(3):
        told.take(an_assessment(a_segment(number), duration_s=30.0, start_s=30.0 * number))
    seen = told.media("watched") + told.media("unwatched", "unmeasured")
    assert told.media("watched") == pytest.approx(30.0)
    assert seen == pytest.approx(told.state.coverage.watched_s + told.state.coverage.unwatched_s)
    assert seen > 60.0


def test_what_only_a_first_keyframe_was_looked_at_of_is_unwatched_for_overload():
    """Further keyframes were left out: no encoder is to blame that a long segment was not watched whole."""
    told = Told()
    for number in range(2):
        told.take(an_assessment(a_segment(number), duration_s=30.0, start_s=30.0 * number, why="hurried"))
    assert told.media("unwatched", "overload") > 0.0
    assert told.media("unwatched", "unmeasured") == pytest.approx(0.0)


def test_shedding_is_told_in_the_log_once_a_minute():
    """Whoever reads it sees that it goes on; a line for each segment would bury all else."""
    with capture_logs() as lines:
        told = Told()
        for number in range(5):
            told.take(an_assessment(a_segment(number), outcome="shed", why="lateness", looks=()))
    assert [(line["event"], line["why"]) for line in lines] == [("segment shed", "lateness")]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 30),
            st.sampled_from([{}, {"duration_s": None}, {"duration_s": 40.0}, *(changes for changes, _ in NOT_WATCHED)]),
        ),
        max_size=40,
    )
)
def test_the_seconds_of_media_add_up_to_the_streams_coverage(numbers):
    """Whatever comes, in whatever order: watched and recovered are what was watched, the rest what was not."""
    told = Told()
    for at, (number, changes) in enumerate(numbers):
        position = replace(a_segment(0).position, offset=at)
        told.take(an_assessment(a_segment(number, position=position), **changes))
    coverage = told.state.coverage
    assert told.media("watched") + told.media("recovered") == pytest.approx(coverage.watched_s)
    assert told.media("unwatched", *UNWATCHED) - told.media("recovered") == pytest.approx(
        coverage.unwatched_s, abs=1e-6
    )


@settings(deadline=None, max_examples=40)
@given(st.lists(st.sampled_from([{}, *(changes for changes, _ in NOT_WATCHED)]), max_size=20))
def test_outcomes_reasons_and_dead_letters_add_up(changes):
    """Each consumed segment has one outcome; each dead-lettered one a dead letter; each outcome its lateness."""
    told = Told()
    for number, change in enumerate(changes):
        told.take(an_assessment(a_segment(number), **change))
    outcomes = {name: told.value("segments_total", name) for name in ("assessed", "skipped", "shed", "dead_lettered")}
    assert sum(outcomes.values()) == told.value("consumed_total") == len(changes)
    assert told.value("outcome_seconds_count") == len(changes)
    letters = sum(told.value("dead_letters_total", stage, error) for stage, of in ERRORS.items() for error in of)
    assert letters == outcomes["dead_lettered"]
    for outcome in ("skipped", "shed"):
        reasons = sum(told.value("segment_reasons_total", outcome, why) for why in WHYS[outcome])
        assert reasons == outcomes[outcome]


def test_what_is_found_is_counted():
    """Keyframes by how far they came, matches by list, a label's probability where it has a distribution."""
    told = Told()
    told.telemetry.labels({"card"})
    looks = (a_look(0.0, a_match(list_kind="review"), a_match(list="other")), a_look(1.0, probability=None))
    spared = replace(a_look(1.5), near_duplicate=True)
    told.take(an_assessment(a_segment(0), looks=(*looks, spared), keyframes_seen=5))
    keyframes = [told.value("keyframes_total", step) for step in ("seen", "looked", "hashed", "scored", "spared")]
    assert keyframes == [5, 3, 3, 1, 1]
    assert (told.value("matches_total", "demo"), told.value("matches_total", "other")) == (1, 1)
    assert told.value("label_probability_count", "card") == 1


@pytest.mark.parametrize("test", [False, True])
def test_an_incident_is_counted_by_severity_and_reasons_and_a_test_beside_it(test):
    """An opened incident counts once by each kind of reason; a canary is told apart."""
    told = Told()
    opened = told.take(an_assessment(a_segment(0, test=test), looks=(a_look(0.0, a_match()),))).incident
    assert told.value("incidents_total", "opened", "critical") == 1
    assert told.value("incident_reasons_total", "known_image", "critical") == 1
    assert told.value("incident_reasons_total", "label", "critical") == 0
    assert told.value("test_incidents_total", "opened") == test
    told.observer.silent(Conclusion(state=told.state, messages=(), incident=opened))
    assert told.value("incidents_total", "updated", "critical") == 1
    assert told.value("incident_reasons_total", "known_image", "critical") == 1


def test_an_incident_is_as_late_as_its_segments_append_and_capture():
    """Both are told; where nobody says when it was captured, only the first is."""
    told = Told()
    segment = a_segment(0, captured_at=START - timedelta(seconds=30))
    now = START + timedelta(seconds=4)
    told.take(an_assessment(segment, looks=(a_look(0.0, a_match()),)), now=now)
    assert told.value("escalation_seconds_sum") == pytest.approx(4.0)
    assert told.value("escalation_from_capture_seconds_sum") == pytest.approx(34.0)
    other = Told()
    other.take(an_assessment(a_segment(0), looks=(a_look(0.0, a_match()),)), now=now)
    assert other.value("escalation_from_capture_seconds_count") == 0


@pytest.mark.parametrize(("flags", "named"), [("01", True), ("00", False)])
def test_an_exemplar_names_a_trace_that_somebody_keeps(flags, named):
    """One that leads nowhere is of no use, so an unsampled one is left out."""
    told = Told()
    trace = Trace(traceparent=f"00-{TRACE_ID}-b7ad6b7169203331-{flags}")
    told.take(an_assessment(a_segment(0, trace=trace), looks=(a_look(0.0, a_match()),)))
    stage_observer(told.telemetry)(a_segment(0, trace=trace), "decode", 0.1)
    text = told.telemetry.expose("application/openmetrics-text; version=1.0.0")[0].decode()
    with_exemplar = {
        line.partition("_bucket")[0] for line in text.splitlines() if f'# {{trace_id="{TRACE_ID}"}}' in line
    }
    wanted = {"framewatch_escalation_seconds", "framewatch_outcome_seconds", "framewatch_stage_seconds"}
    assert with_exemplar == (wanted if named else set())


def test_a_release_is_counted_by_what_it_writes_once_it_is_acknowledged():
    """Records and bytes by topic; one that raises has written nothing that anybody may rely on."""
    told = Told()
    messages = [Message(topic="risk", key=b"stream-1", value=b"12"), Message(topic="escalations", key=None, value=b"1")]
    with told.observer.releasing(messages):
        pass
    with pytest.raises(PartitionLost), told.observer.releasing(messages):
        raise PartitionLost("cut off")
    assert (told.value("released_records_total", "risk"), told.value("released_bytes_total", "risk")) == (1, 10)
    assert told.value("released_records_total", "escalations") == 1
    assert (told.value("releases_total", "ok"), told.value("releases_total", "unknown")) == (1, 1)
    assert told.value("last_release_timestamp_seconds", "0") > 1e9


def test_a_sampled_segment_is_one_span_with_a_part_for_each_stage():
    """It ends when the broker has it; times of parts lie within it; whose stream it is stands nowhere."""
    exported = []
    clock = iter([START.timestamp() + 0.5, START.timestamp() + 1.0])
    spans = Spans(exported.extend, lambda: next(clock))
    told = Told(spans=spans)
    trace = Trace(traceparent=f"00-{TRACE_ID}-b7ad6b7169203331-01")
    segment = a_segment(0, trace=trace, account="someone")
    for stage in ("fetch", "hash", "decode"):
        stage_observer(told.telemetry, spans)(segment, stage, 0.25)
    told.take(an_assessment(segment, received_at=START), now=START + timedelta(seconds=2))
    whole, *parts = exported
    assert (whole.trace_id, whole.parent_id, whole.error) == (TRACE_ID, "b7ad6b7169203331", None)
    assert (whole.start_s, whole.end_s) == (START.timestamp(), START.timestamp() + 2)
    assert [(part.name, part.parent_id, part.span_id) for part in parts] == [
        (name, whole.span_id, None) for name in ("fetch", "decode", "release")
    ]
    assert all(whole.start_s <= part.start_s <= part.end_s <= whole.end_s for part in parts)
    assert not any("stream-1" in str(span) or "someone" in str(span) for span in exported)


def test_of_an_unsampled_segment_there_is_no_span():
    """Nor is anything kept for it."""
    exported = []
    spans = Spans(exported.extend)
    told = Told(spans=spans)
    for trace in (None, Trace(traceparent=f"00-{TRACE_ID}-b7ad6b7169203331-00")):
        spans.stage(a_segment(0, trace=trace), "decode", 0.1)
        told.take(an_assessment(a_segment(0, trace=trace)))
    assert exported == []
    assert not spans._stages


def test_what_is_never_released_is_not_followed_for_ever():
    """Segments given up at a hand-over leave nothing behind for long."""
    spans = Spans(lambda _: None)
    trace = Trace(traceparent=f"00-{TRACE_ID}-b7ad6b7169203331-01")
    for offset in range(MOST_FOLLOWED + 100):
        position = replace(a_segment(0).position, offset=offset)
        spans.stage(a_segment(0, position=position, trace=trace), "decode", 0.1)
    assert len(spans._stages) == MOST_FOLLOWED


@dataclass
class Working:
    """A partition that works."""

    load: int = 3
    load_bytes: int = 30
    held: str | None = None
    unfinished: int = 0
    finished: int = 0


@dataclass
class Taking:
    """An intake as the test has it."""

    partitions: dict[int, Working] = field(default_factory=dict)
    restoring: frozenset[int] = frozenset()
    parked: dict[int, str] = field(default_factory=dict)
    failing: dict[int, str] = field(default_factory=dict)
    paused: frozenset[int] = frozenset()
    halted: str | None = None
    joined: bool = True
    polls: int = 0
    lags: dict[int, int | None] = field(default_factory=dict)

    def lag(self, partition: int) -> int | None:
        return self.lags.get(partition)


@dataclass
class Decoding:
    """Decoders as the test has them."""

    alive: int = 4
    in_use: int = 2


def looked(intake: Taking, *, given_s: float = 1000.0, at_s: float = 1060.0) -> Telemetry:
    """What one look tells, a minute after the partitions were given."""
    telemetry, behind = Telemetry(), Behind()
    behind.given([*intake.partitions, *intake.restoring, *intake.parked], given_s)
    Gauges(
        telemetry,
        intake=intake,
        decoders=Decoding(),
        health=Health(intake, lambda: 0.0),
        behind=behind,
        clock=lambda: at_s,
    ).look()
    return telemetry


@pytest.mark.parametrize(
    ("intake", "seconds"),
    [
        (Taking(partitions={0: Working()}, lags={0: 0}), 0.0),
        (Taking(partitions={0: Working()}, lags={0: 7}), 60.0),
        (Taking(partitions={0: Working()}, lags={0: None}), 60.0),
        (Taking(partitions={0: Working()}, lags={0: 0}, paused=frozenset({0})), 60.0),
        (Taking(partitions={0: Working()}, lags={0: 0}, halted="the breaker"), 60.0),
        (Taking(restoring=frozenset({0})), 60.0),
        (Taking(parked={0: "moved"}), 60.0),
    ],
)
def test_only_who_has_consumed_all_and_is_not_stopped_is_live(intake, seconds):
    """No lag is no proof while nothing is fetched: who stands still falls behind."""
    assert looked(intake).value("framewatch_behind_seconds", "0") == seconds


def test_a_look_tells_readiness_decoders_and_what_waits():
    """Every reason for not being ready has its own series; with none the worker is ready."""
    intake = Taking(partitions={0: Working(held="s3 is away"), 1: Working()}, restoring=frozenset({2}))
    telemetry = looked(intake)
    assert telemetry.value("framewatch_ready") == 0
    assert {reason for reason in UNREADY if telemetry.value("framewatch_unready", reason)} == {"held", "restoring"}
    assert telemetry.value("framewatch_partitions_held") == 1
    assert (telemetry.value("framewatch_decoders_alive"), telemetry.value("framewatch_decoders_busy")) == (4, 2)
    assert telemetry.value("framewatch_in_flight_bytes", "1") == 30
    assert looked(Taking(partitions={0: Working()})).value("framewatch_ready") == 1

"""What follows from an assessment: memory, risk and messages, made in one step."""

from __future__ import annotations

from datetime import timedelta

import pytest
from support.assessments import START, a_look, a_match, a_segment, an_assessment

from worker import conclude
from worker.conclude import Rules
from worker.escalation.context import Context
from worker.policy.read import default
from worker.records import EventId, Failure, ListRef, Received, StreamEnd
from worker.settings.tree import LinkTemplates, Topics
from worker.streams.state import StreamState
from worker.wire import read

POLICY = default()
RULES = Rules(
    policy=POLICY,
    context=Context(
        model=None,
        policy=POLICY.ref,
        lists=(ListRef(name="demo", version="1"),),
        links=LinkTemplates(),
        preserve_before_s=120.0,
        source="test",
    ),
    topics=Topics(assessments="assessments"),
    max_message_bytes=8 * 1024 * 1024,
    with_payload=False,
)


class Stream:
    """Concludes segments one after the other and keeps what they led to."""

    def __init__(self, rules: Rules = RULES) -> None:
        self.rules = rules
        self.state = StreamState(stream_id="stream-1")
        self.messages = []
        self.incidents = []

    def take(self, assessment) -> conclude.Conclusion:
        now = START + timedelta(seconds=2 * (assessment.segment.sequence or 0))
        conclusion = conclude.segment(self.state, assessment, received(assessment.segment), now, self.rules)
        self._keep(conclusion)
        return conclusion

    def end(self) -> None:
        event = StreamEnd(position=a_segment(99).position, event=EventId(source="s", id="end"), stream_id="stream-1")
        self._keep(conclude.end(self.state, event, START, self.rules))

    def _keep(self, conclusion) -> None:
        self.state = conclusion.state
        self.messages += conclusion.messages
        self.incidents += [conclusion.incident] if conclusion.incident else []

    def topics(self) -> list[str]:
        return [message.topic for message in self.messages]


def received(segment) -> Received:
    """The record that a segment came in."""
    return Received(position=segment.position, key=segment.stream_id.encode(), value=b"media", headers=())


def looked(number: int, *looks, **changes):
    """An assessment with these looks."""
    return an_assessment(a_segment(number), looks=looks or (a_look(),), **changes)


def test_an_opening_tells_the_looks_that_led_to_it():
    """The reasons hold the earlier looks too, not only the one that crossed, each with its own frame."""
    stream = Stream()
    for number in range(6):
        stream.take(looked(number, a_look(probability=0.99)))
    opening = stream.incidents[0]
    assert opening.revision == 1
    sequences = [reason.frame.sequence for reason in opening.reasons if reason.frame]
    assert sequences[0] == max(sequences)
    assert sorted(sequences) == list(range(max(sequences) + 1))
    assert "had raised the risk" in opening.explanation
    assert stream.state.gathered == ()


def test_evidence_of_a_risk_that_is_gone_is_forgotten():
    """Once the risk is back at 0, what was gathered says nothing any more."""
    stream = Stream()
    stream.take(looked(0, a_look(probability=0.9)))
    assert len(stream.state.gathered) == 1
    for number in range(1, 8):
        stream.take(looked(number, a_look(probability=0.001)))
    assert stream.state.risk.value == 0
    assert stream.state.gathered == ()


def test_what_is_gathered_is_bounded():
    """A stream that stays just below its threshold keeps only the weightiest evidence."""
    stream = Stream()
    for number in range(40):
        stream.take(looked(number, a_look(probability=0.55)))
    assert 0 < len(stream.state.gathered) <= conclude.GATHERED


def test_a_block_list_s_match_opens_at_once_and_is_escalated_before_anything_else():
    """The escalation is the first message, so that it is acknowledged first where there are no transactions."""
    stream = Stream()
    stream.take(looked(0, a_look(0.0, a_match())))
    assert stream.topics() == ["escalations", "assessments"]
    assert (stream.incidents[0].severity, stream.incidents[0].reasons[0].kind) == ("critical", "known_image")


def test_a_failed_segment_is_one_dead_letter_and_one_assessment():
    """Both tell the same error, and the stream's memory goes on."""
    stream = Stream()
    failure = Failure(stage="decode", error="corrupt", reason="no keyframe could be decoded")
    assessment = looked(0, outcome="dead_lettered", why="corrupt", failure=failure)
    conclusion = stream.take(assessment)
    assert stream.topics() == ["dead-letters", "assessments"]
    assert conclusion.failure == failure
    report = read.read_assessment(as_received(stream.messages[1]))
    assert (report.outcome, report.why, report.offset) == ("dead_lettered", "corrupt", 1000)


def test_a_block_list_s_match_opens_though_its_segment_is_a_dead_letter():
    """A classifier that fails hides no known material."""
    stream = Stream()
    failure = Failure(stage="score", error="model_failed", reason="not finite")
    looks = (a_look(0.0, a_match(), probability=None),)
    stream.take(looked(0, *looks, outcome="dead_lettered", why="model_failed", failure=failure))
    assert stream.topics() == ["escalations", "dead-letters", "assessments"]


def test_frames_of_a_known_video_that_line_up_are_told_as_a_video():
    """The first sighting is a known image; a second one at the right distance is a known video."""
    stream = Stream()
    stream.take(looked(0, a_look(0.0, a_match(at_s=10.0))))
    stream.take(looked(1, a_look(0.0, a_match(at_s=12.0))))
    assert [incident.reasons[0].kind for incident in stream.incidents] == ["known_image", "known_video"]


def test_a_discontinuity_forgets_what_was_sighted():
    """Frames before and after a break of the clock do not line up by chance."""
    stream = Stream()
    stream.take(looked(0, a_look(0.0, a_match(at_s=10.0))))
    broken = an_assessment(a_segment(1, discontinuity=True), looks=(a_look(0.0, a_match(at_s=12.0)),), start_s=900.0)
    stream.take(broken)
    assert [incident.reasons[0].kind for incident in stream.incidents] == ["known_image"]


def test_an_event_that_can_not_be_read_is_reported_without_a_stream():
    """Its dead letter and its assessment are there, with what could be read of it."""
    record = Received(position=a_segment(0).position, key=b"\xff", value=b"", headers=())
    failure = Failure(stage="wire", error="bad_key", reason="the key is not UTF-8")
    conclusion = conclude.refused(record, failure, START, RULES)
    assert [message.topic for message in conclusion.messages] == ["dead-letters", "assessments"]
    assert read.read_assessment(as_received(conclusion.messages[1])).stream_id is None


@pytest.mark.parametrize("topics", [Topics(), Topics(assessments="assessments")])
def test_assessments_are_written_only_where_their_topic_is_on(topics):
    """An empty name turns them off."""
    rules = Rules(policy=POLICY, context=RULES.context, topics=topics, max_message_bytes=8_000_000, with_payload=False)
    stream = Stream(rules)
    stream.take(looked(0))
    assert stream.topics() == (["assessments"] if topics.assessments else [])


def test_the_end_of_a_stream_is_told_of_an_open_incident():
    """The incident's last revision says that it is over."""
    stream = Stream()
    stream.take(looked(0, a_look(0.0, a_match(severity="high"))))
    stream.end()
    assert [(incident.state, incident.live) for incident in stream.incidents] == [("open", True), ("closed", False)]
    assert [incident.revision for incident in stream.incidents] == [1, 2]


def test_the_same_input_leads_to_the_same_messages():
    """A replay gives the same incidents under the same ids."""
    assert play() == play()


def play() -> list:
    """A stream that opens and ends."""
    stream = Stream()
    for number in range(6):
        stream.take(looked(number, a_look(probability=0.99)))
    stream.end()
    return stream.messages


def as_received(message) -> Received:
    """A message as a reader gets it."""
    return Received(
        position=a_segment(0).position, key=message.key, value=message.value, headers=tuple(message.headers)
    )

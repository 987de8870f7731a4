"""Incidents as they are told to people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from support.assessments import START, a_look, a_match, a_segment, an_assessment

from worker import escalation
from worker.errors import UsageError
from worker.records import (
    Assessment,
    Decision,
    EventId,
    Evidence,
    Incident,
    ListRef,
    ModelRef,
    OpenIncident,
    Placed,
    PolicyRef,
    Reference,
    Score,
    StreamRisk,
)
from worker.settings.tree import LinkTemplates
from worker.streams.memory import advance
from worker.streams.state import StreamState

NOW = START + timedelta(seconds=30)
CONTEXT = escalation.Context(
    model=ModelRef(name="demo", version="1.0.0", sha256="00"),
    policy=PolicyRef(name="default", sha256="11"),
    lists=(ListRef(name="demo", version="1"),),
    links=LinkTemplates(
        watch="https://watch.example/{stream_id}",
        clip="https://clips.example/{stream_id}?t={media_time_s}&n={sequence}&at={wall_time}",
        account="https://accounts.example/{tenant}/{account}",
    ),
    preserve_before_s=8.0,
    source="framewatch",
)
LABEL = Evidence(
    kind="label",
    weight=3.25,
    severity="high",
    category="test-card",
    policy_ref="rules/4",
    look=1,
    label="card",
    score=Score(score=0.91, probability=0.98),
)


def a_decision(change: str = "opened", **changes: Any) -> Decision:
    """Return the decision that a label opened an incident."""
    incident = OpenIncident(
        incident_id="incident-1",
        revision=1,
        opened_by=EventId(source="/packager/1", id="event-9"),
        opened_at=NOW,
        severity="high",
        kinds=("label",),
        live=True,
        test=False,
    )
    decision = Decision(
        change=change,  # type: ignore[arg-type]  # tests name the three
        incident=incident,
        severity="high",
        action="limit",
        respond_within_s=900.0,
        closed_why=None,
        risk=StreamRisk(value=6.5, peak=6.5),
        open_above=5.0,
        close_below=1.0,
        evidence=(LABEL,),
    )
    return replace(decision, **changes)


def known(**changes: Any) -> Evidence:
    """Return the evidence of a match with a known hash."""
    match = a_match(**changes)
    kind = "known_video" if match.video else "known_image"
    return replace(LABEL, kind=kind, weight=9.0, look=0, label=None, score=None, match=match)


def watched(*more: Assessment) -> tuple[StreamState, Placed]:
    """Return a stream of ten segments, the last with two looks, and its last segment's place."""
    looks = (a_look(0.25), a_look(1.5, probability=0.98))
    segment = a_segment(9, tenant="t", account="a/7", viewers=41, captured_at=START + timedelta(seconds=18))
    last = an_assessment(segment, looks=looks, keyframes_seen=3)
    state = StreamState(stream_id="stream-1")
    for assessment in (*(an_assessment(a_segment(n)) for n in range(9)), last, *more):
        state, placed = advance(state, assessment, preserve_before_s=8.0)
    return state, placed


def told(decision: Decision | None = None, **changes: Any) -> Incident:
    """Return the incident that the stream's last segment led to."""
    state, placed = watched()
    return escalation.incident(decision or a_decision(**changes), placed, state, NOW, CONTEXT)


def test_an_opened_incident_says_who_what_and_how_urgent() -> None:
    """Stream, account, severity, deadline, action, risk and thresholds are there."""
    incident = told()
    assert (incident.stream_id, incident.tenant, incident.account, incident.viewers) == ("stream-1", "t", "a/7", 41)
    assert (incident.state, incident.revision, incident.live, incident.closed_at) == ("open", 1, True, None)
    assert (incident.severity, incident.action) == ("high", "limit")
    assert incident.respond_by == NOW + timedelta(minutes=15)
    assert (incident.risk.value, incident.risk.open_above, incident.risk.close_below) == (6.5, 5.0, 1.0)
    assert (incident.model, incident.policy, incident.lists) == (CONTEXT.model, CONTEXT.policy, CONTEXT.lists)
    assert incident.group.account == "a/7"


def test_an_incident_is_about_its_weightiest_frame() -> None:
    """Media time, sequence and links are those of the moment that weighs most."""
    incident = told()
    assert (incident.media_time_s, incident.media_time_from, incident.sequence) == (19.5, "counted", 9)
    assert incident.links.clip is not None
    assert "t=19.500&n=9&at=2026-11-22T12%3A00%3A19.5" in incident.links.clip


def test_known_material_goes_before_whatever_weighs_more() -> None:
    """The clip link leads to the match, not to a label beside it."""
    incident = told(evidence=(replace(LABEL, weight=50.0), known()))
    assert incident.media_time_s == 18.25
    assert incident.explanation.index("matches") < incident.explanation.index("shows")


def test_a_reason_leads_to_its_frame() -> None:
    """A label's reason has its figures, when the frame was, and where its segment lies."""
    (reason,) = told().reasons
    assert (reason.kind, reason.weight, reason.label, reason.score, reason.probability) == (
        "label",
        3.25,
        "card",
        0.91,
        0.98,
    )
    assert (reason.category, reason.policy_ref, reason.list) == ("test-card", "rules/4", None)
    assert reason.frame is not None
    assert (reason.frame.wall_time, reason.frame.wall_time_from) == (START + timedelta(seconds=19.5), "ce_time")
    assert (reason.frame.segment.offset, reason.frame.segment.starts_at_s) == (1009, 18.0)


def test_without_a_capture_time_the_record_says_when() -> None:
    """wall_time_from says whose clock it was."""
    state, placed = watched(an_assessment(a_segment(10)))
    decision = a_decision(evidence=(replace(LABEL, look=0),))
    frame = escalation.incident(decision, placed, state, NOW, CONTEXT).reasons[0].frame
    assert frame is not None
    assert (frame.wall_time, frame.wall_time_from) == (START + timedelta(seconds=20), "record")


def test_a_match_is_told_without_its_hash() -> None:
    """List, entry, distance and radius, and nothing that could be matched against."""
    (reason,) = told(evidence=(known(),)).reasons
    assert (reason.list, reason.list_kind, reason.entry, reason.distance, reason.radius, reason.algorithm) == (
        "demo",
        "block",
        "clip-7",
        4,
        31,
        "pdq",
    )
    assert (reason.label, reason.score) == (None, None)


def test_one_entry_is_one_job_wherever_it_appears() -> None:
    """group.material depends on list and entry alone."""
    here = told(evidence=(known(),)).group.material
    there = told(evidence=(known(distance=12, video=True, at_s=3.0),)).group.material
    other = told(evidence=(known(entry="clip-8"),)).group.material
    assert here == there != other
    assert here is not None
    assert told().group.material is None


def test_the_job_stays_the_same_over_revisions() -> None:
    """What the stream's memory has as its material goes before what a later revision finds."""
    state, placed = watched()
    decision = a_decision("updated", evidence=(known(),))
    group = escalation.incident(decision, placed, replace(state, material="key"), NOW, CONTEXT).group
    assert group.material == "key"


def test_preserve_covers_the_time_before() -> None:
    """From so long before the opening, with the segments in order, the reason's among them."""
    preserve = told().preserve
    assert (preserve.from_, preserve.until) == (START + timedelta(seconds=10), NOW)
    assert [segment.offset for segment in preserve.segments] == [1005, 1006, 1007, 1008, 1009]


def test_behind_says_how_old_the_newest_look_is() -> None:
    """From the capture of the last frame that was looked at, also when later segments could not be."""
    failed = an_assessment(a_segment(11), outcome="skipped", why="plan", looks=())
    state, placed = watched(failed, an_assessment(a_segment(10, captured_at=START)))
    decision = a_decision(evidence=())
    assert escalation.incident(decision, placed, state, NOW, CONTEXT).behind_s == pytest.approx(10.5)
    assert escalation.incident(decision, placed, state, START, CONTEXT).behind_s == 0.0


def test_a_closed_incident_says_why_without_a_segment() -> None:
    """The end of a stream has no segment: the stream's last place is told, and the deadline stays."""
    state, _ = watched()
    decision = a_decision("closed", closed_why="ended", evidence=())
    decision = replace(decision, incident=replace(decision.incident, revision=3, live=False, opened_at=START))
    incident = escalation.incident(decision, None, state, NOW, CONTEXT)
    assert (incident.state, incident.closed_why, incident.closed_at, incident.live) == ("closed", "ended", NOW, False)
    assert (incident.media_time_s, incident.sequence, incident.reasons) == (18.0, 9, ())
    assert incident.respond_by == START + timedelta(minutes=15)
    assert incident.timings.appended_at is None
    assert "the stream has ended" in incident.explanation


def test_a_silent_stream_may_or_may_not_be_live() -> None:
    """Nobody knows whether a stream that fell silent can still be stopped."""
    assert told(a_decision("closed", closed_why="idle")).live is None


def test_the_explanation_says_which_rule_and_which_frame() -> None:
    """Threshold, frame, time, label, probability, what was sampled and what was watched, in sentences."""
    assert told().explanation == (
        "Opened with severity high: the stream's risk rose to 6.50, above the policy's 5.00. "
        'The keyframe at 0:00:19.500 shows "card" with probability 0.980 (score 0.910) (+3.25). '
        "Of the segment's 3 keyframes, 2 sampled. "
        "Of the stream 20.0 s were watched so far, nothing was left out. "
        "Of 12 keyframes seen, 11 were hashed and 11 scored."
    )


def test_the_explanation_says_how_near_a_match_is() -> None:
    """Entry, list, distance and radius; a known video also with the time in it."""
    image = told(evidence=(known(),)).explanation
    assert "a match with a block list opens at once; the risk is 6.50, the policy opens above 5.00" in image
    assert (
        'at 0:00:18.250 matches "clip-7" of the block list "demo", version "1": 4 of 256 bits apart, radius 31' in image
    )
    video = told(evidence=(known(video=True, at_s=63.5),)).explanation
    assert 'lines up in time with the known video "clip-7" at 0:01:03.500' in video


def test_the_explanation_says_what_was_not_watched() -> None:
    """Missing and late segments, discontinuities, and that there was no classifier or no list."""
    state, placed = watched(an_assessment(a_segment(12)))
    bare = replace(CONTEXT, model=None, lists=())
    text = escalation.incident(a_decision(evidence=()), placed, state, NOW, bare).explanation
    assert "4.0 s before this segment are missing. Of the stream 22.0 s were watched so far, 4.0 s were not" in text
    assert text.endswith("No classifier was on. No hash list was on.")
    state, late = watched(an_assessment(a_segment(12)), an_assessment(a_segment(11)))
    assert "came late" in escalation.incident(a_decision(evidence=()), late, state, NOW, CONTEXT).explanation
    state, anew = watched(an_assessment(a_segment(5000)))
    assert "began anew" in escalation.incident(a_decision(evidence=()), anew, state, NOW, CONTEXT).explanation


def test_an_explanation_stays_short() -> None:
    """Of much evidence the weightiest is told, and of a long name its beginning, on one line."""
    few = tuple(replace(LABEL, weight=float(n), label=f"label\n{n}" + "x" * 500) for n in range(40))
    text = told(evidence=few).explanation
    assert "35 more such are among the reasons" in text
    assert '"label 39xxx' in text
    assert len(text) < 2000


def test_a_test_says_so() -> None:
    """The flag and the explanation of a canary's incident say that it is one."""
    decision = a_decision()
    incident = told(replace(decision, incident=replace(decision.incident, test=True)))
    assert incident.test
    assert incident.explanation.startswith("This is a test.")
    made = escalation.test_incident("stream-1", NOW, CONTEXT)
    assert made.test
    assert made.explanation.startswith("This is a test.")
    assert made.links.watch == "https://watch.example/stream-1"
    assert made.links.account is None


@pytest.mark.parametrize(
    "template",
    [
        "https://x/{user}",
        "https://x/{}",
        "https://x/{account.name}",
        "https://x/{tenant!r}",
        "https://x/{sequence:>9}",
        "{",
    ],
)
def test_a_template_with_an_unknown_placeholder_is_a_mistake(template: str) -> None:
    """It is told at start, with the setting's name."""
    with pytest.raises(UsageError, match=r"^links\.clip: "):
        escalation.check_links(LinkTemplates(clip=template))


def test_every_mistake_in_the_templates_is_told_at_once() -> None:
    """A line for each; templates without a mistake pass."""
    with pytest.raises(UsageError) as told_at_once:
        escalation.check_links(LinkTemplates(watch="{a}", clip="{stream_id}", account="{b}"))
    assert [line.split(":")[0] for line in str(told_at_once.value).splitlines()] == ["links.watch", "links.account"]
    escalation.check_links(CONTEXT.links)
    escalation.check_links(LinkTemplates())


def test_values_cannot_leave_their_place_in_a_link() -> None:
    """A stream's id or an account from outside is quoted, also slashes, dots and what looks like a placeholder."""
    _, placed = watched()
    state = replace(watched()[0], stream_id="../{account}?x=é#/", account="a/7")
    links = escalation.incident(a_decision(), placed, state, NOW, CONTEXT).links
    assert links.watch == "https://watch.example/..%2F%7Baccount%7D%3Fx%3D%C3%A9%23%2F"
    assert links.account == "https://accounts.example/t/a%2F7"


def test_a_link_that_cannot_be_filled_in_is_none() -> None:
    """No link is better than one that leads elsewhere."""
    state, placed = watched()
    assert escalation.incident(a_decision(), placed, replace(state, account=None), NOW, CONTEXT).links.account is None
    none = escalation.incident(a_decision(), placed, state, NOW, replace(CONTEXT, links=LinkTemplates()))
    assert (none.links.watch, none.links.clip, none.links.account) == (None, None, None)


FIELDS = """
    incident_id revision test state closed_why live behind_s stream_id tenant account group severity respond_by
    opened_at updated_at closed_at action media_time_s media_time_from sequence viewers links risk reasons
    explanation preserve model policy lists coverage timings evidence
"""


@settings(deadline=None)
@given(
    captured_at=st.none() | st.datetimes(timezones=st.just(UTC)),
    timestamp_ms=st.integers(-1, 2**63 - 1),
    media_time_s=st.none() | st.floats(),
    respond_within_s=st.floats(0, 1e12),
    uri=st.text(max_size=30),
    change=st.sampled_from(["opened", "updated", "closed"]),
    with_segment=st.booleans(),
)
def test_any_incident_is_a_whole_body(
    *,
    captured_at: datetime | None,
    timestamp_ms: int,
    media_time_s: float | None,
    respond_within_s: float,
    uri: str,
    change: str,
    with_segment: bool,
) -> None:
    """Whatever a publisher says, the body is JSON with every field there, and reads back the same."""
    segment = a_segment(10, captured_at=captured_at, media_time_s=media_time_s, payload=Reference(uri=uri))
    segment = replace(segment, position=replace(segment.position, timestamp_ms=timestamp_ms))
    state, placed = watched(an_assessment(segment, looks=(a_look(), a_look(1.0, a_match()))))
    decision = a_decision(change, respond_within_s=respond_within_s, evidence=(LABEL, known()))
    incident = escalation.incident(decision, placed if with_segment else None, state, NOW, CONTEXT)
    body = msgspec.json.encode(incident)
    assert sorted(msgspec.json.decode(body)) == sorted(FIELDS.split())
    assert msgspec.json.encode(msgspec.json.decode(body, type=Incident)) == body

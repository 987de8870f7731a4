"""``framewatch watch``: escalations once each, readable, and harmless to a terminal."""

from __future__ import annotations

import asyncio
import io
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from support.deployment import deployed

from worker import escalation
from worker.commands import watch
from worker.commands.terminal import safe
from worker.errors import Stopped, UsageError
from worker.escalation.context import Context
from worker.policy import read as policies
from worker.records import Group, Links, Position, Reason, Received
from worker.settings.tree import Kafka, LinkTemplates, Settings
from worker.wire import write

if TYPE_CHECKING:
    from worker.records import Incident, Message

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
CONTEXT = Context(
    model=None, policy=policies.default().ref, lists=(), links=LinkTemplates(), preserve_before_s=0.0, source="tests"
)
HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m[red]bold[/red]\u202e\r\nnext"
KNOWN = Reason(
    kind="known_image",
    weight=9.0,
    category="known",
    policy_ref="rule 7",
    list="national",
    list_kind="block",
    entry="e-1",
    distance=4,
    radius=31,
)
LABEL = Reason(kind="label", weight=2.5, category=None, policy_ref=None, label="card", score=0.9, probability=0.97)


def made(stream_id: str = "stream-1", **changes: Any) -> Incident:
    """An incident, changed."""
    return msgspec.structs.replace(escalation.test_incident(stream_id, NOW, CONTEXT), **changes)


def message(incident: Incident, topic: str = "escalations") -> Message:
    """As the worker sends it."""
    return write.incident_message(incident, topic=topic, source="tests", at=NOW, trace=None)


def received(incident: Incident) -> Received:
    """As a reader gets it."""
    sent = message(incident)
    position = Position(topic=sent.topic, partition=0, offset=0, timestamp_ms=0)
    return Received(position=position, key=sent.key, value=sent.value, headers=sent.headers)


def shown(incident: Incident, *, terminal: bool = False, as_json: bool = False) -> str:
    """What a person sees of it."""
    out, complaints = io.StringIO(), io.StringIO()
    console = Console(file=out, force_terminal=terminal, color_system="truecolor" if terminal else None, width=100)
    watch.shower(console, Console(file=complaints), as_json=as_json)(received(incident))
    assert complaints.getvalue() == ""
    return out.getvalue()


# --- words ------------------------------------------------------------------------------------------------------------


def test_a_person_reads_what_is_needed_to_act():
    """Severity, stream, state and revision, until when, why, where to look, and that it is a test."""
    incident = made(
        severity="high",
        respond_by=datetime.now(UTC) + timedelta(minutes=14, seconds=40),
        reasons=(KNOWN, LABEL),
        links=Links(watch="https://review.example/1", clip=None, account=None),
        group=Group(account="a-1", material="national/e-1"),
        action="limit",
        viewers=120,
    )
    text = shown(incident)
    assert "TEST" in text
    assert "HIGH  opened  stream-1  revision 1, open  respond by" in text
    assert "(in 15 min)" in text or "(in 14 min)" in text
    assert "known image: entry e-1 of block list national, 4 bits away of 31 allowed" in text
    assert "label card, probability 0.970, weight 2.50" in text
    assert "watch: https://review.example/1" in text
    assert "material national/e-1" in text
    assert "suggested action limit" in text
    assert "viewers 120" in text
    assert incident.explanation in text
    assert incident.incident_id in text


def test_a_closed_incident_asks_nobody_to_hurry():
    """It says why it closed, and names no time to respond by."""
    text = shown(made(state="closed", revision=2, closed_why="quiet", closed_at=NOW, respond_by=NOW))
    assert "closed  stream-1  revision 2, closed (quiet)" in text
    assert "respond by" not in text


def test_a_missed_time_is_said():
    """Somebody should have looked already."""
    assert " ago)" in shown(made(respond_by=datetime.now(UTC) - timedelta(hours=2)))


def test_severities_differ_on_a_terminal():
    """Each has a colour of its own, and elsewhere there are none."""
    coloured = {shown(made(severity=severity), terminal=True) for severity in ("critical", "high", "medium", "low")}
    assert len({text.replace("CRITICAL", "").replace("HIGH", "") for text in coloured}) == 4
    assert "\x1b" not in shown(made(severity="critical"))


# --- safety -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_json", [False, True])
def test_nothing_from_outside_reaches_the_terminal_as_a_command(as_json):
    """Escapes, markup, line breaks and marks of direction in any text of an incident stay text."""
    incident = made(
        HOSTILE,
        explanation=HOSTILE,
        reasons=(
            msgspec.structs.replace(KNOWN, list=HOSTILE, entry=HOSTILE, category=HOSTILE, policy_ref=HOSTILE),
            msgspec.structs.replace(LABEL, label=HOSTILE),
            Reason(kind="signal", weight=1.0, category=None, policy_ref=None, source=HOSTILE, detail=HOSTILE),
        ),
        links=Links(watch=HOSTILE, clip=HOSTILE, account=HOSTILE),
        group=Group(account=HOSTILE, material=HOSTILE),
        tenant=HOSTILE,
        account=HOSTILE,
    )
    text = shown(incident, as_json=as_json)
    assert all(each.isprintable() or each == "\n" for each in text)
    assert "\nnext" not in text
    if as_json:
        assert json.loads(text)["stream_id"] == HOSTILE
    else:
        assert "[red]bold[/red]" in text


@given(st.text(), st.integers(1, 50))
def test_a_safe_text_is_printable_and_bounded(text, most):
    """Whatever it was."""
    made_safe = safe(text, most)
    assert made_safe.isprintable()
    assert len(made_safe) <= most + 1


def test_json_is_one_line_that_says_the_same():
    """Programs read the body as it came, with fields that this version does not know."""
    came = received(made("strøm"))
    body = json.loads(came.value or b"") | {"new_field": 1}
    text = watch.json_line(msgspec.structs.replace(came, value=json.dumps(body).encode()))
    assert json.loads(text) == body
    assert text.isascii()
    assert "\n" not in text


def test_what_can_not_be_read_is_one_line_beside():
    """It does not end the watch."""
    out, complaints = io.StringIO(), io.StringIO()
    show = watch.shower(Console(file=out), Console(file=complaints, width=300), as_json=False)
    show(msgspec.structs.replace(received(made()), value=b"\x1b[2J{"))
    assert out.getvalue() == ""
    assert len(complaints.getvalue().splitlines()) == 1
    assert "\x1b" not in complaints.getvalue()


# --- repeats ----------------------------------------------------------------------------------------------------------


def test_an_id_is_a_repeat_until_it_is_forgotten():
    """The oldest goes first; one that was seen again is not the oldest."""
    repeats = watch.Repeats(most=2)
    assert [repeats.seen(each) for each in ("a", "b", "a", "c", "a", "b")] == [False, False, True, False, True, False]


async def test_each_incident_is_shown_once_however_often_it_comes(broker):
    """From the earliest on, by id; a repeat is not counted."""
    async with deployed(broker) as deployment:
        topic = deployment.settings.topics.escalations
        first, second = made("one"), made("two")
        await deployment.send(message(first, topic), message(first, topic), message(second, topic))
        found: list[Received] = []
        await watch.follow(deployment.settings, since="earliest", count=2, show=found.append)
    assert sorted(each.key or b"" for each in found) == [b"one", b"two"]


async def test_latest_shows_what_comes_from_now_on_only(broker):
    """What was there before is history."""
    async with deployed(broker) as deployment:
        topic = deployment.settings.topics.escalations
        await deployment.send(message(made("old"), topic))
        found: list[Received] = []
        watching = asyncio.create_task(
            watch.follow(deployment.settings, since="latest", count=1, show=found.append), name="watch"
        )
        number = 0
        while not watching.done():  # it says nothing when it begins, so publish until it has one
            number += 1
            await deployment.send(message(made(f"new-{number}"), topic))
        await watching
    assert found[0].key != b"old"


async def test_a_missing_topic_is_told_and_not_made(broker):
    """Watching changes nothing on the broker."""
    settings = Settings(kafka=Kafka(bootstrap_servers=broker.bootstrap_servers))
    with pytest.raises(Stopped, match="no topic escalations"):
        await watch.follow(settings, since="earliest", count=1, show=print)


def test_a_count_below_one_is_a_mistake():
    """Nobody waits for nothing."""
    with pytest.raises(UsageError, match="--count"):
        watch.watch(Settings(), since="latest", count=0, show=print)

"""``framewatch explain``: from a real broker's topics to an answer, in words and for programs."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from support import media
from support.cards import card, harmless
from support.deployment import Deployment, deployed, now

from worker.commands import explain
from worker.errors import UsageError
from worker.settings.tree import Settings, Topics

QUIET = media.make_segment(width=160, height=90, seconds=2.0, picture=lambda _: harmless(90, 160, 1))
RISKY = media.make_segment(width=160, height=90, seconds=2.0, picture=lambda _: card(90, 160))


async def watched(deployment: Deployment, begin) -> None:
    """A stream of seven segments, one of which never came and one of which is broken; and another stream."""
    async with deployment.worker():
        for number in (0, 1, 2, 4, 5, 6):
            payload = b"broken" if number == 2 else RISKY if number > 3 else QUIET
            captured_at = begin + timedelta(seconds=2 * number)
            await deployment.send(
                deployment.segment("live/1", payload, sequence=number, captured_at=captured_at),
                deployment.segment("live/2", QUIET, sequence=number, captured_at=captured_at),
            )
        await deployment.assessments(12)
        await deployment.incidents(1)


async def test_a_stream_is_explained_from_what_was_written_down(broker):
    """What was looked at and seen, what never came, what was told, and what was on; of this stream only."""
    begin, counted = now() - timedelta(seconds=20), []
    async with deployed(broker, partitions=2) as deployment:
        await watched(deployment, begin)
        settings = deployment.settings
        told, incidents = await explain._read(
            settings, "live/1", begin - timedelta(minutes=10), now() + timedelta(minutes=5), counted.append
        )
    found = explain.explain("live/1", begin + timedelta(seconds=9), timedelta(minutes=1), told, incidents)
    assert [(one.sequence, one.outcome) for one in found.segments] == [
        (0, "assessed"),
        (1, "assessed"),
        (2, "dead_lettered"),
        (4, "assessed"),
        (5, "assessed"),
        (6, "assessed"),
    ]
    assert found.segments[found.nearest].sequence == 4
    assert found.missing == ((3, 3),)
    assert counted[-1] >= 13  # both streams' outcomes and a config event
    assert {incident.stream_id for incident in found.incidents} == {"live/1"}
    # The worker spoke after these segments were captured: what was on then, nobody said.
    assert found.configs == ()
    later = explain.explain("live/1", now(), timedelta(minutes=1), told, incidents)
    assert [(one.report.jail, one.report.model.name) for one in later.configs] == [("full", "demo")]
    shown = "\n".join(line.plain for line in explain.lines(later))
    assert "sequence 2  could not be looked at: " in shown
    assert "sequence 3 has no outcome here" in shown
    assert "model demo" in shown
    assert json.loads(explain.as_json(later))["stream_id"] == "live/1"


def test_a_hostile_stream_id_moves_no_terminal():
    """It is somebody else's text."""
    found = explain.explain("\x1b[2J\u202e", now(), timedelta(minutes=1), (), ())
    assert all(line.plain.isprintable() for line in explain.lines(found))
    assert explain.as_json(found).isascii()


@pytest.mark.parametrize(
    ("stream", "at", "topic", "expected"),
    [
        ("s", "yesterday", "assessments", "--at is not a time as RFC 3339 has it"),
        ("s", "2026-11-01T12:00:00", "assessments", "--at is not a time as RFC 3339 has it"),
        ("", "2026-11-01T12:00:00Z", "assessments", "the stream must be"),
        ("s", "2026-11-01T12:00:00Z", "", "was not written down"),
    ],
)
def test_a_mistake_in_use_is_one_line(stream, at, topic, expected):
    """It says what is wrong before any broker is asked."""
    settings = replace(Settings(), topics=Topics(assessments=topic))
    with pytest.raises(UsageError, match=expected):
        explain.gather(settings, stream, at, window_s=60, late_s=60, progress=print)

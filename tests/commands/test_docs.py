"""The pages for operators and reviewers say what the code does."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from support.deployment import deployed

from worker import escalation
from worker import topics as rules
from worker.escalation.context import Context
from worker.escalation.links import PLACEHOLDERS
from worker.policy import read as policies
from worker.provisioning import rights
from worker.records import Incident
from worker.retention import DAY_MS
from worker.settings.rows import describe
from worker.settings.tree import LinkTemplates, Settings, Topics
from worker.wire import write

DOCS = Path(__file__).parents[2] / "docs"
REVIEWERS = (DOCS / "reviewers.md").read_text(encoding="utf-8")
OPERATORS = (DOCS / "operators.md").read_text(encoding="utf-8")
CONTEXT = Context(
    model=None, policy=policies.default().ref, lists=(), links=LinkTemplates(), preserve_before_s=0.0, source="tests"
)


def example() -> dict[str, Any]:
    """The Python example, executed."""
    [code] = re.findall(r"^```python\n(.*?)^```", REVIEWERS, re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(code, "reviewers.md", "exec"), names)  # noqa: S102 - our own page's example is what is tested
    return names


def test_the_page_for_reviewers_names_every_field_of_an_incident():
    """None is missing, none is made up."""
    table = REVIEWERS.partition("| field | meaning |")[2].partition("\n\n")[0]
    told = {word for row in table.splitlines() if row for word in re.findall(r"`([a-z_]+)`", row.split("|")[1])}
    assert told == {field.name for field in msgspec.structs.fields(Incident)}


def test_the_page_for_reviewers_names_every_placeholder():
    """Of the links' templates."""
    links = REVIEWERS.partition("## Links")[2].partition("##")[0]
    assert set(re.findall(r"\{(\w+)\}", links)) == PLACEHOLDERS


def test_the_page_for_operators_has_every_topic_as_it_is_made():
    """With its retention and cleanup."""
    rows = [line.split("|") for line in OPERATORS.splitlines() if re.match(r"\| `[a-z-]+` \| `topics\.", line)]
    told = {row[1].strip(" `"): (row[6].strip(), row[7].strip()) for row in rows}
    wanted = rules.wanted(Settings(topics=Topics(assessments="assessments")), 6).values()
    assert set(told) == {topic.name for topic in wanted}
    for topic in wanted:
        cleanup, kept = told[topic.name]
        assert cleanup == topic.config["cleanup.policy"]
        if cleanup == "delete":
            assert int(kept.split()[0]) * DAY_MS == int(topic.config["retention.ms"])


def test_the_page_for_operators_names_settings_that_are_there():
    """And gives their defaults where it does."""
    names = {row.name for row in describe()}
    sections = (
        "kafka|topics|intake|fetch|sampling|jail|matching|scoring|policy|escalation|links|dead_letters|shutdown|web|log"
    )
    told = set(re.findall(rf"`((?:{sections})\.[a-z_]+)", OPERATORS))
    assert told
    assert told <= names


def test_the_page_for_operators_names_every_principal():
    """As the rights are written down."""
    for principal in rights.PRINCIPALS:
        assert f"| `{rights.account(principal)}` |" in OPERATORS


async def test_the_examples_consumer_gets_each_incident_once_and_keeps_closed_ones(broker):
    """On a real broker: a repeat, a later revision, a closing, something that is no incident."""
    names = example()
    opened = escalation.test_incident("stream-1", datetime.now(UTC), CONTEXT)
    closed = msgspec.structs.replace(opened, revision=2, state="closed", closed_why="quiet", test=False)
    jobs = names["Jobs"]()
    async with deployed(broker) as deployment:
        topic = deployment.settings.topics.escalations
        sent = [
            write.incident_message(each, topic=topic, source="tests", at=each.updated_at, trace=None)
            for each in (opened, opened, closed)
        ]
        stranger = msgspec.structs.replace(sent[0], headers=(("ce_type", b"somebody.else.v1"),), value=b"no json")
        await deployment.send(stranger, *sent)
        consuming = asyncio.create_task(
            names["consume"](deployment.settings.kafka.bootstrap_servers, topic, jobs), name="example"
        )
        async with asyncio.timeout(30):
            while len(jobs.events) < 2 and not consuming.done():
                await asyncio.sleep(0.05)
        consuming.cancel()
        await asyncio.wait([consuming])
    assert jobs.events == {f"{opened.incident_id}/1", f"{opened.incident_id}/2"}
    [job] = jobs.open.values()
    assert (job["state"], job["revision"]) == ("closed", 2)

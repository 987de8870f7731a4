"""How long topics keep what is in them: made as the settings allow, and checked against them."""

from __future__ import annotations

import asyncio
import itertools
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker import retention, topics
from worker.commands import topics as command
from worker.commands.checks import broker as broker_checks
from worker.commands.checks import values
from worker.kafka import admin
from worker.settings.rows import describe
from worker.settings.tree import Fetch, Kafka, Retention, Settings, Topics

if TYPE_CHECKING:
    from support.kafka import Cluster

    from worker.topics import Role

HOUR_MS = 3_600_000
PRIVACY = (Path(__file__).parents[2] / "docs" / "privacy.md").read_text()
ALL = Settings(topics=Topics(assessments="assessments"))
ROLES: tuple[Role, ...] = ("segments", "escalations", "dead_letters", "assessments")
NAMES = itertools.count()


def with_config(role: Role, **config: str) -> list[topics.Problem]:
    """What is wrong where one topic's configuration is changed; underscores stand for dots."""
    found = {topic.name: topic for topic in topics.wanted(ALL, 6).values()}
    name = topics.names(ALL)[role]
    changed = dict(found[name].config) | {key.replace("_", "."): value for key, value in config.items()}
    found[name] = msgspec.structs.replace(found[name], config=changed)
    return topics.problems(ALL, found)


@given(hours=st.floats(min_value=0.01, max_value=87_600))
def test_a_topic_as_it_is_made_keeps_what_is_allowed(hours):
    """Whatever is allowed, nothing is wrong with the topic that is made by it."""
    made = retention.as_made(hours)
    assert int(made["retention.ms"]) == round(hours * HOUR_MS)
    assert retention.too_long(made, hours) is None
    assert retention.too_coarse(made, hours) is None


@pytest.mark.parametrize("role", ROLES)
def test_a_topic_that_keeps_longer_than_allowed_fails_the_check_and_stops_no_worker(role):
    """Streams go on being watched while somebody sets it right; the line names the setting and the value."""
    allowed_ms = round(topics.allowed_h(ALL)[role] * HOUR_MS)
    [problem] = with_config(role, retention_ms=str(allowed_ms + 1))
    assert (problem.fatal, problem.against_policy) == (False, True)
    assert f"retention.ms={allowed_ms}" in problem.remedy
    assert f"retention.{role}_h" in problem.remedy
    assert broker_checks._problem(problem).level == "failure"
    assert with_config(role, retention_ms=str(allowed_ms)) == []


@pytest.mark.parametrize("role", ROLES)
def test_a_topic_that_forgets_nothing_fails_the_check(role):
    """Kafka's -1 is for ever, not less than an hour."""
    [problem] = with_config(role, retention_ms="-1")
    assert problem.against_policy
    assert "for ever" in problem.what


def test_files_that_take_records_for_a_week_are_worth_a_line():
    """Kafka's default for segment.ms: a quiet topic's oldest records go up to a week late."""
    [problem] = with_config("segments", segment_ms=str(168 * HOUR_MS))
    assert (problem.fatal, problem.against_policy) == (False, False)
    assert "168 h late" in problem.what
    assert problem.remedy == f"set segment.ms={3 * HOUR_MS}"


def test_a_broker_that_tells_nothing_is_not_accused():
    """Without DescribeConfigs there is nothing to compare."""
    found = {
        topic.name: topics.Topic(name=topic.name, partitions=topic.partitions, config={})
        for topic in topics.wanted(ALL, 6).values()
    }
    assert topics.problems(ALL, found) == []


def test_a_day_of_imagery_on_the_brokers_disks_is_warned_of():
    """Bodies in messages and kept for long: a warning, which claim checks or hours instead of days end."""
    roots = replace(ALL, fetch=Fetch(roots=("s3://live/",)))
    short = replace(ALL, retention=Retention(segments_h=values.SHORT_H))
    warned = {
        name: [one for one in values.settings_agree(settings) if "imagery on the brokers" in one.detail]
        for name, settings in (("as it is", ALL), ("claim checks", roots), ("short", short))
    }
    assert [one.level for one in warned["as it is"]] == ["warning"]
    assert (warned["claim checks"], warned["short"]) == ([], [])


def test_retention_is_made_and_checked_on_a_real_broker(broker: Cluster):
    """``topics create`` makes what is allowed; where less is allowed later, the check fails and says so."""
    stem = f"privacy{next(NAMES)}"
    settings = Settings(
        kafka=Kafka(bootstrap_servers=broker.bootstrap_servers),
        topics=Topics(
            segments=f"{stem}-segments",
            escalations=f"{stem}-escalations",
            dead_letters=f"{stem}-dead",
            risk=f"{stem}-risk",
        ),
        retention=Retention(segments_h=5),
    )
    assert all(made.right for made in command.create(settings, partitions=2))
    segments = settings.topics.segments
    found = asyncio.run(admin.describe(settings.kafka, [segments]))
    assert found[segments].config["retention.ms"] == str(5 * HOUR_MS)
    assert levels(settings) == {"pass"}
    less = replace(settings, retention=Retention(segments_h=4))
    assert levels(less) == {"pass", "failure"}


def levels(settings: Settings) -> set[str]:
    """Of what the check of the topics finds."""
    return {finding.level for finding in asyncio.run(broker_checks.topics_right(settings))}


def test_the_page_has_every_topic_with_what_it_keeps():
    """Each topic of a deployment has a row with its setting and its default, and a way to erase."""
    rows = {row[1].strip(" `"): row for row in (line.split("|") for line in PRIVACY.splitlines()) if len(row) > 5}
    defaults = {row.name: row.shown_default for row in describe()}
    for role, name in topics.names(ALL).items():
        kept = rows[name][4]
        if role == "risk":
            assert "compacted" in kept
        else:
            assert f"`retention.{role}_h`" in kept
            assert int(re.findall(r"(\d+) h", kept)[0]) == float(defaults[f"retention.{role}_h"])
        assert rows[name][5].strip()

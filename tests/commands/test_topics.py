"""``framewatch topics``: made rightly, and written down so that other tools take it."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from support.mock_cluster import mock_cluster

from worker import topics as rules
from worker.commands import topics
from worker.errors import Stopped, UsageError
from worker.kafka import admin
from worker.provisioning import rights
from worker.provisioning.strimzi import resource_name
from worker.settings.tree import Kafka, Settings, Topics

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.kafka import Cluster

NAMES = itertools.count()
SETTINGS = Settings(topics=Topics(assessments="assessments"))
AWKWARD = Settings(
    kafka=Kafka(group_id='it\'s ${HOME} %{x} "q" \\ é', bootstrap_servers="a:1,b:2; echo no"),
    topics=Topics(segments="Live.segments_1", assessments="assess_ments"),
)
RECORDER = """#!/bin/sh
{ for word in "$0" "$@"; do printf '%s\\0' "$word"; done; printf '\\0'; } >> "$RECORD"
"""


def named(cluster: Cluster, **kafka: Any) -> Settings:
    """Settings whose topics nobody else has."""
    stem = f"topics{next(NAMES)}"
    return Settings(
        kafka=Kafka(bootstrap_servers=cluster.bootstrap_servers, **kafka),
        topics=Topics(
            segments=f"{stem}.segments",
            escalations=f"{stem}.escalations",
            dead_letters=f"{stem}.dead",
            risk=f"{stem}.risk",
        ),
    )


def there_already(cluster: Cluster, settings: Settings, topic: str, partitions: int) -> None:
    """Somebody else has made a topic, with Kafka's own defaults; returns when the broker shows it."""
    cluster.create_topics({topic: partitions})
    while topic not in asyncio.run(admin.describe(settings.kafka, [topic])):
        pass


def calls(script: str, folder: Path) -> list[list[str]]:
    """What a script calls Kafka's tools with, a list of words each, as the shell takes it."""
    record = folder / "record"
    for tool in ("kafka-topics.sh", "kafka-acls.sh"):
        (folder / tool).write_text(RECORDER)
        (folder / tool).chmod(0o755)
    environment = {"PATH": f"{folder}:{os.environ['PATH']}", "RECORD": str(record)}
    subprocess.run(["sh", "-c", script], env=environment, check=True)
    return [call.split("\0") for call in record.read_text().removesuffix("\0\0").split("\0\0")]


def after(words: list[str], flag: str) -> list[str]:
    """Each word that stands after a flag."""
    return [value for name, value in itertools.pairwise(words) if name == flag]


# --- rights -----------------------------------------------------------------------------------------------------------


def test_a_publisher_may_write_segments_and_nothing_else():
    """It reads nothing, and knows no other topic."""
    [grant] = rights.grants(SETTINGS)["publisher"]
    assert (grant.resource, grant.name, set(grant.operations)) == ("topic", "segments", {"Write", "Describe"})


def test_a_reviewer_sees_escalations_and_no_imagery():
    """The only topic it may read is escalations; its groups are not the worker's."""
    granted = rights.grants(SETTINGS)["reviewer"]
    assert [g.name for g in granted if g.resource == "topic"] == ["escalations"]
    [group] = [g for g in granted if g.resource == "group"]
    assert group.prefixed
    assert not SETTINGS.kafka.group_id.startswith(group.name or "")


def test_the_worker_may_do_what_a_release_needs():
    """It writes its outputs, reads segments and risk, uses its group and every partition's transactional id."""
    by_name = {(g.resource, g.name): g for g in rights.grants(SETTINGS)["worker"]}
    for topic in ("escalations", "dead-letters", "assessments", "risk"):
        assert "Write" in by_name["topic", topic].operations
    assert "Write" not in by_name["topic", "segments"].operations
    assert {"Read"} <= set(by_name["topic", "risk"].operations) & set(by_name["group", "framewatch"].operations)
    ids = by_name["transactional_id", "framewatch/segments/"]
    assert ids.prefixed
    assert "framewatch/segments/3".startswith(ids.name or "")
    assert by_name["cluster", None].operations == ("IdempotentWrite",)


def test_without_transactions_no_transactional_id_is_granted():
    """The least rights are less at least once."""
    settings = Settings(kafka=Kafka(guarantee="at_least_once"))
    assert "transactional_id" not in {g.resource for g in rights.grants(settings)["worker"]}


# --- written down -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [SETTINGS, AWKWARD], ids=["plain", "awkward"])
def test_the_script_says_every_topic_and_right_to_kafkas_tools(settings, tmp_path):
    """A shell hands each name over as one word, whatever is in it."""
    called = calls(topics.written(settings, "cli", partitions=12, replication=3), tmp_path)
    made = {after(words, "--topic")[0]: words for words in called if "--create" in words}
    assert list(made) == list(rules.names(settings).values())
    assert after(made[settings.topics.segments], "--partitions") == ["12"]
    assert after(made[settings.topics.segments], "--replication-factor") == ["3"]
    assert "cleanup.policy=compact" in after(made["risk"], "--config")
    assert all(after(words, "--bootstrap-server") == [settings.kafka.bootstrap_servers] for words in called)
    granted = [words for words in called if "--allow-principal" in words]
    assert len(granted) == sum(map(len, rights.grants(settings).values()))
    assert [settings.kafka.group_id] in [after(words, "--group") for words in granted]
    [ids] = [words for words in granted if "--transactional-id" in words]
    assert after(ids, "--transactional-id") == [rights.transactional_prefix(settings)]
    assert after(ids, "--resource-pattern-type") == ["prefixed"]


@pytest.mark.parametrize("settings", [SETTINGS, AWKWARD], ids=["plain", "awkward"])
def test_the_manifests_are_yaml_that_says_every_topic_and_right(settings):
    """One document each; names that Kubernetes does not take are made ones, the topic's own stands beside."""
    documents = list(yaml.safe_load_all(topics.written(settings, "strimzi", partitions=12, replication=3, cluster="c")))
    assert {each["metadata"]["labels"]["strimzi.io/cluster"] for each in documents} == {"c"}
    made = {d["spec"]["topicName"]: d for d in documents if d["kind"] == "KafkaTopic"}
    assert list(made) == list(rules.names(settings).values())
    wanted = {topic.name: topic for topic in rules.wanted(settings, 12, replication=3).values()}
    for name, document in made.items():
        assert document["spec"]["config"] == wanted[name].config
        assert document["spec"]["partitions"] == wanted[name].partitions
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", document["metadata"]["name"])
    users = {d["metadata"]["name"]: d["spec"]["authorization"] for d in documents if d["kind"] == "KafkaUser"}
    assert set(users) == {"framewatch-publisher", "framewatch-worker", "framewatch-reviewer"}
    groups = [a["resource"]["name"] for a in users["framewatch-worker"]["acls"] if a["resource"]["type"] == "group"]
    assert groups == [settings.kafka.group_id]


@pytest.mark.parametrize("settings", [SETTINGS, AWKWARD], ids=["plain", "awkward"])
def test_the_terraform_names_each_resource_once_and_evaluates_no_template(settings):
    """Braces balance, labels are unique and legal, and a name with ${…} in it stays text."""
    text = topics.written(settings, "terraform", partitions=12, replication=3)
    labels = re.findall(r'^resource "(\w+)" "(.*)" \{$', text, re.MULTILINE)
    assert len(labels) == len(set(labels))
    assert all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", label) for _, label in labels)
    operations = sum(len(g.operations) for granted in rights.grants(settings).values() for g in granted)
    assert len(labels) == len(rules.names(settings)) + operations
    without_strings = re.sub(r'"(?:[^"\\]|\\.)*"', "", text)
    assert without_strings.count("{") == without_strings.count("}")
    assert not re.search(r"(?<!\$)\$\{|(?<!%)%\{", text)
    values = [json.loads(value) for value in re.findall(r'= ("(?:[^"\\]|\\.)*")', text)]
    escaped = settings.kafka.group_id.replace("${", "$${").replace("%{", "%%{")
    assert escaped in values


@given(st.lists(st.text("aA._-", min_size=1, max_size=4), min_size=2, max_size=5, unique=True))
def test_no_two_topics_share_a_kubernetes_name(names):
    """Not even those that differ in a dot or in their case only."""
    assert len({resource_name(name) for name in names}) == len(names)


def test_three_copies_must_agree_on_a_write():
    """With fewer, one copy is all that can be asked for."""
    assert rules.wanted(SETTINGS, 6, replication=3)["risk"].config["min.insync.replicas"] == "2"
    assert "min.insync.replicas" not in rules.wanted(SETTINGS, 6, replication=2)["risk"].config


@pytest.mark.parametrize(
    ("changed", "numbers", "told"),
    [
        ({"segments": ""}, {}, "topics.segments"),
        ({"segments": "a b"}, {}, "'a b'"),
        ({"risk": "segments"}, {}, "topics.segments and topics.risk are both segments"),
        ({}, {"partitions": 0}, "--partitions"),
        ({}, {"replication": 0}, "--replication"),
    ],
)
def test_a_mistake_is_told_before_any_broker_is_asked(changed, numbers, told):
    """Names that no topic can have or that two share, and counts below 1."""
    settings = Settings(topics=replace(Topics(), **changed))
    with pytest.raises(UsageError, match=re.escape(told)):
        topics.written(settings, "cli", **numbers)
    with pytest.raises(UsageError, match=re.escape(told)):
        topics.create(settings, **numbers)


# --- made -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def settings(broker) -> Iterator[Settings]:
    """Settings on the real broker, their topics still to be made."""
    return named(broker)


def test_topics_are_made_once_and_are_right(settings):
    """The first time all are created, the second time all exist, and a worker could start."""
    assert [each.became for each in topics.create(settings, partitions=4)] == ["created"] * 4
    again = topics.create(settings, partitions=4)
    assert [(each.became, each.problems, each.right) for each in again] == [("exists", (), True)] * 4


def test_risk_gets_as_many_partitions_as_segments_has(settings, broker):
    """Whatever number is asked for, since a stream's state stands beside its segments."""
    there_already(broker, settings, settings.topics.segments, 7)
    assert all(each.right for each in topics.create(settings, partitions=3))
    there = asyncio.run(admin.describe(settings.kafka, [settings.topics.risk]))
    assert there[settings.topics.risk].partitions == 7


def test_an_existing_topic_that_is_wrong_is_named_with_the_remedy(settings, broker):
    """A risk topic that is not compacted would lose state: it is said, and is no success."""
    there_already(broker, settings, settings.topics.risk, 6)
    risk = next(each for each in topics.create(settings) if each.topic == settings.topics.risk)
    assert not risk.right
    first, second = topics.told(risk)
    assert first.endswith(": exists")
    assert "compact" in second


def test_what_the_broker_refuses_is_told_with_its_reason(settings):
    """Three copies on one broker can't be made."""
    refused = topics.create(settings, replication=3)
    assert not any(each.right for each in refused)
    assert "--replication" in topics.told(refused[0])[0]


def test_looking_for_a_topic_does_not_make_it():
    """On a broker that makes every topic that it is asked for (the embedded one), it is missing the second time too."""
    with mock_cluster({"there": 2}) as bootstrap:
        kafka = Kafka(bootstrap_servers=bootstrap)
        for _ in range(2):
            found = asyncio.run(admin.describe(kafka, ["there", "missing"]))
            assert {name: topic.partitions for name, topic in found.items()} == {"there": 2}


def test_without_a_broker_it_stops_with_one_line():
    """Nobody waits for one."""
    with pytest.raises(Stopped, match=r"127\.0\.0\.1:1"):
        topics.create(Settings(kafka=Kafka(bootstrap_servers="127.0.0.1:1")))

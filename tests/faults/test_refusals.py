"""Topics that refuse what a release brings: the partition waits and says so, and goes on by itself."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import pytest
import structlog
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourcePatternType,
    ResourceType,
)
from support import kafka
from support.deployment import deployed
from support.faults.load import quiet, risky
from support.faults.oracle import assert_same, reading, undisturbed

from worker.settings.tree import Intake, Kafka, PolicyFile
from worker.wire import read

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from support.deployment import Deployment

    from worker.app import Worker

GUARDED = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "true",
}
EVERYBODY = "User:ANONYMOUS"
EAGER = 'name = "eager"\n[risk]\nopen_above = 3\nclose_below = 1\n'
"""One look at the card opens an incident."""
LARGEST_BYTES = 16_000
EVENTS = 3
REFUSALS = 2
SOON_S = 60.0


@pytest.fixture(scope="module")
def guarded(broker: kafka.Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[kafka.Cluster]:
    """A broker that knows who may do what: everybody may do all, but for what a test forbids."""
    del broker  # it is asked for so that this is skipped where no broker can run
    with kafka.running(tmp_path_factory.mktemp("guarded") / "cluster", properties=GUARDED) as cluster:
        yield cluster


class Topic:
    """What can happen to a topic while workers write to it."""

    def __init__(self, cluster: kafka.Cluster, name: str) -> None:
        self.name = name
        self._cluster = cluster
        self._admin = AdminClient({"bootstrap.servers": cluster.bootstrap_servers})

    def breaks(self, fault: str) -> None:
        """Begin a fault."""
        if fault == "deleted":
            self._admin.delete_topics([self.name])[self.name].result(30.0)
        else:
            self._forbid(AclOperation.WRITE, *([AclOperation.DESCRIBE] if fault == "invisible" else []))

    def mends(self, fault: str) -> None:
        """End it."""
        if fault == "deleted":
            self._cluster.create_topics({self.name: 1})
        else:
            anything = (self.name, ResourcePatternType.LITERAL, None, None, AclOperation.ANY, AclPermissionType.ANY)
            for done in self._admin.delete_acls([AclBindingFilter(ResourceType.TOPIC, *anything)]).values():
                done.result(30.0)

    def limit(self, max_bytes: int) -> None:
        """Take no larger batch of records."""
        entry = ConfigEntry("max.message.bytes", str(max_bytes), incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ConfigResource.Type.TOPIC, self.name, incremental_configs=[entry])
        self._admin.incremental_alter_configs([resource])[resource].result(30.0)

    def _forbid(self, *operations: AclOperation) -> None:
        rules = [self._rule(AclOperation.ALL, AclPermissionType.ALLOW)]
        rules += [self._rule(operation, AclPermissionType.DENY) for operation in operations]
        for done in self._admin.create_acls(rules).values():
            done.result(30.0)

    def _rule(self, operation: AclOperation, permission: AclPermissionType) -> AclBinding:
        place = (ResourceType.TOPIC, self.name, ResourcePatternType.LITERAL)
        return AclBinding(*place, EVERYBODY, "*", operation, permission)


async def ready(worker: Worker) -> tuple[int, str]:
    """What ``/readyz`` says."""
    address = f"http://127.0.0.1:{worker.web.port}/readyz"
    async with aiohttp.ClientSession() as client, client.get(address) as answer:
        return answer.status, await answer.text()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what is to come soon."""
    async with asyncio.timeout(SOON_S):
        while not condition():
            await asyncio.sleep(0.02)


@asynccontextmanager
async def watched(cluster: kafka.Cluster, folder: Path, **more: int) -> AsyncIterator[Deployment]:
    """A deployment of one partition whose release is given up after two seconds."""
    policy = folder / "policy.toml"
    policy.write_text(EAGER)
    async with deployed(
        cluster,
        partitions=1,
        kafka=Kafka(bootstrap_servers=cluster.bootstrap_servers, group_id=folder.name, send_deadline_s=2, **more),
        policy=PolicyFile(file=str(policy)),
        intake=Intake(release_interval_s=0.05, drain_s=5),
    ) as deployment:
        yield deployment


async def publish(deployment: Deployment, sequence: int) -> None:
    """A risky segment, a harmless one, and one that is none."""
    await deployment.send(
        deployment.segment(f"risky-{sequence}", risky(), sequence=sequence),
        deployment.segment("quiet", quiet(), sequence=sequence),
        deployment.segment("bad", b"no media at all", sequence=sequence),
    )


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("escalations", "unauthorised"),
        ("dead_letters", "unauthorised"),
        ("dead_letters", "invisible"),
        ("dead_letters", "deleted"),
    ],
)
async def test_a_topic_that_is_refused_holds_its_partition_until_it_is_back(guarded, tmp_path, kind, fault):
    """Nothing is committed past it, readiness is false and the log has an event, both name it; then all comes, once."""
    async with watched(guarded, tmp_path) as deployment, reading(deployment) as reader:
        topic = Topic(guarded, getattr(deployment.settings.topics, kind))
        with structlog.testing.capture_logs() as log:
            async with deployment.worker() as worker:
                await publish(deployment, 0)
                await reader.until(EVENTS)
                await asyncio.to_thread(topic.breaks, fault)
                await publish(deployment, 1)
                await until(lambda: len(told_of(log, topic.name)) >= REFUSALS)
                assert await ready(worker) == (
                    503,
                    f"partition 0: its results do not leave: {told_of(log, topic.name)[-1]}\n",
                )
                await reader.to_the_end()
                refused = EVENTS + (0 if kind == "escalations" else EVENTS - 1)
                assert EVENTS <= (await deployment.committed())[0] <= refused
                assert (0, refused) not in reader.told.outcomes
                await asyncio.to_thread(topic.mends, fault)
                told = await reader.until(2 * EVENTS)
                await until(lambda: not worker._consuming.failing)
                assert await ready(worker) == (200, "ok\n")
        letters = await deployment.dead_letters(1)
        assert_same(told, await undisturbed(deployment, 2 * EVENTS))
    told.check(2 * EVENTS)
    assert [letter.sequence for letter in letters] == ([1] if fault == "deleted" else [0, 1])


def told_of(log: list, topic: str) -> list[str]:
    """Why results did not leave, as the log tells it."""
    return [
        entry["why"] for entry in log if entry["event"].startswith("results do not leave") and topic in entry["why"]
    ]


async def test_an_escalation_too_large_for_its_topic_is_trimmed_to_its_references(guarded, tmp_path, measured):
    """The topic takes less than an incident with all it points at: it comes, says what it left out, nothing is held."""
    segments = 60
    async with watched(guarded, tmp_path, max_message_bytes=LARGEST_BYTES) as deployment:
        Topic(guarded, deployment.settings.topics.escalations).limit(LARGEST_BYTES)
        for sequence in range(segments):
            await deployment.send(deployment.segment("s", quiet(), sequence=sequence))
        await deployment.send(deployment.segment("s", risky(), sequence=segments))
        async with deployment.worker():
            [received] = await deployment.read(deployment.settings.topics.escalations, 1)
            outcomes = await deployment.assessments(segments + 1)
    incident = read.read_incident(received)
    assert len(outcomes) == segments + 1
    assert f"of {segments + 1} segments to preserve" in incident.explanation
    assert 1 <= len(incident.preserve.segments) < segments
    assert [reason.frame.segment.offset for reason in incident.reasons] == [segments]
    assert segments in {segment.offset for segment in incident.preserve.segments}
    measured("trimmed to", len(received.value or b""), "bytes")

"""State, committed offset and log disagree, on a real broker: what each looks like, and what follows from each word."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace as with_sections
from typing import TYPE_CHECKING

import aiohttp
import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, OffsetSpec
from msgspec import Struct
from msgspec.structs import replace
from support import media
from support.cards import card, harmless
from support.deployment import deployed

from worker.kafka import admin
from worker.partition.memory import CHECKPOINT
from worker.records import Message
from worker.settings.tree import Intake
from worker.topics import wanted

if TYPE_CHECKING:
    from support.deployment import Deployment

    from worker.app import Worker
    from worker.topics import Role

QUIET = media.make_segment(width=160, height=90, seconds=1.0, picture=lambda _: harmless(90, 160, 1))
RISKY = media.make_segment(width=160, height=90, seconds=1.0, picture=lambda _: card(90, 160))
WITHIN_S = 60.0
BEFORE, AFTER = 4, 2
"""Segments of each stream before and after the fault; a partition has two streams."""
FIRST_NEW, END = 2 * BEFORE, 2 * (BEFORE + AFTER)


# --- what can happen to a partition --------------------------------------------------------------------------------


class Faults:
    """Does to one partition what an operator, a retention or a disk may do to it."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._settings = deployment.settings
        self._admin = AdminClient({"bootstrap.servers": self._settings.kafka.bootstrap_servers, "log_level": 0})

    async def healthy(self, partition: int) -> None:
        """Leaves it alone."""

    async def changelog_emptied(self, partition: int) -> None:
        """Deletes all its state."""
        await self._delete(self._settings.topics.risk, partition, -1)

    async def changelog_cut(self, partition: int) -> None:
        """Deletes its state but for the last record: a checkpoint."""
        risk = self._settings.topics.risk
        await self._delete(risk, partition, self._end(risk, partition) - 2)

    async def snapshot_corrupted(self, partition: int) -> None:
        """Puts bytes that are no snapshot in the place of one."""
        await self._write(partition, stream(partition, 0).encode(), b"\xc1")

    async def snapshot_newer(self, partition: int) -> None:
        """Puts a snapshot there that a newer Framewatch might have written."""
        await self._write(partition, stream(partition, 0).encode(), b"\x95\x09\x00\x00\x00\x00")

    async def checkpoint_corrupted(self, partition: int) -> None:
        """Puts bytes that are no checkpoint in its place."""
        await self._write(partition, CHECKPOINT, b"\xc1")

    async def foreign_record(self, partition: int) -> None:
        """Writes what Framewatch never does."""
        await self._write(partition, b"\xfesomebody else's", b"x")

    async def offset_back(self, partition: int) -> None:
        """Resets the group to an earlier offset, as for a replay."""
        self._commit(partition, 2)

    async def offset_forward(self, partition: int) -> None:
        """Resets the group to a later offset, as to skip a backlog."""
        self._commit(partition, END - 2)

    async def retention(self, partition: int) -> None:
        """Deletes segments that nobody has watched yet."""
        await self._delete(self._settings.topics.segments, partition, FIRST_NEW + 2)

    async def topic_made_anew(self, role: Role) -> None:
        """Deletes a whole topic and makes it again, as empty as it was."""
        topic = wanted(self._settings, self._deployment.partitions)[role]
        for done in self._admin.delete_topics([topic.name], operation_timeout=30).values():
            done.result(30)
        async with asyncio.timeout(WITHIN_S):
            while topic.name in self._admin.list_topics(timeout=10).topics:
                await asyncio.sleep(0.05)
        await admin.create(self._settings.kafka, [topic], replication=1)

    async def risk_made_anew(self) -> None:
        """Deletes all state of all partitions."""
        await self.topic_made_anew("risk")

    async def segments_made_anew(self) -> None:
        """Offsets begin at 0 again: with it Kafka forgets what the group has committed."""
        await self.topic_made_anew("segments")

    async def group_forgotten(self) -> None:
        """Makes the group forget its offsets."""
        for done in self._admin.delete_consumer_groups([self._settings.kafka.group_id]).values():
            done.result(30)

    def _end(self, topic: str, partition: int) -> int:
        asked = self._admin.list_offsets({TopicPartition(topic, partition): OffsetSpec.latest()})
        return next(iter(asked.values())).result(30).offset

    async def _delete(self, topic: str, partition: int, below: int) -> None:
        """Deletes what the partition's log has below an offset; -1: all of it."""
        compacted = topic == self._settings.topics.risk
        if compacted:  # Kafka deletes nothing of a compacted topic before it is told so
            self._clean_up(topic, "compact,delete")
        async with asyncio.timeout(WITHIN_S):
            while not self._deleted(TopicPartition(topic, partition, below)):
                await asyncio.sleep(0.05)
        if compacted:
            self._clean_up(topic, "compact")

    def _deleted(self, below: TopicPartition) -> bool:
        """Asks for it; False while the broker has not heard yet how it is to clean up."""
        try:
            for done in self._admin.delete_records([below]).values():
                done.result(30)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.POLICY_VIOLATION:
                raise
            return False
        return True

    def _clean_up(self, topic: str, policy: str) -> None:
        entry = ConfigEntry("cleanup.policy", policy, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
        for done in self._admin.incremental_alter_configs([resource]).values():
            done.result(30)

    def _commit(self, partition: int, offset: int) -> None:
        moved = TopicPartition(self._settings.topics.segments, partition, offset)
        asked = ConsumerGroupTopicPartitions(self._settings.kafka.group_id, [moved])
        for done in self._admin.alter_consumer_group_offsets([asked]).values():
            done.result(30)

    async def _write(self, partition: int, key: bytes, value: bytes) -> None:
        risk = self._settings.topics.risk
        await self._deployment.send(Message(topic=risk, partition=partition, key=key, value=value))


class Fault(Struct, frozen=True, kw_only=True):
    """A fault, the words of the line that it leads to, and where a partition goes on once it is told to."""

    act: Callable[[Faults, int], Awaitable[None]]
    words: str | None
    keep: int | None = FIRST_NEW
    """With ``keep``; None where it stands still all the same."""
    reprocess: int = FIRST_NEW
    expired: int = 0


FAULTS = (
    Fault(act=Faults.healthy, words=None),
    Fault(act=Faults.changelog_emptied, words="there is no state"),
    Fault(act=Faults.changelog_cut, words="beginning of its state is missing"),
    Fault(act=Faults.snapshot_corrupted, words="damaged", keep=None),
    Fault(act=Faults.snapshot_newer, words="version 9", keep=None),
    Fault(act=Faults.checkpoint_corrupted, words="checkpoint", keep=None),
    Fault(act=Faults.foreign_record, words="something else has written there", keep=None),
    Fault(act=Faults.offset_back, words="offset is 2, the state is of offset 8", keep=2, reprocess=2),
    Fault(act=Faults.offset_forward, words="offset is 10, the state is of offset 8", keep=10, reprocess=10),
    Fault(
        act=Faults.retention,
        words="retention deleted 2 offsets",
        keep=FIRST_NEW + 2,
        reprocess=FIRST_NEW + 2,
        expired=2,
    ),
)


# --- a deployment whose partitions have two streams each -----------------------------------------------------------


def stream(partition: int, number: int) -> str:
    """The second one is risky."""
    return f"p{partition}-s{number}"


async def publish(deployment: Deployment, sequences: range) -> None:
    """Publishes both streams' segments to each partition, in order."""
    for sequence in sequences:
        for partition in range(deployment.partitions):
            for number, payload in enumerate((QUIET, RISKY)):
                message = deployment.segment(stream(partition, number), payload, sequence=sequence)
                await deployment.send(replace(message, partition=partition))


def told(deployment: Deployment, on_rewind: str) -> None:
    """Says what the next worker does where something was moved."""
    intake = Intake(release_interval_s=0.05, drain_s=5, on_rewind=on_rewind)
    deployment.settings = with_sections(deployment.settings, intake=intake)


async def until(true: Callable[[], bool]) -> None:
    """Waits until something is true."""
    async with asyncio.timeout(WITHIN_S):
        while not true():
            await asyncio.sleep(0.02)


async def settled(worker: Worker, partitions: int) -> None:
    """Waits until each partition works or stands still."""
    await until(lambda: len(worker.partitions) + parked(worker) == partitions)


def parked(worker: Worker) -> int:
    """How many partitions stand still, as the metric says."""
    return round(worker.telemetry.value("framewatch_partitions_parked"))


async def asked(worker: Worker) -> str:
    """What ``/readyz`` answers; its status is the one that belongs to it."""
    assert worker.web is not None
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{worker.web.port}/readyz") as answer:
        text = (await answer.text()).strip()
    assert answer.status == (200 if text == "ok" else 503)
    return text


async def counted(deployment: Deployment, count: int) -> Counter[tuple[int, int]]:
    """How often each (partition, offset) was told, once there are so many."""
    return Counter((report.partition, report.offset) for report in await deployment.assessments(count))


# --- what follows --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("on_rewind", ["keep", "reprocess"])
async def test_whatever_was_moved_stops_its_partition_alone_until_told_and_nothing_is_skipped(broker, on_rewind):
    """Changelog emptied, corrupted or newer, offset moved, retention ahead: each has its line, then all is worked."""
    starts = [getattr(fault, on_rewind) for fault in FAULTS]
    async with deployed(broker, partitions=len(FAULTS)) as deployment:
        faults = Faults(deployment)
        await publish(deployment, range(BEFORE))
        async with deployment.worker():
            before = await counted(deployment, FIRST_NEW * len(FAULTS))
        await publish(deployment, range(BEFORE, BEFORE + AFTER))
        for partition, fault in enumerate(FAULTS):
            await fault.act(faults, partition)
        committed = await deployment.committed()

        async with deployment.worker() as worker:
            await settled(worker, len(FAULTS))
            healthy = await counted(deployment, before.total() + END - FIRST_NEW) - before
            line = await asked(worker)
            assert (worker.partitions, parked(worker)) == ({0}, len(FAULTS) - 1)
            assert worker.telemetry.value("framewatch_segments_expired_total") == 0
        assert healthy == dict.fromkeys(((0, offset) for offset in range(FIRST_NEW, END)), 1)
        for partition, fault in enumerate(FAULTS[1:], start=1):
            assert f"partition {partition}: " in line
            assert fault.words in line
        assert await deployment.committed() == committed | {0: END}

        told(deployment, on_rewind)
        expected = {
            (n, offset) for n, start in enumerate(starts) if n and start is not None for offset in range(start, END)
        }
        async with deployment.worker() as worker:
            await settled(worker, len(FAULTS))
            done = await counted(deployment, before.total() + healthy.total() + len(expected)) - before - healthy
            assert parked(worker) == starts.count(None)
            assert worker.telemetry.value("framewatch_segments_expired_total") == 2
            assert worker.telemetry.value("framewatch_offsets_moved_total") == len(FAULTS) - 1 - starts.count(None)
        assert done == dict.fromkeys(expected, 1)


@pytest.mark.parametrize(
    ("act", "words", "start", "end", "on_rewind"),
    [
        (Faults.risk_made_anew, "there is no state", FIRST_NEW, END, "reprocess"),
        (Faults.segments_made_anew, "has no committed offset", 0, END - FIRST_NEW, "keep"),
        (Faults.group_forgotten, "has no committed offset", 0, END, "keep"),
    ],
    ids=["risk", "segments", "group"],
)
async def test_what_was_made_anew_stops_all_partitions_until_told_and_nothing_is_skipped(  # noqa: PLR0917 - a table
    broker, act, words, start, end, on_rewind
):
    """A topic recreated, a group's offsets gone: nothing is worked before an operator has said how."""
    async with deployed(broker, partitions=2) as deployment:
        await publish(deployment, range(BEFORE))
        async with deployment.worker():
            before = await counted(deployment, FIRST_NEW * 2)
        await act(Faults(deployment))
        await publish(deployment, range(BEFORE, BEFORE + AFTER))

        async with deployment.worker() as worker:
            await settled(worker, 2)
            assert (worker.partitions, parked(worker)) == (frozenset(), 2)
            assert (await asked(worker)).count(words) == 2
        assert await counted(deployment, before.total()) == before

        told(deployment, on_rewind)
        async with deployment.worker():
            done = await counted(deployment, before.total() + 2 * (end - start)) - before
        assert done == dict.fromkeys(((n, offset) for n in range(2) for offset in range(start, end)), 1)
        assert await deployment.committed() == {0: end, 1: end}

"""What a member of the group learns of its log on a real broker."""

from __future__ import annotations

import asyncio

from aiokafka import AIOKafkaProducer
from support.deployment import deployed

from worker.kafka import clients
from worker.kafka.member import GroupMember


class Quiet:
    """A listener that only remembers that it was told."""

    def __init__(self) -> None:
        self.assigned = asyncio.Event()
        self.overtaken = asyncio.Event()

    async def on_assigned(self, partitions) -> None:
        self.assigned.set()

    async def on_revoked(self, partitions) -> None:
        pass

    def on_out_of_range(self, partitions) -> None:
        self.overtaken.set()


async def test_who_has_consumed_all_is_not_behind_though_a_transaction_s_marker_ends_the_log(broker):
    """Markers take offsets and no record follows them: a healthy consumer must not be taken for a stuck one."""
    failures: list[BaseException] = []
    async with deployed(broker, partitions=1) as deployment, asyncio.timeout(60):
        settings = deployment.settings
        producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap_servers, transactional_id="publisher")
        async with producer:
            async with producer.transaction():
                await producer.send_and_wait(settings.topics.segments, b"x", partition=0)
            consumer = clients.member(settings.kafka)
            member = GroupMember(settings.kafka, settings.topics.segments, consumer=consumer, fail=failures.append)
            listener = Quiet()
            await member.start(listener)
            while not listener.assigned.is_set():
                await member.poll(0.1, 10)
            there = await member.log(0)
            assert (there.first, there.end) == (0, 2)
            member.seek(0, 0)
            assert await member.behind([0]) == {0: 0}
            while not await member.poll(0.1, 10):
                pass
            while await member.behind([0]):
                await member.poll(0.1, 10)
            assert await member.behind([0]) == {}
            member.pause([0])
            async with producer.transaction():
                await producer.send_and_wait(settings.topics.segments, b"y", partition=0)
            assert await member.behind([0]) == {0: 2}
            await member.stop()
    assert failures == []


async def test_a_member_whose_poll_met_an_error_is_idle_again_when_nobody_polls(broker):
    """Else aiokafka would keep one that consumes no more in the group for ever."""
    failures: list[BaseException] = []
    async with deployed(broker, partitions=1) as deployment, asyncio.timeout(60):
        settings = deployment.settings
        consumer = clients.member(settings.kafka)
        member = GroupMember(settings.kafka, settings.topics.segments, consumer=consumer, fail=failures.append)
        listener = Quiet()
        await member.start(listener)
        while not listener.assigned.is_set():
            await member.poll(0.1, 10)
        member.seek(0, 99)
        while not listener.overtaken.is_set():
            await member.poll(0.1, 10)
        assert consumer._subscription.fetcher_idle_time > 0
        await member.stop()
    assert failures == []

"""Brokers that go down, restart, fall silent, die one of three, or answer with errors: workers go on by themselves."""

from __future__ import annotations

import asyncio
import signal
import struct
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from aiokafka.errors import (
    ConcurrentTransactions,
    GroupAuthorizationFailedError,
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    InvalidProducerEpoch,
    InvalidTxnState,
    KafkaError,
    KafkaStorageError,
    MessageSizeTooLargeError,
    NotCoordinatorForGroupError,
    NotEnoughReplicasError,
    NotLeaderForPartitionError,
    OutOfOrderSequenceNumber,
    RequestTimedOutError,
    TopicAuthorizationFailedError,
    UnknownError,
)
from aiokafka.protocol.commit import OffsetCommitRequest
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import (
    AddOffsetsToTxnRequest,
    AddPartitionsToTxnRequest,
    EndTxnRequest,
    TxnOffsetCommitRequest,
)
from confluent_kafka import ElectionType, TopicPartition
from confluent_kafka.admin import AdminClient
from support import kafka
from support.deployment import deployed
from support.faults import report
from support.faults.fleet import Fleet
from support.faults.load import Load
from support.faults.oracle import assert_same, reading, undisturbed
from support.faults.proxy import proxied
from support.faults.stall import longest_stall_s, slowest_s
from support.processes import processes

from worker.settings.tree import Intake, Kafka, Shutdown

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

    from aiokafka.protocol.api import Request, RequestStruct
    from support.deployment import Deployment
    from support.faults.oracle import Reader, Told
    from support.faults.report import Measured

PER_SECOND = 30
STREAMS = 24
MORE = 40
"""Outcomes that prove that it goes on."""
SOON_S = 60.0
FAULTS = [("restarted", 0), ("down", 60), ("silent", 20)] if report.scale().full else [("down", 3)]
COORDINATOR = "__transaction_state"


def settings(cluster: kafka.Cluster, group: str, **more: object) -> dict[str, object]:
    """A release that can't leave is given up soon."""
    link = {"group_id": group, "session_timeout_s": 6, "send_deadline_s": 3} | more
    return {
        "kafka": Kafka(bootstrap_servers=cluster.bootstrap_servers, **link),
        "intake": Intake(release_interval_s=0.1, drain_s=5),
    }


async def goes_on(reader: Reader, load: Load) -> None:
    """Wait until some of what is published from now on has its outcome."""
    count = load.published + MORE
    async with asyncio.timeout(SOON_S):
        while len(reader.told.outcomes) < count:
            await reader.read()


async def settled(deployment: Deployment, reader: Reader, load: Load, measured: Measured) -> Told:
    """Wait for every outcome, each told once, as a quiet run tells it."""
    told = await reader.until(load.published)
    told.check(load.published)
    assert_same(told, await undisturbed(deployment, load.published))
    measured("segments", load.published)
    measured("longest stall", longest_stall_s(told), "s")
    measured("slowest outcome", slowest_s(told), "s")
    return told


@pytest.mark.parametrize(("fault", "seconds"), FAULTS)
async def test_a_broker_that_was_away_is_found_again(broker, measured, fault, seconds):
    """The only broker ends, or answers nothing, under load for so many seconds: the same workers go on unaided."""
    async with (
        deployed(broker, partitions=4, **settings(broker, f"{fault}-{seconds}")) as deployment,
        Fleet(deployment, 2) as fleet,
        reading(deployment) as reader,
    ):
        load = Load(deployment, streams=STREAMS)
        async with load.running(per_second=PER_SECOND):
            await goes_on(reader, load)
            await broker.away(seconds, silent=fault == "silent")
            await goes_on(reader, load)
        await settled(deployment, reader, load, measured)
        for number in fleet.running:
            await fleet.leave(number)


async def test_a_worker_is_gone_within_its_grace_though_the_broker_is_silent(broker, measured):
    """SIGTERM with work in its hands and a broker that accepts connections and answers nothing."""
    grace = Shutdown(grace_s=10)
    async with (
        deployed(broker, partitions=4, shutdown=grace, **settings(broker, "gone")) as deployment,
        processes(deployment, 1) as [worker],
    ):
        await worker.says("partition works", times=4)
        await Load(deployment, streams=STREAMS).publish(4 * STREAMS)
        broker.brokers[0].freeze()
        try:
            worker.signal(signal.SIGTERM)
            began = time.monotonic()
            await worker.end()
            took_s = time.monotonic() - began
        finally:
            broker.brokers[0].thaw()
        assert took_s < grace.grace_s, "\n".join([f"{took_s}", *worker.log[-12:]])
    measured("gone after", took_s, "s")


# --- three of them ---


@pytest.fixture(scope="module")
def three(broker: kafka.Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[kafka.Cluster]:
    """Three brokers; each topic is on all of them, and a write counts when two have it."""
    del broker  # asked for so that this is skipped where none can run
    with kafka.running(tmp_path_factory.mktemp("three") / "cluster", 3) as cluster:
        yield cluster


class Coordinator:
    """Where the transactions are coordinated: all ids are on the one partition of their topic."""

    def __init__(self, cluster: kafka.Cluster) -> None:
        self._cluster = cluster
        self._admin = AdminClient({"bootstrap.servers": cluster.bootstrap_servers, "log_level": 0})

    def node(self) -> int:
        """The broker's number, from 1."""
        return int(self._admin.list_topics(COORDINATOR, timeout=30).topics[COORDINATOR].partitions[0].leader)

    async def move_back(self, node: int) -> None:
        """Let a broker that was first choice lead again, and return when it does."""
        async with asyncio.timeout(SOON_S):
            while await asyncio.to_thread(self.node) != node:
                chosen = self._admin.elect_leaders(ElectionType.PREFERRED, [TopicPartition(COORDINATOR, 0)])
                await asyncio.to_thread(chosen.result, 30.0)
                await asyncio.sleep(0.1)


async def test_one_of_three_killed_and_the_coordinator_moved_lose_nothing(three, scale, measured):
    """The broker that coordinates the transactions is killed, restarted, and leads again: nothing lost or doubled."""
    async with (
        deployed(three, partitions=4, **settings(three, "three")) as deployment,
        Fleet(deployment, 2) as fleet,
        reading(deployment) as reader,
    ):
        load = Load(deployment, streams=STREAMS)
        async with load.running(per_second=PER_SECOND):
            await goes_on(reader, load)
            coordinator = Coordinator(three)
            for _ in range(scale.pick(short=1, full=4)):
                node = coordinator.node()
                three.brokers[node - 1].kill()
                await goes_on(reader, load)
                assert await asyncio.to_thread(coordinator.node) != node
                three.start()
                await coordinator.move_back(node)
                await goes_on(reader, load)
        await settled(deployment, reader, load, measured)
        for number in fleet.running:
            await fleet.leave(number)


# --- answers ---

RETRIED, RETAKEN = "retried", "partition taken again"
ANSWERS: list[tuple[type[Request], type[KafkaError], str]] = [
    (ProduceRequest, NotLeaderForPartitionError, RETRIED),
    (ProduceRequest, MessageSizeTooLargeError, RETAKEN),
    (ProduceRequest, NotEnoughReplicasError, RETRIED),
    (ProduceRequest, RequestTimedOutError, RETRIED),
    (ProduceRequest, OutOfOrderSequenceNumber, RETAKEN),
    (ProduceRequest, KafkaStorageError, RETRIED),
    (ProduceRequest, UnknownError, RETAKEN),
    (AddPartitionsToTxnRequest, NotCoordinatorForGroupError, RETRIED),
    (AddPartitionsToTxnRequest, TopicAuthorizationFailedError, RETAKEN),
    (AddPartitionsToTxnRequest, ConcurrentTransactions, RETRIED),
    (AddPartitionsToTxnRequest, InvalidProducerEpoch, RETAKEN),
    (AddOffsetsToTxnRequest, GroupCoordinatorNotAvailableError, RETRIED),
    (AddOffsetsToTxnRequest, GroupAuthorizationFailedError, RETAKEN),
    (AddOffsetsToTxnRequest, InvalidTxnState, RETAKEN),
    (TxnOffsetCommitRequest, UnknownError, RETAKEN),
    (TxnOffsetCommitRequest, GroupLoadInProgressError, RETRIED),
    (EndTxnRequest, InvalidProducerEpoch, RETAKEN),
    (EndTxnRequest, NotCoordinatorForGroupError, RETRIED),
    (EndTxnRequest, InvalidTxnState, RETAKEN),
]
"""A request of a release, the error that it is answered with, and what docs/operators.md says follows."""


ANSWERS_WITHOUT_TRANSACTIONS: list[tuple[type[Request], type[KafkaError], str]] = [
    (ProduceRequest, NotLeaderForPartitionError, RETRIED),
    (ProduceRequest, UnknownError, RETAKEN),
    (OffsetCommitRequest, GroupLoadInProgressError, RETRIED),
    (OffsetCommitRequest, UnknownError, RETAKEN),
]
BATCH = 6


class Refusal:
    """Answers one request with an error, and passes the others on."""

    def __init__(self, request: type[Request], error: type[KafkaError]) -> None:
        self._versions = {one.API_VERSION: one for one in request._CLASSES}
        self._code = error.errno
        self.given = False

    def __call__(self, version: int, body: bytes) -> bytes | None:
        if self.given:
            return None
        self.given = True
        [client_id_bytes] = struct.unpack_from(">h", body)
        asked = self._versions[version].decode(body[2 + client_id_bytes :])
        return asked.RESPONSE_TYPE(*self._answer(asked)).encode()

    def _answer(self, asked: RequestStruct) -> tuple[object, ...]:
        if isinstance(asked, ProduceRequest._CLASSES):
            none = (-1, -1, -1)
            return [(topic, [(at, self._code, *none) for at, _ in parts]) for topic, parts in asked.topics], 0
        if isinstance(asked, AddPartitionsToTxnRequest._CLASSES):
            return 0, [(topic, [(at, self._code) for at in parts]) for topic, parts in asked.topics]
        if isinstance(asked, (*TxnOffsetCommitRequest._CLASSES, *OffsetCommitRequest._CLASSES)):
            return 0, [(topic, [(at, self._code) for at, *_ in parts]) for topic, parts in asked.topics]
        return 0, self._code


async def test_errors_of_a_release_are_answered_as_documented(broker, tmp_path, scale, measured):
    """Each request of a release is answered with errors: retried, or the partition is taken again; the same outcome."""
    del broker  # asked for so that this is skipped where none can run
    answers = ANSWERS if scale.full else ANSWERS[::2]
    async with answering(tmp_path) as (deployment, reader, load, meets):
        for request, error, follows in answers:
            assert await meets(request, error) == (follows == RETAKEN), (request.__name__, error.__name__)
        await settled(deployment, reader, load, measured)
    measured("answers", len(answers))


async def test_errors_of_a_release_without_transactions_lose_nothing(broker, tmp_path, measured):
    """At least once: sends and commits are answered with errors, and every segment is told, at least once."""
    del broker
    async with answering(tmp_path, guarantee="at_least_once") as (_, reader, load, meets):
        for request, error, follows in ANSWERS_WITHOUT_TRANSACTIONS:
            assert await meets(request, error) == (follows == RETAKEN), (request.__name__, error.__name__)
        told = await reader.until(load.published)
    assert len(told.outcomes) == load.published
    assert {outcome.outcome for outcome in told.outcomes.values()} == {"assessed"}
    measured("answers", len(ANSWERS_WITHOUT_TRANSACTIONS))
    measured("repeats", len(told.doubled))


@asynccontextmanager
async def answering(
    folder: Path, **more: object
) -> AsyncIterator[tuple[Deployment, Reader, Load, Callable[..., Awaitable[bool]]]]:
    """A worker behind a proxy; the last one lets it meet an error, and tells whether it took its partition again."""
    async with (
        proxied(folder / "cluster") as link,
        deployed(link.cluster, partitions=1, **settings(link.cluster, folder.name, **more)) as deployment,
        Fleet(deployment, 1, through=link.bootstrap_servers) as fleet,
        reading(deployment) as reader,
    ):
        [proxy] = link.proxies
        load = Load(deployment, streams=BATCH)

        def losses() -> int:
            return sum("partition lost" in line for line in fleet.log(0))

        async def meets(request: type[Request], error: type[KafkaError]) -> bool:
            before = losses()
            proxy.answer(request.API_KEY, refusal := Refusal(request, error))
            await load.publish(BATCH)
            await reader.until(load.published)
            async with asyncio.timeout(SOON_S):
                while not refusal.given:  # without transactions the commit comes after what is read here
                    await asyncio.sleep(0.02)
                while ((await deployment.committed())[0] or 0) < load.published:
                    await asyncio.sleep(0.02)
            proxy.answer(request.API_KEY, None)
            return losses() > before

        yield deployment, reader, load, meets

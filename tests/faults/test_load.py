"""More than can be worked at once: how much memory it takes, and who has to wait for whom."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Producer
from msgspec.structs import replace
from support import media
from support.assessments import a_segment, an_assessment
from support.cards import harmless
from support.deployment import deployed
from support.faults.load import Load, quiet
from support.faults.oracle import told
from support.footprint import MIB, peak_bytes
from support.processes import processes

from worker.settings.tree import Intake, Kafka, Streams
from worker.streams.memory import advance
from worker.streams.state import StreamState
from worker.streams.store import Store

if TYPE_CHECKING:
    from support.deployment import Deployment
    from support.processes import WorkerProcess

    from worker.records import Message

WARM = 60
HOT_STREAMS, QUIET_STREAMS = 20, 4
PICTURE_BYTES = 224 * 224 * 3
MOST_KEYFRAMES = 64
NULL_PACKET = b"\x47\x1f\xff\x10" + b"\xff" * 184
RATIO = 2.0
"""So many times its fair share of time anybody may have to wait."""


# --- the formula of docs/memory.md ---------------------------------------------------------------------------------


def allowed_bytes(*, streams: int = 0, bodies_bytes: int = 0, keyframes: int = 1) -> int:
    """What may come on top of the base: see docs/memory.md. The tests' workers have a decoder and a scoring thread."""
    at_once = 2 * (1 + 1)
    pictures = at_once * keyframes * PICTURE_BYTES
    return round(streams * 5000 + bodies_bytes + 3 * 32 * MIB + pictures + 6.5 * MIB)


async def warm(deployment: Deployment, worker: WorkerProcess) -> int:
    """Let a worker do everything once; gives the most memory it had until then."""
    await Load(deployment).publish(WARM)
    await told(deployment, WARM)
    return peak_bytes(worker.pid)


def kafka(broker, group: str) -> Kafka:
    """A group that does not mind a member that is stopped while a backlog is made."""
    return Kafka(bootstrap_servers=broker.bootstrap_servers, group_id=group, session_timeout_s=45)


def padded(size_bytes: int) -> bytes:
    """A second of video with as many empty MPEG-TS packets behind it."""
    payload = quiet()
    return payload + NULL_PACKET * ((size_bytes - len(payload)) // len(NULL_PACKET))


def many_keyframes() -> bytes:
    """Two minutes of video, small, of which as many keyframes are looked at as of any segment."""
    picture = harmless(90, 160, 3)
    return media.make_segment(
        width=160, height=90, seconds=2.0 * MOST_KEYFRAMES, fps=1, gop=1, picture=lambda _: picture
    )


BACKLOGS = {"small": quiet, "large": lambda: padded(MIB), "pictures": many_keyframes}


@pytest.mark.parametrize(
    ("payload", "short", "full"), [("small", 120, 5000), ("large", 32, 400), ("pictures", 10, 120)]
)
async def test_a_backlog_is_served_within_the_documented_memory(  # noqa: PLR0917 - a table's columns
    broker, scale, measured, payload, short, full
):
    """Thousands of segments wait, or large ones, or such of which 64 pictures are looked at: all get their outcome."""
    count, limit_bytes = scale.pick(short=short, full=full), scale.pick(short=16, full=64) * MIB
    async with (
        deployed(
            broker,
            partitions=3,
            kafka=kafka(broker, f"backlog-{payload}"),
            intake=Intake(release_interval_s=0.05, max_bytes=limit_bytes),
        ) as deployment,
        processes(deployment, 1) as [worker],
    ):
        base_bytes = await warm(deployment, worker)
        worker.signal(signal.SIGSTOP)
        data = BACKLOGS[payload]()
        for number in range(count):
            await hand_over(deployment, deployment.segment(f"{payload}-{number % 30}", data, sequence=number // 30))
        await deployment._producer.flush()
        began_s = time.monotonic()
        worker.signal(signal.SIGCONT)
        await told(deployment, WARM + count)
        grown_bytes = peak_bytes(worker.pid) - base_bytes
    allowed = allowed_bytes(bodies_bytes=limit_bytes, keyframes=MOST_KEYFRAMES if payload == "pictures" else 1)
    measured("segments", count)
    measured("segments/s", count / (time.monotonic() - began_s))
    measured("base", base_bytes / MIB, "MiB")
    measured("beyond it", grown_bytes / MIB, "MiB")
    measured("allowed", allowed / MIB, "MiB")
    assert grown_bytes <= allowed


async def hand_over(deployment: Deployment, message: Message) -> None:
    """Publish without waiting for the broker."""
    await deployment._producer.send(
        message.topic, message.value, key=message.key, headers=list(message.headers), partition=message.partition
    )


async def served_in_order(deployment: Deployment, count: int, began_ms: float) -> dict[tuple[int, int], float]:
    """Seconds from a moment to each segment's outcome, by partition and offset, once each has exactly one."""
    found = await told(deployment, count)
    return {place: (outcome.at_ms - began_ms) / 1000 for place, outcome in found.outcomes.items()}


async def send(deployment: Deployment, stream: str, numbers: range, partition: int) -> None:
    """Publish a stream's segments to a partition, without waiting for each to be acknowledged."""
    payload = quiet()
    for number in numbers:
        message = deployment.segment(stream, payload, sequence=number)
        await hand_over(deployment, replace(message, partition=partition))
    await deployment._producer.flush()


async def test_a_partition_with_a_hundred_times_the_traffic_starves_no_other(broker, scale, measured):
    """Each quiet partition has its outcomes within twice the time that its equal share of the worker takes."""
    partitions = 4
    limit = 64
    each, hot = limit // partitions, scale.pick(short=160, full=1600)
    async with (
        deployed(
            broker,
            partitions=partitions,
            kafka=kafka(broker, "hot-partition"),
            intake=Intake(release_interval_s=0.05, max_segments=limit),
        ) as deployment,
        processes(deployment, 1) as [worker],
    ):
        await worker.says("partition works", times=partitions)
        worker.signal(signal.SIGSTOP)
        for n in range(HOT_STREAMS):
            await send(deployment, f"hot-{n}", range(hot // HOT_STREAMS), 0)
        for partition in range(1, partitions):
            for n in range(QUIET_STREAMS):
                await send(deployment, f"quiet-{partition}-{n}", range(each // QUIET_STREAMS), partition)
        began_ms = time.time() * 1000
        worker.signal(signal.SIGCONT)
        total = hot + (partitions - 1) * each
        after_s = await served_in_order(deployment, total, began_ms)
    per_second = total / max(after_s.values())
    fair_s = each / (per_second / partitions)
    slowest_s = max(seconds for (partition, _), seconds in after_s.items() if partition)
    measured("segments/s", per_second)
    measured("quiet partitions done after", slowest_s, "s")
    measured("their fair share", fair_s, "s")
    measured("times the fair share", slowest_s / fair_s)
    assert slowest_s <= RATIO * fair_s


async def test_a_stream_with_a_thousand_waiting_starves_no_other(broker, scale, measured):
    """Beside it each other stream of its partition has its outcome within twice the time of those before it."""
    waiting, every = scale.pick(short=60, full=1000), 5
    async with (
        deployed(broker, partitions=2, kafka=kafka(broker, "hot-stream")) as deployment,
        processes(deployment, 1) as [worker],
    ):
        await worker.says("partition works", times=2)
        worker.signal(signal.SIGSTOP)
        for number in range(waiting // every):
            await send(deployment, "hot", range(every * number, every * (number + 1)), 0)
            await send(deployment, f"beside-{number % QUIET_STREAMS}", range(number, number + 1), 0)
            await send(deployment, f"elsewhere-{number % QUIET_STREAMS}", range(number, number + 1), 1)
        began_ms = time.time() * 1000
        worker.signal(signal.SIGCONT)
        total = waiting + 2 * (waiting // every)
        after_s = await served_in_order(deployment, total, began_ms)
    of_partition = {n: {o: s for (p, o), s in after_s.items() if p == n} for n in range(2)}
    per_second = total / max(after_s.values())
    beside = {offset: seconds for offset, seconds in of_partition[0].items() if offset % (every + 1) == every}
    own_per_second = len(of_partition[0]) / max(of_partition[0].values())
    starved = max(
        seconds / ((offset + 1) / own_per_second) for offset, seconds in beside.items() if offset >= waiting // 2
    )
    elsewhere = max(of_partition[1].values()) / (len(of_partition[1]) / (per_second / 2))
    measured("segments/s", per_second)
    measured("beside it, times the fair share", starved)
    measured("on another partition", elsewhere)
    assert starved <= RATIO
    assert elsewhere <= RATIO


async def test_two_hundred_thousand_stream_ids_take_no_more_memory_than_streams_max(broker, scale, measured):
    """Each is remembered, the lowest are forgotten above streams.max, which is told; memory stays below the formula."""
    ids, most = scale.pick(short=3000, full=200_000), scale.pick(short=500, full=20_000)
    async with (
        deployed(broker, partitions=3, kafka=kafka(broker, "ids"), streams=Streams(max=most)) as deployment,
        processes(deployment, 1) as [worker],
    ):
        base_bytes = await warm(deployment, worker)
        began_s = time.monotonic()
        await publish_ids(deployment, ids)
        async with asyncio.timeout(300):
            while sum((await deployment.committed()).values()) < ids + WARM:
                await asyncio.sleep(0.1)
        measured("ids/s", ids / (time.monotonic() - began_s))
        await worker.says("streams forgotten above streams.max")
        grown_bytes = peak_bytes(worker.pid) - base_bytes
    measured("streams remembered", 3 * most)
    measured("memory for them", grown_bytes / MIB, "MiB")
    measured("formula", allowed_bytes(streams=3 * most) / MIB, "MiB")
    assert grown_bytes <= allowed_bytes(streams=3 * most)


async def publish_ids(deployment: Deployment, count: int) -> None:
    """Publish one small event of each of so many streams: an initialisation, which makes a stream remembered."""
    producer = quick_producer(deployment)
    for number in range(count):
        message = deployment.init(f"live/channel-{number:07d}", b"initialisation")
        producer.produce(
            message.topic, message.value, key=message.key, headers=list(message.headers), partition=number % 3
        )
        if number % 10_000 == 9_999:
            await asyncio.to_thread(producer.flush, 60)
    await asyncio.to_thread(producer.flush, 60)


async def test_remembered_streams_take_what_the_formula_says(broker, scale, measured):
    """A worker restores streams that remember 64 segments and those to preserve: resident memory for each."""
    each = scale.pick(short=1000, full=20_000)
    async with deployed(broker, partitions=3, kafka=kafka(broker, "remembered")) as deployment:
        async with processes(deployment, 1) as [worker]:
            base_bytes = await warm(deployment, worker)
            worker.signal(signal.SIGTERM)
            assert await worker.end() == 0
        await asyncio.to_thread(write_streams, deployment, each)
        async with processes(deployment, 1) as [worker]:
            await worker.says("partition works", times=3)
            grown_bytes = peak_bytes(worker.pid) - base_bytes
    measured("streams", 3 * each)
    measured("memory for them", grown_bytes / MIB, "MiB")
    measured("for each", grown_bytes / (3 * each) / 1000, "kB")
    assert grown_bytes <= allowed_bytes(streams=3 * each)


def write_streams(deployment: Deployment, each: int) -> None:
    """Write what so many streams' releases would have left on each partition of the risk topic."""
    state = StreamState(stream_id="s")
    for number in range(66):
        state, _ = advance(state, an_assessment(a_segment(number)), preserve_before_s=120.0)
    producer = quick_producer(deployment)
    for partition in range(3):
        store = Store(Streams(max=10**6))
        for number in range(each):
            store.put(replace(state, stream_id=f"live/{partition}/channel-{number:07d}"))
            if number % 1000 == 999:
                store.pack(())
                for key, value in store.take():
                    producer.produce(deployment.settings.topics.risk, value, key=key, partition=partition)
                producer.flush(60)


def quick_producer(deployment: Deployment) -> Producer:
    """One that makes large batches."""
    servers = deployment.settings.kafka.bootstrap_servers
    return Producer({"bootstrap.servers": servers, "linger.ms": 20, "log_level": 0})

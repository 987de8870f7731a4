"""``python -m support.faults.restoring``: a process that takes a partition's state in and tells what it cost.

A process of its own, because what other tests leave in the heap would be measured too. Its arguments are the broker's
address, and the names of the segments and the risk topic. Partition 1 has no state: it is restored first, so that what
client and libraries take is not counted.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import msgspec
from msgspec import Struct

from worker.kafka import clients
from worker.kafka.outlets import TransactionalOutlet
from worker.partition.memory import Memory
from worker.records import LogRange
from worker.settings.tree import Kafka, Streams, Topics

ROOT = Path(__file__).parents[3]


class Cost(Struct, frozen=True):
    """What restoring took."""

    streams: int
    size_bytes: int
    wall_s: float
    cpu_s: float
    queued_s: float
    """Of the time by the wall, how long it waited for a core that others had."""
    rss_bytes: int
    """By how much the process has grown."""


async def restored(kafka: Kafka, topics: Topics, partition: int = 0) -> Memory:
    """A new owner's memory."""
    member = clients.member(kafka)
    outlet = TransactionalOutlet(kafka, topics, partition, member)
    memory = Memory(topic=topics.risk, partition=partition, on_rewind="stop", limits=Streams(max=10**6))
    try:
        async for key, value in outlet.changelog():
            memory.learn(key, value)
        memory.agree(None, LogRange(first=0, end=0))
    finally:
        await member.stop()
    return memory


async def cost(kafka: Kafka, topics: Topics) -> Cost:
    """Start a process that restores partition 0, and return what it says."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "support.faults.restoring", kafka.bootstrap_servers, topics.segments, topics.risk),
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")))},
        stdout=asyncio.subprocess.PIPE,
    )
    told, _ = await process.communicate()
    assert process.returncode == 0
    return msgspec.json.decode(told, type=Cost)


async def _measure(kafka: Kafka, topics: Topics) -> Cost:
    await restored(kafka, topics, partition=1)
    before = _rss_bytes(), time.process_time(), _queued_s(), time.perf_counter()
    memory = await restored(kafka, topics)
    after = _rss_bytes(), time.process_time(), _queued_s(), time.perf_counter()
    rss_bytes, cpu_s, queued_s, wall_s = (now - then for now, then in zip(after, before, strict=True))
    census = memory.census()
    return Cost(census.streams, census.size_bytes, wall_s, cpu_s, queued_s, int(rss_bytes))


def _queued_s() -> float:
    # The second figure of schedstat is the time on a run queue (Linux, Documentation/scheduler/sched-stats.rst).
    return int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9


def _rss_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


if __name__ == "__main__":
    bootstrap_servers, segments, risk = sys.argv[1:]
    found = asyncio.run(_measure(Kafka(bootstrap_servers=bootstrap_servers), Topics(segments=segments, risk=risk)))
    sys.stdout.buffer.write(msgspec.json.encode(found))

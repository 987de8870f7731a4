"""A long time at a high load with a kill every minute: ``make soak``. FRAMEWATCH_TEST_SOAK_MINUTES says how long."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import statistics
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from support.deployment import deployed
from support.faults import counted
from support.faults.fleet import Fleet
from support.faults.load import Load
from support.faults.oracle import reading
from support.faults.pace import time_passes
from support.faults.stall import longest_stall_s, slowest_s
from support.faults.vitals import Slope, Vitals, by_minute, slope, vitals

from worker.settings.tree import Intake, Kafka

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.faults.oracle import Reader

MINUTES = float(os.environ.get("FRAMEWATCH_TEST_SOAK_MINUTES", "60"))
SHARE_OF_CAPACITY = 0.7
CALIBRATING = 3000
"""Segments that the capacity is measured with."""
KILL_EVERY_S = 60.0
RESTART_AFTER_S = 5.0
SAMPLE_EVERY_S = 5.0
REST_SAMPLES = 4
MAY_DIFFER = 3
"""File descriptors, threads or tasks at rest: a connection more or less; 59 kills with a leak each would be 59."""
MIB = 1024 * 1024
NEVER_KILLED = 0


async def test_an_hour_with_a_kill_every_minute(broker, measured):
    """An hour at 70 % load, a worker killed every minute and back in 5 s: each segment once, and nothing leaks."""
    link = Kafka(bootstrap_servers=broker.bootstrap_servers, group_id="soak", session_timeout_s=30)
    async with (
        deployed(broker, partitions=6, kafka=link, intake=Intake(release_interval_s=0.1)) as deployment,
        Fleet(deployment, 3, command=("support.faults.counted",)) as fleet,
        reading(deployment) as reader,
    ):
        load = Load(deployment)
        per_second = SHARE_OF_CAPACITY * await capacity(load, reader)
        before = await at_rest(fleet)
        soak = Soak(fleet, load, reader)
        async with background(soak.watch()), load.running(per_second=per_second):
            await soak.kill_for(MINUTES * 60)
            soak.is_over.set()
        told = await reader.until(load.published)
        told.check(load.published)
        after = await at_rest(fleet)
    measured("a second", per_second)
    soak.publish(measured)
    for name in before:
        measured(f"{name} at rest {before[name]}, then", after[name])
    own = trend(soak.samples, "rss_bytes", "RSS", measured)
    trend(soak.samples, "children_rss_bytes", "decoders' RSS", measured)
    assert all(after[name] <= before[name] + MAY_DIFFER for name in before)
    assert own.least <= 0, "it grows"


def trend(samples: list[Vitals], kind: str, name: str, measured) -> Slope:
    """Publish and return what a kind of memory grows by in a second."""
    found = slope(settled(samples, kind))
    least, middle, most = (round(each * 3600 / MIB, 2) for each in (found.least, found.middle, found.most))
    measured(f"{name} (median)", statistics.median(getattr(sample, kind) for sample in samples) / MIB, "MiB")
    measured(f"its slope (95 %: {least} to {most})", middle, "MiB/h")
    return found


async def capacity(load: Load, reader: Reader) -> float:
    """Segments a second that the fleet works off, in the middle half of a backlog."""
    await load.publish(CALIBRATING)
    told = await reader.until(load.published)
    times = sorted(outcome.at_ms for outcome in told.outcomes.values())
    begin, end = times[len(times) // 4], times[3 * len(times) // 4]
    return len(times) / 2 / ((end - begin) / 1000)


async def at_rest(fleet: Fleet) -> dict[str, int]:
    """What the worker that is never killed has open when there is nothing to do: the least of a few looks."""
    looks = []
    for _ in range(REST_SAMPLES):
        await time_passes(SAMPLE_EVERY_S)
        now = vitals(fleet.pid(NEVER_KILLED), 0)
        tasks = await task_count(fleet)
        looks.append({"fds": now.fds, "threads": now.threads, "children": now.processes, "tasks": tasks})
    return {name: min(look[name] for look in looks) for name in looks[0]}


async def task_count(fleet: Fleet) -> int:
    """Its asyncio tasks, as it says itself."""
    worker = fleet.worker(NEVER_KILLED)
    told = sum(counted.TELLS in line for line in worker.log)
    worker.signal(signal.SIGUSR1)
    await worker.says(counted.TELLS, times=told + 1)
    return json.loads(next(line for line in reversed(worker.log) if counted.TELLS in line))["tasks"]


class Soak:
    """Kills now and then, and watches."""

    def __init__(self, fleet: Fleet, load: Load, reader: Reader) -> None:
        self._fleet = fleet
        self._load = load
        self._reader = reader
        self._chance = random.Random(1)  # noqa: S311 - no secret
        self.is_over = asyncio.Event()
        self.samples: list[Vitals] = []
        self._began_ms = round(time.time() * 1000)
        self.kills = 0
        self.largest_backlog = 0

    async def kill_for(self, seconds: float) -> None:
        """Kill one of the others every minute and start it again."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while (left_s := end - loop.time()) > KILL_EVERY_S:
            await time_passes(min(left_s, KILL_EVERY_S - RESTART_AFTER_S))
            victim = self._chance.choice([n for n in self._fleet.running if n != NEVER_KILLED])
            await self._fleet.kill(victim)
            self.kills += 1
            await time_passes(RESTART_AFTER_S)
            assert self._fleet.orphans() == [], f"worker {victim} has left processes behind"
            await self._fleet.restart(victim, wait=False)
        await time_passes(left_s)

    async def watch(self) -> None:
        """Read what is told and measure, until it is over."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while not self.is_over.is_set():
            await self._reader.read()
            self.largest_backlog = max(self.largest_backlog, self._load.published - len(self._reader.told.outcomes))
            if loop.time() >= due:
                self.samples.append(vitals(self._fleet.pid(NEVER_KILLED), loop.time()))
                due += SAMPLE_EVERY_S

    def publish(self, measured) -> None:
        """Tell what was done and how late the outcomes were."""
        told = self._reader.told
        measured("segments", self._load.published)
        measured("kills", self.kills)
        measured("incidents", len(told.incidents))
        measured("longest stall of a partition", longest_stall_s(told, since_ms=self._began_ms), "s")
        measured("slowest outcome", slowest_s(told, since_ms=self._began_ms), "s")
        measured("largest backlog", self.largest_backlog, "segments")


def settled(samples: list[Vitals], kind: str) -> list[tuple[float, float]]:
    """Seconds and bytes by the minute, without the first quarter, in which caches fill."""
    began = samples[0].at_s
    points = [(sample.at_s - began, float(getattr(sample, kind))) for sample in samples]
    return by_minute(points[len(points) // 4 :])


@asynccontextmanager
async def background(work) -> AsyncIterator[None]:
    """Do it beside the context, which ends when it has ended; its failure is raised there."""
    async with asyncio.TaskGroup() as group:
        group.create_task(work)
        yield

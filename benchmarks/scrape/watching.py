"""A worker's observers, console and web server, told of released segments of many streams as partitions tell them.

The scrape goes over HTTP on loopback, and what the client takes counts too. Nothing is decoded: the load beside it is
what observing costs.
"""

from __future__ import annotations

import asyncio
import time
from itertools import count
from typing import TYPE_CHECKING

import aiohttp
from msgspec.structs import replace
from support.assessments import START, a_segment, an_assessment

from worker import conclude
from worker.conclude import Rules
from worker.console.live import Live
from worker.escalation.context import Context
from worker.observe.partition import PartitionObserver
from worker.observe.stations import stage_observer
from worker.policy.read import default
from worker.records import Received
from worker.settings.tree import LinkTemplates, Topics, Web
from worker.streams.state import StreamState
from worker.telemetry import Telemetry
from worker.telemetry.behind import Behind
from worker.telemetry.catalogue.bounds import STEPS
from worker.web import Web as Server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.conclude import Conclusion

PARTITIONS = 24
OPENMETRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}
CONTEXT = Context(
    model=None, policy=default().ref, lists=(), links=LinkTemplates(), preserve_before_s=0.0, source="benchmark"
)
RULES = Rules(policy=default(), context=CONTEXT, topics=Topics(), max_message_bytes=1024**2, with_payload=False)


class Well:
    """A worker that is."""

    def live(self) -> str | None:
        """Nothing is wrong."""
        return None

    def ready(self) -> str | None:
        """Nothing is wrong."""
        return None


class Watching:
    """Observers of partitions, and streams whose segments they are told of."""

    def __init__(self, streams: int) -> None:
        self.telemetry = Telemetry()
        self.telemetry.labels({"card"})
        self.live, behind = Live(), Behind()
        behind.given(range(PARTITIONS), time.time())
        self._observers = [
            PartitionObserver(self.telemetry, number, self.live, topics=Topics(), behind=behind)
            for number in range(PARTITIONS)
        ]
        self._on_stage = stage_observer(self.telemetry)
        for number in range(PARTITIONS):
            self.telemetry.in_flight(number, 3, 1000)
            self.telemetry.lag(number, 0)
            self.telemetry.behind(number, 0.0)
            self.telemetry.remembers(number, streams // PARTITIONS, 10**7, 1)
            self.telemetry.left(number, [("risk", 500)], time.time())
        self._segments = self._made(streams)
        self.observing_s: list[float] = []
        for _ in range(streams):
            self.one()

    def one(self) -> None:
        """Tell of one segment of the next stream."""
        partition, received, conclusion = next(self._segments)
        observer = self._observers[partition]
        started = time.thread_time()
        observer.consumed(received)
        if conclusion.assessment is not None:
            for stage in STEPS:
                self._on_stage(conclusion.assessment.segment, stage, 0.01)
        observer.released(received, conclusion, START)
        self.observing_s.append(time.thread_time() - started)

    def _made(self, streams: int) -> Iterator[tuple[int, Received, Conclusion]]:
        for number in count():
            stream = number % streams
            partition = stream % PARTITIONS
            position = replace(a_segment(0).position, partition=partition, offset=number)
            segment = a_segment(number // streams, stream_id=f"stream-{stream}", position=position)
            received = Received(position=position, key=segment.stream_id.encode(), value=b"x" * 1000, headers=())
            state = StreamState(stream_id=segment.stream_id)
            yield partition, received, conclude.segment(state, an_assessment(segment), received, START, RULES)


async def scrapes(watching: Watching, most: int, per_s: int) -> tuple[list[float], int]:
    """How long scrapes took, in milliseconds, while so many segments a second pass; and how large the last one was."""
    server = Server(Web(port=0), watching.telemetry, Well())
    await server.start()
    passing = asyncio.create_task(_pass(watching, per_s))
    took_ms: list[float] = []
    size = 0
    async with aiohttp.ClientSession(headers=OPENMETRICS) as client:
        while len(took_ms) < most:
            started = time.perf_counter()
            async with client.get(f"http://127.0.0.1:{server.port}/metrics") as answer:
                size = len(await answer.read())
            took_ms.append((time.perf_counter() - started) * 1000)
            await asyncio.sleep(0.01)
    passing.cancel()
    await server.stop()
    return took_ms, size


async def _pass(watching: Watching, per_s: int) -> None:
    while True:
        for _ in range(max(1, per_s // 100)):
            watching.one()
        await asyncio.sleep(0.01)

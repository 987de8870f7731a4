"""From a segment's append to what follows from it, through a real Apache Kafka, at the pace of live streams.

A worker runs in a process of its own with its default settings (exactly once, the demo model, one block list). So many
streams publish a segment every two seconds, evenly phased. A stream is some quiet segments and a last one that shows a
picture on the list, which opens an incident; then the next stream takes its place. Between any two segments the same
bytes go to the floor's topic, where a process does nothing but to answer (``latency_child.py``): both see the same
machine.

Times are the broker's: every topic stamps records when they are appended (``LogAppendTime``).
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from aiokafka import TopicPartition
from benchmarks.latency_child import ECHO, PARTITIONS
from msgspec import Struct
from msgspec.structs import replace

from benchmarks import clips
from benchmarks.figures import percentile
from worker.examine import examine
from worker.kafka import admin, clients
from worker.records import Ask, EventId, Position, Received, Segment
from worker.settings.tree import Kafka, Matching, Scoring, Settings, Topics, Web
from worker.topics import wanted
from worker.wire import read, write

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence

    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord

READY_WITHIN_S = 60.0
DONE_WITHIN_S = 30.0
RECIPE = clips.FULL[0]

Where = tuple[int, int]
"""Partition and offset of a segment."""


class Tail(Struct, frozen=True, kw_only=True):
    """Latencies in milliseconds."""

    p50: float
    p99: float
    worst: float
    count: int


class Streams(Struct, frozen=True, kw_only=True):
    """One kind of latency, over all segments and by stream."""

    overall: Tail
    by_stream: tuple[Tail, ...]


class Latency(Struct, frozen=True, kw_only=True):
    """What came out."""

    streams: int
    seconds: float
    segment_bytes: int
    release_interval_s: float
    """How often quiet segments' results leave: what most of their latency is."""
    echo: Streams
    incident: Streams
    assessment: Streams
    incidents_wrong: int
    """Incidents missing and too many."""
    outcomes_missing: int
    worker_cpu_ms: float | None
    """CPU of all the worker's processes, a segment; None where there is no /proc."""
    echo_cpu_ms: float | None


class Sent(NamedTuple):
    """A segment that the broker has."""

    slot: int
    known: bool
    at_ms: int


def tail(values: Sequence[float]) -> Tail:
    """Return the percentiles of some latencies."""
    return Tail(p50=percentile(values, 0.5), p99=percentile(values, 0.99), worst=max(values), count=len(values))


def streams(sent: Mapping[Where, Sent], came_ms: Mapping[Where, int]) -> Streams:
    """Return the latencies of what came of the segments sent."""
    by_slot: dict[int, list[float]] = {}
    for where, at_ms in came_ms.items():
        if where in sent:
            by_slot.setdefault(sent[where].slot, []).append(float(at_ms - sent[where].at_ms))
    everything = [value for values in by_slot.values() for value in values]
    return Streams(overall=tail(everything), by_stream=tuple(tail(by_slot[slot]) for slot in sorted(by_slot)))


def measure(servers: str, model: Path, seed: int, *, count: int, seconds: float, life: int) -> Latency:
    """Run it on a broker: ``count`` streams of ``life`` segments each, for so many seconds, beside the floor.

    Raises:
        RuntimeError: A process ended.
        TimeoutError: The worker or the floor was not ready in time.
    """
    payloads = _payloads(seed, life)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = _settings(servers, model, _list(folder / "known", payloads[-1]))
        return asyncio.run(_measure(settings, payloads, folder, count=count, seconds=seconds))


# --- what is played -------------------------------------------------------------------------------------------------


def _payloads(seed: int, life: int) -> tuple[bytes, ...]:
    """A stream's segments, one after the other on its clock; the last shows what is known."""
    frames = clips.SECONDS * clips.FPS
    quiet, known = (clips.encode(RECIPE, one, frames=frames) for one in (seed, seed + 1))
    wholes = [quiet] * (life - 1) + [known]
    return tuple(clips.transport(whole, start_s=n * clips.SECONDS) for n, whole in enumerate(wholes))


def _list(folder: Path, known: bytes) -> Path:
    """A block list with the keyframe of a segment on it."""
    ask = Ask(
        content_type="video/mp2t", interval_s=2, max_keyframes=1, view=None, max_pixels=1920 * 1080, max_streams=8
    )
    pdq = examine(known, None, ask).frames[0].hash.pdq
    if pdq is None:
        raise RuntimeError("the known picture has too little detail for a hash: take another seed")
    folder.mkdir()
    head = {"name": "bench", "version": "1", "algorithm": "pdq", "radius": 31, "kind": "block", "severity": "critical"}
    lines = [f"{key} = {json.dumps(value)}" for key, value in head.items()]  # so far JSON and TOML are the same
    (folder / "list.toml").write_text("\n".join(lines) + "\n")
    (folder / "known.txt").write_text(pdq.hex() + "\n")
    return folder


def _settings(servers: str, model: Path, known: Path) -> Settings:
    return Settings(
        kafka=Kafka(bootstrap_servers=servers),
        topics=Topics(assessments="assessments"),
        matching=Matching(lists=(str(known),)),
        scoring=Scoring(model=str(model)),
        web=Web(port=0),
    )


# --- the run --------------------------------------------------------------------------------------------------------


async def _measure(
    settings: Settings, payloads: Sequence[bytes], folder: Path, *, count: int, seconds: float
) -> Latency:
    await _make_topics(settings)
    async with AsyncExitStack() as closing:
        producer = clients.writer(settings.kafka)
        closing.push_async_callback(producer.stop)
        await producer.start()
        reader = await closing.enter_async_context(_reading(settings))
        worker = closing.enter_context(_child("worker", settings, folder))
        echo = closing.enter_context(_child("echo", settings, folder))
        publisher = _Publisher(producer, settings, payloads)
        came = _Came(reader, settings, (worker, echo))
        warm = await publisher.warm_up()
        await came.until(lambda: warm <= came.assessed.keys() and warm <= came.echoed.keys(), READY_WITHIN_S)
        before = worker.cpu_s(), echo.cpu_s()
        await publisher.play(count, seconds)
        sent, echo_sent = publisher.sent, publisher.sent_to_echo
        known = {where for where, segment in sent.items() if segment.known}
        with suppress(TimeoutError):  # what is missing then is told as missing
            await came.until(
                lambda: (
                    sent.keys() <= came.assessed.keys()
                    and echo_sent.keys() <= came.echoed.keys()
                    and known <= came.opened.keys()
                ),
                DONE_WITHIN_S,
            )
        spent_s = [_less(now, then) for now, then in zip((worker.cpu_s(), echo.cpu_s()), before, strict=True)]
    return Latency(
        streams=count,
        seconds=seconds,
        segment_bytes=len(payloads[0]),
        release_interval_s=settings.intake.release_interval_s,
        echo=streams(echo_sent, came.echoed),
        incident=streams(sent, came.opened),
        assessment=streams(sent, came.assessed),
        incidents_wrong=len(known ^ came.opened.keys()),
        outcomes_missing=len(sent.keys() - came.assessed.keys()) + came.repeated,
        worker_cpu_ms=None if spent_s[0] is None else spent_s[0] * 1000 / len(sent),
        echo_cpu_ms=None if spent_s[1] is None else spent_s[1] * 1000 / len(echo_sent),
    )


async def _make_topics(settings: Settings) -> None:
    """The deployment's topics and the floor's, all stamped by the broker."""
    topics = wanted(settings, PARTITIONS)
    stamped = [replace(t, config={**t.config, "message.timestamp.type": "LogAppendTime"}) for t in topics.values()]
    more = [replace(t, name=t.name + ECHO) for t in stamped if t.name in {"segments", "assessments"}]
    became = await admin.create(settings.kafka, [*stamped, *more], replication=1)
    if set(became.values()) != {"created"}:
        raise RuntimeError(f"the topics could not be made: {became}")


class _Publisher:
    """Sends segments, and remembers when the broker had them."""

    def __init__(self, producer: AIOKafkaProducer, settings: Settings, payloads: Sequence[bytes]) -> None:
        self._producer = producer
        self._topic = settings.topics.segments
        self._payloads = payloads
        self.sent: dict[Where, Sent] = {}
        self.sent_to_echo: dict[Where, Sent] = {}

    async def warm_up(self) -> set[Where]:
        """Send one segment to each partition, for the worker and for the floor; offset 0 is theirs."""
        for number in range(PARTITIONS):
            for topic in (self._topic, self._topic + ECHO):
                await self._send(topic, f"warm-{number}", 0, partition=number, noted={}, slot=number)
        return {(number, 0) for number in range(PARTITIONS)}

    async def play(self, count: int, seconds: float) -> None:
        """A segment of each stream every two seconds, evenly phased; the floor's in the middle between two."""
        loop, sends = asyncio.get_running_loop(), []
        start, step_s = loop.time(), clips.SECONDS / count / 2
        for tick in range(round(seconds / step_s)):
            await asyncio.sleep(max(0.0, start + tick * step_s - loop.time()))
            turn, number = divmod(tick, 2 * count)
            slot, for_echo = divmod(number, 2)
            life, sequence = divmod(turn, len(self._payloads))
            topic, noted = (self._topic + ECHO, self.sent_to_echo) if for_echo else (self._topic, self.sent)
            stream, partition = f"slot-{slot}-{life}", slot % PARTITIONS
            send = self._send(topic, stream, sequence, partition=partition, noted=noted, slot=slot)
            sends.append(asyncio.create_task(send))
        await asyncio.gather(*sends)

    async def _send(
        self, topic: str, stream: str, sequence: int, *, partition: int, noted: dict[Where, Sent], slot: int
    ) -> None:
        segment = Segment(
            position=Position(topic="", partition=0, offset=0, timestamp_ms=0),
            event=EventId(source="/benchmarks", id=f"{stream}/{sequence}"),
            stream_id=stream,
            content_type="video/mp2t",
            payload=self._payloads[sequence],
            sequence=sequence,
        )
        message = write.segment_message(segment, topic=topic)
        appended = await self._producer.send_and_wait(
            topic, message.value, key=message.key, partition=partition, headers=list(message.headers)
        )
        known = sequence == len(self._payloads) - 1
        noted[partition, appended.offset] = Sent(slot=slot, known=known, at_ms=appended.timestamp)


class _Came:
    """When the broker had what followed from a segment."""

    def __init__(self, reader: AIOKafkaConsumer, settings: Settings, children: tuple[_Child, ...]) -> None:
        self._reader = reader
        self._topics = settings.topics
        self._children = children
        self.assessed: dict[Where, int] = {}
        self.echoed: dict[Where, int] = {}
        self.opened: dict[Where, int] = {}
        self.repeated = 0

    async def until(self, enough: Callable[[], bool], within_s: float) -> None:
        """Read until it is enough. Raises TimeoutError, or RuntimeError where a process ended."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within_s
        while not enough():
            for child in self._children:
                child.raise_if_ended()
            if loop.time() > deadline:
                raise TimeoutError(f"waited {within_s:g} s for the answers")
            for records in (await self._reader.getmany(timeout_ms=200)).values():
                for record in records:
                    self._take(record)

    def _take(self, record: ConsumerRecord) -> None:
        position = Position(
            topic=record.topic, partition=record.partition, offset=record.offset, timestamp_ms=record.timestamp
        )
        told = Received(position=position, key=record.key, value=record.value, headers=tuple(record.headers))
        if record.topic == self._topics.assessments + ECHO:
            partition, offset = map(int, record.value.split())
            self.echoed[partition, offset] = record.timestamp
        elif read.event_type(told) == "framewatch.assessment.v1":
            report = read.read_assessment(told)
            where = report.partition, report.offset
            self.repeated += where in self.assessed or report.outcome != "assessed"
            self.assessed[where] = record.timestamp
        elif read.event_type(told) == "framewatch.incident.opened.v1":
            frame = read.read_incident(told).reasons[0].frame
            if frame is not None:
                self.opened[frame.segment.partition, frame.segment.offset] = record.timestamp


@asynccontextmanager
async def _reading(settings: Settings) -> AsyncIterator[AIOKafkaConsumer]:
    """A read_committed reader of everything that comes out."""
    topics = wanted(settings, PARTITIONS)
    names = {topics[role].name: topics[role].partitions for role in ("assessments", "escalations")}
    names[settings.topics.assessments + ECHO] = names[settings.topics.assessments]
    reader = clients.reader(settings.kafka)
    await reader.start()
    try:
        reader.assign([TopicPartition(name, number) for name, count in names.items() for number in range(count)])
        await reader.seek_to_beginning()
        yield reader
    finally:
        await reader.stop()


# --- processes ------------------------------------------------------------------------------------------------------


class _Child:
    """A process of the benchmark."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log

    def raise_if_ended(self) -> None:
        """Raise RuntimeError with the end of its log if it is no more."""
        if self._process.poll() is not None:
            told = self._log.read_text(errors="replace").splitlines()[-30:]
            raise RuntimeError("\n".join([f"a process ended with {self._process.returncode}:", *told]))

    def cpu_s(self) -> float | None:
        """Seconds of CPU that it and its living and reaped children have taken."""
        return cpu_s(self._process.pid) if Path("/proc/self/stat").exists() else None


def cpu_s(pid: int) -> float:
    """Seconds of CPU of a process and all below it, after /proc/PID/stat (proc(5): utime, stime, cutime, cstime)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        below = [
            int(each)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for each in (task / "children").read_text().split()
        ]
    except FileNotFoundError:
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK") + sum(map(cpu_s, below))


def _less(now: float | None, then: float | None) -> float | None:
    return None if now is None or then is None else now - then


@contextmanager
def _child(what: str, settings: Settings, folder: Path) -> Iterator[_Child]:
    """Start a process; end it with the block, by force if it does not end by itself."""
    script, log = Path(__file__).with_name("latency_child.py"), folder / f"{what}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, str(script), what, msgspec.json.encode(settings)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    try:
        yield _Child(process, log)
    finally:
        process.terminate()
        try:
            process.wait(settings.shutdown.grace_s + 5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

"""Segments on a broker to decisions on it: a worker as ``framewatch run`` starts it, and the peers' pipelines.

Each runs alone on one core, with topics and a group of its own; broker and publisher have the other cores. First a few
segments until it is ready; then some at a low load, for how soon a known picture is escalated; then many at once, for
what a segment costs. Every side writes a record for each segment, and one more for an escalation. Ours does what it
always does: exactly once, decoders in a jail, risk by stream, state that can be restored. Theirs commit now and then.

A stream is a few segments of different pictures, one after the other on its clock: nobody meets one twice in a row.
"""

from __future__ import annotations

import json
import time
import tomllib
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, TopicPartition
from msgspec import Struct

from benchmarks import clips
from benchmarks.peers import environment
from benchmarks.peers.result import OURS
from benchmarks.rig import cores, cpu, known, processes, topics
from benchmarks.rig.answers import CONFIG
from benchmarks.rig.publishing import Due, publish
from worker.records import Position, Received
from worker.settings.tree import Kafka, Matching, Scoring, Settings, Web
from worker.topics import wanted
from worker.wire import read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np

    from benchmarks.rig.processes import Process
    from benchmarks.rig.publishing import Sent

LIFE = 4
"""Segments of a stream."""
PICTURES = 3
"""Quiet ones; and one more that is known."""
KNOWN_EVERY = 5
"""Of so many streams, one ends with the known picture."""
READY_WITHIN_S = 90.0
DONE_WITHIN_S = 120.0
ESCALATED_WITHIN_S = 10.0
LOW_PER_S = 4.0
LIST_SIZE = 10_000
THRESHOLD = 0.85


class Way(Struct, frozen=True, kw_only=True):
    """One pipeline."""

    name: str
    script: str | None = None
    """In ``theirs``; None for ours."""
    recipe: str = OURS
    threads: int = 1
    """onnxruntime's; 0 for its default, which keeps a thread turning."""


class Load(Struct, frozen=True, kw_only=True):
    """How many segments."""

    warm: int
    low: int
    burst: int


class Once(Struct, frozen=True, kw_only=True):
    """What one run of one pipeline took."""

    cpu_ms: float
    broker_ms: float
    latency_ms: tuple[float, ...]
    wrong: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What all pipelines are given."""

    servers: str
    broker_pid: int
    bodies: tuple[bytes, ...]
    """By ``sequence * (PICTURES + 1) + picture``; the last picture is the known one."""
    height: int
    lists: str
    """The folder of the hash list."""
    model: Path
    """Its folder."""
    folder: Path
    measured: cores.Cores
    """Where a pipeline runs."""


def ways(fastest: str, *, quick: bool) -> tuple[Way, ...]:
    """Return ours and the peers': each framework with the quickest reader, and what is usual."""
    ours, usual = Way(name=OURS), Way(name="FastStream", script="with_faststream.py", recipe="pyav")
    if quick:
        return ours, usual
    frameworks = {"FastStream": "with_faststream.py", "Quix Streams": "with_quix.py", "Faust": "with_faust.py"}
    defaults = Way(name="FastStream, default threads", script="with_faststream.py", recipe="pyav", threads=0)
    quickest = [Way(name=name, script=script, recipe=fastest) for name, script in frameworks.items()]
    second = Way(name="FastStream", script="with_faststream.py", recipe="ffmpeg-1fps")
    return ours, *quickest, *([] if fastest == "pyav" else [usual]), defaults, second


# --- what is played ---------------------------------------------------------------------------------------------------


def bodies(recipe: clips.Recipe, seed: int) -> tuple[bytes, ...]:
    """Encode the pictures, each at each place of a stream's clock."""
    wholes = [clips.encode(recipe, seed + number, frames=clips.SECONDS * clips.FPS) for number in range(PICTURES + 1)]
    return tuple(clips.transport(whole, start_s=n * clips.SECONDS) for n in range(LIFE) for whole in wholes)


def hash_list(folder: Path, shown: bytes, rng: np.random.Generator) -> str:
    """Make a block list with the keyframe of a segment on it, among random ones, and return its path."""
    path = Path(known.listed(folder, shown))
    lines = "".join(rng.bytes(32).hex() + "\n" for _ in range(LIST_SIZE - 1))
    with (path / "known.txt").open("a") as file:
        file.write(lines)
    return str(path)


def streams(stem: str, count: int) -> list[Due]:
    """Return so many segments of streams that are a few segments long; some streams end with what is known."""
    due = []
    for number in range(count):
        stream, sequence = divmod(number, LIFE)
        ends = sequence == LIFE - 1 and stream % KNOWN_EVERY == 0
        due.append(_due(f"{stem}-{stream}", sequence, stream, PICTURES if ends else (stream + sequence) % PICTURES))
    return due


def singles(stem: str, count: int) -> list[Due]:
    """Return so many streams of one segment, every other one known; each at its time."""
    return [
        _due(f"{stem}-{number}", 0, number, PICTURES if number % 2 else number % PICTURES, at_s=number / LOW_PER_S)
        for number in range(count)
    ]


def _due(stream: str, sequence: int, number: int, picture: int, *, at_s: float = 0.0) -> Due:
    body = sequence * (PICTURES + 1) + picture
    return Due(at_s=at_s, stream_id=stream, sequence=sequence, partition=number % topics.PARTITIONS, body=body)


def is_known(due: Due) -> bool:
    """Whether a segment shows the picture on the list."""
    return isinstance(due.body, int) and due.body % (PICTURES + 1) == PICTURES


# --- what comes -------------------------------------------------------------------------------------------------------


def event_of(due: Due) -> str:
    """Return a segment's name, which the publisher gives it and the peers give back."""
    return f"{due.stream_id}/{due.sequence}"


class Decisions:
    """What a pipeline decided so far, by the name of the segment."""

    def __init__(self, consumer: Consumer, process: Process, *, ours: bool) -> None:
        """``ours``: our records name a segment by partition and offset, theirs by its event."""
        self._consumer = consumer
        self._process = process
        self._named: Callable[[Any], Any] = ours_named if ours else theirs_named
        self.ours = ours
        self.decided: dict[Any, int] = {}
        """When the broker had it, milliseconds since the epoch."""
        self.escalated: dict[Any, int] = {}
        self.repeated = 0

    def until(self, decided: int, escalated: int, within_s: float) -> None:
        """Read until so many are decided and escalated; the latter is waited for only a little, and may be wrong.

        Raises TimeoutError, or RuntimeError where the pipeline ended.
        """
        self._until(lambda: len(self.decided) >= decided, within_s)
        if len(self.decided) < decided:
            told = self._process.told()
            raise TimeoutError(f"{self._process.what}: {len(self.decided)} of {decided} decided:\n{told}")
        self._until(lambda: len(self.escalated) >= escalated, ESCALATED_WITHIN_S)

    def _until(self, enough: Callable[[], bool], within_s: float) -> None:
        deadline = time.monotonic() + within_s
        while not enough() and time.monotonic() < deadline:
            self._process.raise_if_ended()
            for record in self._consumer.consume(500, 0.05):
                self._take(record)

    def _take(self, record: Any) -> None:
        named = self._named(record)
        if named is None:
            return
        seen = self.escalated if record.topic().endswith("escalations") else self.decided
        self.repeated += named in seen
        seen[named] = record.timestamp()[1]


def ours_named(record: Any) -> tuple[int, int] | None:
    """Partition and offset of the segment that an assessment, or an incident that was opened, is about."""
    told = Received(
        position=Position(
            topic=record.topic(),
            partition=record.partition(),
            offset=record.offset(),
            timestamp_ms=record.timestamp()[1],
        ),
        key=record.key(),
        value=record.value(),
        headers=tuple(record.headers() or ()),
    )
    kind = read.event_type(told)
    if kind == "framewatch.assessment.v1":
        report = read.read_assessment(told)
        return report.partition, report.offset
    if kind == "framewatch.incident.opened.v1":
        frame = read.read_incident(told).reasons[0].frame
        return None if frame is None else (frame.segment.partition, frame.segment.offset)
    return None


def theirs_named(record: Any) -> str:
    """The segment's name in a record of theirs."""
    name: str = json.loads(record.value())["event"]
    return name


def wrong(due: Sequence[Due], names: Sequence[Any], decisions: Decisions) -> int:
    """Return how many decisions are not what they should be; ``names`` are those of ``due``, in its order."""
    should = {name for name, one in zip(names, due, strict=True) if is_known(one)}
    return len(should ^ decisions.escalated.keys()) + len(set(names) ^ decisions.decided.keys()) + decisions.repeated


# --- one run ----------------------------------------------------------------------------------------------------------


def once(way: Way, scene: Scene, load: Load, stem: str) -> Once:
    """Run one pipeline on topics of its own.

    Raises:
        RuntimeError: It ended.
        TimeoutError: It did not decide in time; the message has the end of its log.
    """
    settings = _settings(scene, stem)
    folder = scene.folder / stem
    folder.mkdir()
    with ExitStack() as closing:
        closing.enter_context(topics.made(settings))
        process = closing.enter_context(_process(way, scene, settings, folder))
        consumer = closing.enter_context(_reading(settings))
        decisions = Decisions(consumer, process, ours=way.script is None)
        played = _Played(settings, scene.bodies, decisions)
        played.play(streams("warm", load.warm), within_s=READY_WITHIN_S)
        latency = played.latencies(*played.play(singles("low", load.low), start_s=time.time() + 0.2))
        pids = process.pid, scene.broker_pid
        before = [cpu.tree_s(pid) for pid in pids]
        played.play(streams("burst", load.burst))
        took_s = [cpu.tree_s(pid) - then for pid, then in zip(pids, before, strict=True)]
        cpu_ms, broker_ms = (seconds * 1000 / load.burst for seconds in took_s)
        return Once(
            cpu_ms=cpu_ms,
            broker_ms=broker_ms,
            latency_ms=latency,
            wrong=wrong(played.due, played.names, decisions),
        )


class _Played:
    """What was published so far, and by which names it is told of."""

    def __init__(self, settings: Settings, made: Sequence[bytes], decisions: Decisions) -> None:
        self._settings = settings
        self._bodies = made
        self._decisions = decisions
        self._sent: list[Sent] = []
        self.due: list[Due] = []
        self.names: list[Any] = []

    def play(
        self, due: Sequence[Due], *, start_s: float | None = None, within_s: float = DONE_WITHIN_S
    ) -> tuple[int, int]:
        """Publish, and wait until all is decided; returns the first place of these, and one past the last."""
        kafka, first = self._settings.kafka, len(self.due)
        sent = publish(kafka.bootstrap_servers, self._settings.topics.segments, self._bodies, due, start_s=start_s)
        self.due += due
        self._sent += sent
        self.names += [one.where for one in sent] if self._decisions.ours else map(event_of, due)
        self._decisions.until(len(self.due), sum(map(is_known, self.due)), within_s)
        return first, len(self.due)

    def latencies(self, first: int, last: int) -> tuple[float, ...]:
        """Return milliseconds from append to escalation, of those that were escalated."""
        escalated = self._decisions.escalated
        return tuple(
            float(escalated[self.names[place]] - self._sent[place].appended_ms)
            for place in range(first, last)
            if self.names[place] in escalated
        )


def _settings(scene: Scene, stem: str) -> Settings:
    return Settings(
        kafka=Kafka(bootstrap_servers=scene.servers),
        topics=topics.named(stem),
        matching=Matching(lists=(scene.lists,)),
        scoring=Scoring(model=str(scene.model)),
        web=Web(port=0),
    )


@contextmanager
def _process(way: Way, scene: Scene, settings: Settings, folder: Path) -> Iterator[Process]:
    if way.script is None:
        with processes.worker(settings, folder, cores=scene.measured) as process:
            yield process
        return
    plan = folder / "plan.json"
    plan.write_text(json.dumps(_plan(way, scene, settings, folder)))
    arguments = [str(environment.THEIRS / way.script), str(plan)]
    with processes.started(
        way.name, arguments, folder, cores=scene.measured, python=str(environment.PYTHON)
    ) as process:
        yield process


def _plan(way: Way, scene: Scene, settings: Settings, folder: Path) -> dict[str, Any]:
    """What ``theirs/decide.py`` is told."""
    manifest = tomllib.loads((scene.model / "model.toml").read_text())
    taken, given = manifest["input"], manifest["output"]
    alarming = [n for n, label in enumerate(given["labels"]) if label not in given["harmless"]]
    return {
        "servers": settings.kafka.bootstrap_servers,
        "segments": settings.topics.segments,
        "decisions": settings.topics.assessments,
        "escalations": settings.topics.escalations,
        "group": f"{settings.topics.segments}-group",
        "recipe": way.recipe,
        "hashes": str(Path(scene.lists) / "known.txt"),
        "model": str(scene.model / "model.onnx"),
        "label": alarming[0],
        "threshold": THRESHOLD,
        "threads": way.threads,
        "softmax": given.get("activation") == "softmax",
        **{key: taken[key] for key in ("layout", "colour", "mean", "scale")},
        "width": scene.height * 16 // 9,
        "height": scene.height,
        "folder": str(folder),
    }


@contextmanager
def _reading(settings: Settings) -> Iterator[Consumer]:
    consumer = Consumer({"bootstrap.servers": settings.kafka.bootstrap_servers, **CONFIG})
    try:
        out = [wanted(settings, topics.PARTITIONS)[role] for role in ("assessments", "escalations")]
        consumer.assign([TopicPartition(topic.name, number, 0) for topic in out for number in range(topic.partitions)])
        yield consumer
    finally:
        consumer.close()

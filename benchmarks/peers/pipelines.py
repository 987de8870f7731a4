"""Segments on a broker to decisions on it: a worker as ``framewatch run`` starts it, and the peers' pipelines.

Each runs alone on one core, with topics and a group of its own; broker and publisher have the other cores. First a few
segments until it is ready; then some at a low load, for how soon a known picture is escalated; then many at once, for
what a segment costs. Every side writes a record for each segment, and one more for an escalation. Ours does what it
always does: exactly once, decoders in a jail, risk by stream, state that can be restored. Theirs commit now and then.
"""

from __future__ import annotations

import json
import time
import tomllib
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from benchmarks.peers import environment
from benchmarks.peers.decisions import Decisions, reading, wrong
from benchmarks.peers.playing import event_of, is_known, singles, streams
from benchmarks.peers.result import OURS
from benchmarks.rig import cores, cpu, processes, topics
from benchmarks.rig.publishing import Due, publish
from worker.settings.tree import Kafka, Matching, Scoring, Settings, Web

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.rig.processes import Process
    from benchmarks.rig.publishing import Sent

READY_WITHIN_S = 90.0
DONE_WITHIN_S = 120.0
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
        consumer = closing.enter_context(reading(settings))
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

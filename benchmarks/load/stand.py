"""One worker on a core of its own, beside a real broker: what it is given, and what came of it."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from benchmarks.rig import answers, cores, cpu, processes, topics
from benchmarks.rig.meter import Meter
from benchmarks.rig.publishing import Due, Schedule, Sent, publish
from worker.settings import tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.load.pictures import Bodies
    from benchmarks.part import Run
    from benchmarks.rig.answers import Answers
    from benchmarks.rig.cores import Split
    from benchmarks.rig.processes import Process

CORE = "core"
"""What anybody had of the worker's core."""
LEAD_S = 1.5
"""A generator's own start."""
SLACK_S = 60.0
"""How long what was published may take to be answered, beyond its schedule."""


class Played(Struct, frozen=True, kw_only=True):
    """What was sent, when it was due, and whether its picture is on the list."""

    due: tuple[Due, ...]
    sent: tuple[Sent, ...]
    start_s: float
    """Seconds since the epoch."""


class Stand:
    """A worker that works, and what is around it."""

    def __init__(self, settings: tree.Settings, bodies: Bodies, split: Split, broker: int, folder: Path) -> None:
        """``broker`` is its process id. ``worker``, ``answers`` and ``meter`` come with ``standing``."""
        self.settings = settings
        self.split = split
        self.folder = folder
        self.meter = Meter(self._counters)
        self.worker: Process
        self.answers: Answers
        self._bodies = bodies
        self._broker = broker
        self._helpers: dict[str, int] = {}
        self._ended: dict[str, float] = {}
        """What those had that have ended, by name."""
        self._seen: dict[str, float] = {}

    @contextmanager
    def counting(self, name: str, process: Process) -> Iterator[None]:
        """Count a helper's CPU under a name, after that of others that had it."""
        self._helpers[name] = process.pid
        try:
            yield
        finally:
            del self._helpers[name]
            self._ended[name] = self._ended.get(name, 0.0) + self._seen.pop(name, 0.0)

    def publish(self, due: Sequence[Due]) -> list[Sent]:
        """Send all at once, from this process."""
        return publish(self.settings.kafka.bootstrap_servers, self.settings.topics.segments, self._bodies.segments, due)

    def play(self, due: Sequence[Due], seconds: float) -> Played:
        """Have a process publish on schedule; return when that is over and everything that it sent has its outcome."""
        out = self.folder / "sent.json"
        schedule = Schedule(
            servers=self.settings.kafka.bootstrap_servers,
            topic=self.settings.topics.segments,
            bodies=self._bodies.files,
            start_s=time.time() + LEAD_S,
            due=tuple(due),
            out=str(out),
        )
        with (
            processes.helper("benchmarks.rig.publishing", schedule, self.folder, cores=self.split.around) as generator,
            self.counting("generator", generator),
        ):
            self.answers.until(lambda: generator.popen.poll() is not None, due[-1].at_s + SLACK_S)
            generator.wait(0)
        sent = msgspec.json.decode(out.read_bytes(), type=tuple[Sent, ...])
        self.until_answered(sent)
        self._look_after(schedule.start_s + seconds)
        return Played(due=tuple(due), sent=sent, start_s=schedule.start_s)

    def until_answered(self, sent: Sequence[Sent], within_s: float = SLACK_S) -> None:
        """Wait until all of it has an outcome, and look at everybody's CPU then. Raises TimeoutError."""
        wanted = {one.where for one in sent}
        self.answers.until(lambda: wanted <= self.answers.outcomes.keys(), within_s)
        self._look_after(time.time())

    def _look_after(self, moment_s: float) -> None:
        self.answers.until(lambda: bool(self.meter.looks) and self.meter.looks[-1][0] >= moment_s, SLACK_S)

    def _counters(self) -> dict[str, float]:
        for name, pid in self._helpers.items():
            self._seen[name] = max(self._seen.get(name, 0.0), cpu.tree_s(pid))  # one that has just ended has none
        helpers = {name: self._ended.get(name, 0.0) + self._seen.get(name, 0.0) for name in self._ended | self._seen}
        core = {CORE: cpu.busy_s(self.split.measured)}
        around = {"broker": cpu.tree_s(self._broker), "answers": time.process_time()}
        return cpu.worker_s(self.worker.pid).named() | core | around | helpers


@contextmanager
def standing(
    run: Run, bodies: Bodies, model: Path, stem: str, *, lateness_s: float = 0.0, ahead: Sequence[Due] = ()
) -> Iterator[tuple[Stand, list[Sent]]]:
    """Start a worker with default settings but for its names, the list, the model and when it sheds.

    Args:
        run: This run.
        bodies: What is played.
        model: Its folder.
        stem: The topics' names begin with it.
        lateness_s: The setting ``overload.lateness_s``; 0 is its default: nothing is ever shed.
        ahead: What is there before the worker starts.

    Yields:
        The stand, and what was sent ahead. Without any of that, the worker is known to work by its first answers.
    """
    split, cluster = cores.split(), run.broker()
    settings = tree.Settings(
        kafka=tree.Kafka(bootstrap_servers=cluster.bootstrap_servers, group_id=stem),
        topics=topics.named(stem),
        matching=tree.Matching(lists=(bodies.known,)),
        scoring=tree.Scoring(model=str(model)),
        overload=tree.Overload(lateness_s=lateness_s),
        web=tree.Web(port=0),
    )
    with ExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory()))
        closing.enter_context(cores.held(cluster.brokers[0].pid, split.around))
        closing.enter_context(cores.held(os.getpid(), split.around))
        closing.enter_context(topics.made(settings))
        stand = Stand(settings, bodies, split, cluster.brokers[0].pid, folder)
        sent = stand.publish(ahead)
        stand.worker = closing.enter_context(processes.worker(settings, folder, cores=split.measured))
        reading = answers.reading(settings, topics.PARTITIONS, meter=stand.meter, processes=[stand.worker])
        stand.answers = closing.enter_context(reading)
        yield stand, sent

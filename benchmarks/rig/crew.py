"""Workers of one group with topics of their own: what they are given, when it is answered, what they took for it."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks.rig import answers, cores, cpu, processes, topics
from benchmarks.rig.meter import Meter
from benchmarks.rig.publishing import publish
from worker.settings import tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from benchmarks.part import Run
    from benchmarks.rig.answers import Answers
    from benchmarks.rig.cores import Split
    from benchmarks.rig.processes import Process
    from benchmarks.rig.publishing import Due, Sent

WORKER = ("loop", "threads", "zygote", "decoders")
SLACK_S, SLOWEST_S = 60.0, 0.25
"""How long workers may take to start, and a segment to be answered, on a busy machine."""


class Crew:
    """Workers, their settings, and everything that came out."""

    def __init__(self, settings: tree.Settings, broker: int, folder: Path) -> None:
        """``broker`` is its process id. ``workers`` and ``answers`` come with ``working``."""
        self.settings = settings
        self.folder = folder
        self.meter = Meter(self.counters)
        self.generator_s = 0.0
        """Seconds of CPU that publishing took in this process."""
        self.workers: list[Process] = []
        self.answers: Answers
        self._broker = broker

    def publish(self, due: Sequence[Due], bodies: Sequence[bytes], *, start_s: float | None = None) -> list[Sent]:
        """Send from this process, each at its time after ``start_s`` (seconds since the epoch); at once without one."""
        before_s, kafka = time.process_time(), self.settings.kafka
        sent = publish(kafka.bootstrap_servers, self.settings.topics.segments, bodies, due, start_s=start_s)
        self.generator_s += time.process_time() - before_s
        return sent

    def until_answered(self, sent: Iterable[Sent]) -> None:
        """Wait until all of it has an outcome, and look at everybody's CPU then.

        Raises:
            TimeoutError: It took too long; with the end of each worker's log.
        """
        wanted = {one.where for one in sent}
        within_s = SLACK_S + SLOWEST_S * len(wanted)
        try:
            self.answers.until(lambda: wanted <= self.answers.outcomes.keys(), within_s)
        except TimeoutError as error:
            missing = len(wanted - self.answers.outcomes.keys())
            logs = [worker.told() for worker in self.workers]
            raise TimeoutError("\n".join([f"{error}: {missing} of {len(wanted)} are missing", *logs])) from error
        ended_s = time.time()
        self.answers.until(lambda: bool(self.meter.looks) and self.meter.looks[-1][0] >= ended_s, within_s)

    def wrong(self, sent: Iterable[Sent]) -> int:
        """How many of these were not looked at, or told of more than once."""
        outcomes = self.answers.outcomes
        return self.answers.repeated + sum(
            one.where not in outcomes or outcomes[one.where].outcome != "assessed" for one in sent
        )

    def counters(self) -> dict[str, float]:
        """Seconds of CPU so far: of all workers by who took it, of each worker's decoders, and around them."""
        each = [cpu.worker_s(worker.pid).named() for worker in self.workers]
        total = {name: sum(one[name] for one in each) for name in WORKER} if each else {}
        decoding = {decoders_of(number): one["decoders"] for number, one in enumerate(each)}
        around = {"broker": cpu.tree_s(self._broker), "answers": time.process_time() - self.generator_s}
        return total | decoding | around

    def worker_s(self) -> float:
        """Seconds of CPU of all workers so far."""
        return worker_total(self.counters())


def worker_total(by_name: Mapping[str, float]) -> float:
    """Return what the workers took, of everybody's."""
    return sum(by_name.get(name, 0.0) for name in WORKER)


def decoders_of(worker: int) -> str:
    """The name of one worker's decoders among the counters."""
    return f"decoders of worker {worker}"


def default_settings(run: Run, stem: str, model: Path, *known: str) -> tree.Settings:
    """What a worker has unless the benchmark is about it; topics and group begin with ``stem``."""
    return tree.Settings(
        kafka=tree.Kafka(bootstrap_servers=run.broker().bootstrap_servers, group_id=stem),
        topics=topics.named(stem),
        matching=tree.Matching(lists=known),
        scoring=tree.Scoring(model=str(model)),
        web=tree.Web(port=0),
    )


def apart(measured: int) -> Split:
    """The measured side on so many cores and what is around it on the others; on all of them where none is left.

    Raises:
        NotHere: There are not as many, or nothing can be pinned here.
    """
    if hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) == measured:
        everything = frozenset(os.sched_getaffinity(0))
        return cores.Split(everything, everything)
    return cores.split(measured)


@contextmanager
def prepared(run: Run, settings: tree.Settings, split: Split, partitions: int) -> Iterator[Crew]:
    """Make the topics, keep broker and this process on their cores; the workers are started with ``working``."""
    broker = run.broker().brokers[0].pid
    with ExitStack() as closing:
        folder = Path(closing.enter_context(TemporaryDirectory()))
        closing.enter_context(cores.held(broker, split.around))
        closing.enter_context(cores.held(os.getpid(), split.around))
        closing.enter_context(topics.made(settings, partitions))
        yield Crew(settings, broker, folder)


@contextmanager
def working(
    crew: Crew, split: Split, partitions: int, *, count: int = 1, script: Sequence[str] | None = None
) -> Iterator[None]:
    """Start so many workers and read what they write; ``script``: what Python runs instead of ``framewatch run``."""
    with ExitStack() as closing:
        for number in range(count):
            name = f"worker-{number}"
            if script is None:
                started = processes.worker(crew.settings, crew.folder, cores=split.measured, name=name)
            else:
                started = processes.started(
                    name,
                    script,
                    crew.folder,
                    cores=split.measured,
                    environ=processes.environment(crew.settings),
                    ends_within_s=crew.settings.shutdown.grace_s + processes.ENDS_WITHIN_S,
                )
            crew.workers.append(closing.enter_context(started))
        reading = answers.reading(crew.settings, partitions, meter=crew.meter, processes=crew.workers)
        crew.answers = closing.enter_context(reading)
        yield

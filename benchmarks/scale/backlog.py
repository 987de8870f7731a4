"""A backlog that is there before its workers are, worked off on a real broker."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import clips
from benchmarks.load import play
from benchmarks.rig import crew, remembered
from benchmarks.rig.publishing import Due
from benchmarks.scale.window import Answer, worked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.load.pictures import Bodies
    from benchmarks.part import Run
    from benchmarks.rig.crew import Crew
    from benchmarks.rig.publishing import Sent
    from benchmarks.scale.result import Worked
    from worker.settings.tree import Settings

SMALL = clips.Recipe(height=288, codec="h264", weight="light", containers=("ts",))
DEMO = Path(__file__).parents[2] / "models" / "demo"
PARTITIONS = 4
SMALL_PARTITIONS = 5
"""Of which each has as many streams as the others, also where there are ten."""


class Backlogs:
    """Measures one backlog after the other, each with topics and workers of its own."""

    def __init__(self, run: Run) -> None:
        """``wrong`` counts segments that were not looked at just once."""
        self.wrong = 0
        self._run = run
        self._number = 0

    def grown(self, bodies: Bodies, *, cores: int, workers: int, count: int) -> Worked:
        """Workers on cores, with segments as live streams have them."""
        due = play.backlog(count, "backlog", PARTITIONS, known=False)
        settings = self._settings(bodies.known)
        split = crew.apart(cores)
        with crew.prepared(self._run, settings, split, PARTITIONS) as these:
            sent = these.publish(due, bodies.segments)
            with crew.working(these, split, PARTITIONS, count=workers):
                return self._worked(these, sent, workers)

    def streams(self, segments: Sequence[bytes], *, streams: int, count: int) -> Worked:
        """So many streams with a past take turns, on one core; those that are not heard are remembered too."""
        settings, split = self._settings(), crew.apart(1)
        with crew.prepared(self._run, settings, split, SMALL_PARTITIONS) as these:
            ids = ((number % SMALL_PARTITIONS, f"stream-{number}") for number in range(streams))
            remembered.write(settings.kafka.bootstrap_servers, settings.topics.risk, ids)
            sent = these.publish(turns(streams, count), segments)
            with crew.working(these, split, SMALL_PARTITIONS):
                return self._worked(these, sent, 1)

    def _settings(self, *known: str) -> Settings:
        self._number += 1
        return crew.default_settings(self._run, f"scale-{self._number}", DEMO, *known)

    def _worked(self, these: Crew, sent: Sequence[Sent], workers: int) -> Worked:
        these.until_answered(sent)
        self.wrong += these.wrong(sent)
        outcomes = these.answers.outcomes
        answers = [Answer(one.partition, outcomes[one.where].at_ms / 1000) for one in sent]
        generator_ms = these.generator_s * 1000 / len(sent)
        return worked(answers, these.meter.looks, workers, generator_ms=generator_ms)


def turns(streams: int, count: int) -> list[Due]:
    """So many segments; each stream in turn sends the next of its own."""
    return [
        Due(
            stream_id=f"stream-{number % streams}",
            sequence=remembered.HISTORY + number // streams,
            partition=number % streams % SMALL_PARTITIONS,
            body=number // streams,
        )
        for number in range(count)
    ]


def small(seed: int, count: int) -> list[bytes]:
    """One picture on the clock of the next so many segments of a stream with a past."""
    whole = clips.encode(SMALL, seed, frames=clips.SECONDS * clips.FPS)
    begins_s = (remembered.next_begins_s(remembered.HISTORY + number) for number in range(count))
    return [clips.transport(whole, start_s=begin_s) for begin_s in begins_s]

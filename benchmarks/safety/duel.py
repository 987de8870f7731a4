"""Two workers with topics of their own on one core; the same load goes to the one and to the other, in turns.

Both live through the whole duel, so that nobody's start is measured; the one whose turn it is not is idle.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from benchmarks.figures import figure, ratios
from benchmarks.rig import crew, processes, remembered
from benchmarks.rig.publishing import Due
from benchmarks.safety.result import Side

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.figures import Figure
    from benchmarks.part import Run
    from benchmarks.rig.crew import Crew
    from benchmarks.safety.child import Without
    from worker.settings.tree import Settings

PARTITIONS = 8
PERIOD_S = 2.0
"""A segment's length, and so how often a live stream sends one."""
LEAD_S = 0.2
WARM = 2
"""Segments of each stream before anything is measured."""
PARTS = (*crew.WORKER, "broker")


class Load(NamedTuple):
    """What a turn is."""

    streams: int
    seconds: float
    bodies: Sequence[bytes]
    """By a segment's number after the past."""


class Turn(NamedTuple):
    """One side for a while: milliseconds of CPU a segment by name, and the waits for the assessments."""

    cpu_ms: dict[str, float]
    waits_ms: list[float]

    @property
    def worker_ms(self) -> float:
        """All of the worker's processes."""
        return crew.worker_total(self.cpu_ms)


class Fighter:
    """One of the two."""

    def __init__(self, these: Crew) -> None:
        self.wrong = 0
        self._these = these
        self._played = 0
        """Segments of each stream so far."""

    def turn(self, load: Load, *, at_once: bool = False) -> Turn:
        """Play live streams for so many seconds, or what they have then at once; wait for the last outcome."""
        these, each = self._these, round(load.seconds / PERIOD_S)
        due = schedule(load.streams, self._played, each)
        self._played += each
        before = these.counters()
        sent = these.publish(due, load.bodies, start_s=None if at_once else time.time() + LEAD_S)
        these.until_answered(sent)
        spent = {name: had - before.get(name, 0.0) for name, had in these.counters().items()}
        self.wrong += these.wrong(sent)
        outcomes = these.answers.outcomes
        return Turn(
            {name: spent[name] * 1000 / len(sent) for name in PARTS},
            [float(outcomes[one.where].at_ms - one.appended_ms) for one in sent if one.where in outcomes],
        )


def schedule(streams: int, played: int, each: int) -> list[Due]:
    """The next so many segments of each stream, evenly phased, each where its stream left off."""
    return [
        Due(
            at_s=turn * PERIOD_S + number * PERIOD_S / streams,
            stream_id=f"stream-{number}",
            sequence=remembered.HISTORY + played + turn,
            partition=number % PARTITIONS,
            body=played + turn,
        )
        for turn in range(each)
        for number in range(streams)
    ]


@contextmanager
def fighting(run: Run, settings: Settings, streams: int, without: Without | None) -> Iterator[Fighter]:
    """Start a worker that remembers all streams already; ``without``: something is taken out of it."""
    split = crew.apart(1)
    with ExitStack() as closing:
        these = closing.enter_context(crew.prepared(run, settings, split, PARTITIONS))
        ids = ((number % PARTITIONS, f"stream-{number}") for number in range(streams))
        remembered.write(settings.kafka.bootstrap_servers, settings.topics.risk, ids)
        script = None
        if without is not None:
            plan = these.folder / "without.json"
            plan.write_bytes(msgspec.json.encode(without))
            script = ["-P", str(processes.CHILD), "benchmarks.safety.child", str(plan)]
        closing.enter_context(crew.working(these, split, PARTITIONS, script=script))
        yield Fighter(these)


def taking_turns(usual: Fighter, other: Fighter, load: Load, rounds: int) -> tuple[list[Turn], list[Turn]]:
    """Warm both up, and then let them take turns, every other round the other way about."""
    for fighter in (usual, other):
        fighter.turn(load._replace(seconds=WARM * PERIOD_S))
    sides: tuple[list[Turn], list[Turn]] = [], []
    for number in range(rounds):
        pairs = [(usual, sides[0]), (other, sides[1])]
        for fighter, turns in pairs[:: -1 if number % 2 else 1]:
            turns.append(fighter.turn(load))
    return sides


def side(turns: Sequence[Turn]) -> Side:
    """Return what is to be told of one side."""
    return Side(
        worker_ms=figure([turn.worker_ms for turn in turns]),
        parts_ms={name: median(turn.cpu_ms[name] for turn in turns) for name in PARTS},
        wait_ms=median(wait for turn in turns for wait in turn.waits_ms),
    )


def over(above: Sequence[Turn], below: Sequence[Turn]) -> Figure:
    """Return the one side's CPU over the other's, pair by pair."""
    return figure(ratios([turn.worker_ms for turn in above], [turn.worker_ms for turn in below]))

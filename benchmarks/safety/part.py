"""What the jail, the transactions and the snapshots cost: each on and off."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from benchmarks import clips
from benchmarks.figures import figure
from benchmarks.part import Part
from benchmarks.rig import crew, remembered
from benchmarks.safety import report
from benchmarks.safety.child import Without
from benchmarks.safety.duel import PARTITIONS, PERIOD_S, WARM, Fighter, Load, Turn, fighting, over, side, taking_turns
from benchmarks.safety.result import BOTH, JAIL, SNAPSHOTS, TRANSACTIONS, Duel, Interval, Releases, Safety, checks

if TYPE_CHECKING:
    from benchmarks.part import Run
    from worker.settings.tree import Settings

DEMO = Path(__file__).parents[2] / "models" / "demo"
RECIPE = clips.Recipe(height=720, codec="h264", weight="heavy", containers=("ts",))
USUAL = 0.7
"""Share of a core."""
CALIBRATING = 96
"""Streams of the backlog from which the load is taken."""
OFF = {
    BOTH: Without(snapshots=True),
    JAIL: Without(jail=True),
    TRANSACTIONS: None,
    SNAPSHOTS: Without(snapshots=True),
}


class Extent(Struct, frozen=True, kw_only=True):
    """How much is measured."""

    turn_s: float
    rounds: dict[str, int]
    """By what is off."""
    intervals: tuple[float, ...]
    interval_rounds: int
    release_rounds: int
    share: float = USUAL


FULL = Extent(
    turn_s=4,
    rounds={BOTH: 6, JAIL: 3, TRANSACTIONS: 3, SNAPSHOTS: 3},
    intervals=(0.1, 0.25, 1, 5),
    interval_rounds=2,
    release_rounds=2,
)
QUICK = Extent(turn_s=2, rounds={BOTH: 1}, intervals=(), interval_rounds=0, release_rounds=1, share=0.2)


def measure(run: Run) -> Safety:
    """Find the load, and let the usual worker take turns with each other one."""
    measuring = _Measuring(run, QUICK if run.quick else FULL)
    measuring.calibrate()
    return measuring.safety()


class _Measuring:
    """One run."""

    def __init__(self, run: Run, extent: Extent) -> None:
        self._run, self._extent = run, extent
        self._whole = clips.encode(RECIPE, run.seed, frames=clips.SECONDS * clips.FPS)
        self._bodies: list[bytes] = []
        self._duels = 0
        self._wrong = 0
        self._streams = CALIBRATING

    def calibrate(self) -> None:
        """Take so many streams that the usual worker has so much of a core."""
        self._run.tell("the load")
        load = self._load(PERIOD_S * WARM, 2)
        with fighting(self._run, self._settings("calibrating"), CALIBRATING, None) as usual:
            usual.turn(load, at_once=True)
            worker_ms = usual.turn(load, at_once=True).worker_ms
        self._wrong += usual.wrong
        self._streams = max(PARTITIONS, round(self._extent.share * 1000 / worker_ms * PERIOD_S))

    def safety(self) -> Safety:
        """Measure everything."""
        clip = clips.make((RECIPE,), self._run.seed)[0]
        extent = self._extent
        return Safety(
            clip=clip.name,
            segment_bytes=len(clip.data),
            partitions=PARTITIONS,
            share=extent.share,
            per_s=self._streams / PERIOD_S,
            release_interval_s=self._settings("").intake.release_interval_s,
            duels=tuple(self._duel(what, rounds) for what, rounds in extent.rounds.items()),
            intervals=tuple(map(self._interval, extent.intervals)),
            releases=self._releases(),
            wrong=self._wrong,
        )

    def _duel(self, what: str, rounds: int) -> Duel:
        self._run.tell(f"without {what}")
        settings = self._settings("other")
        if what in (BOTH, TRANSACTIONS):
            settings = replace(settings, kafka=replace(settings.kafka, guarantee="at_least_once"))
        usual, other = self._turns(settings, OFF[what], rounds, self._extent.turn_s)
        return Duel(what=what, usual=side(usual), other=side(other), over=over(usual, other))

    def _interval(self, seconds: float) -> Interval:
        self._run.tell(f"a release every {seconds:g} s")
        settings = self._settings("other")
        settings = replace(settings, intake=replace(settings.intake, release_interval_s=seconds))
        # Two releases a turn at least.
        turn_s = max(self._extent.turn_s, 2 * seconds)
        usual, other = self._turns(settings, None, self._extent.interval_rounds, turn_s)
        return Interval(seconds=seconds, side=side(other), over=over(other, usual))

    def _releases(self) -> Releases:
        self._run.tell("the offset behind the records at once")
        with tempfile.TemporaryDirectory() as name:
            files = [Path(name) / "waits", Path(name) / "hasty"]
            waits = Without(releases=str(files[0]))
            hasty = Without(releases=str(files[1]), acknowledgement=True)
            usual, other = self._turns(
                self._settings("other"), hasty, self._extent.release_rounds, self._extent.turn_s, usually=waits
            )
            waits_ms, hasty_ms = (figure([float(s) * 1000 for s in file.read_text().split()]) for file in files)
        return Releases(waits_ms=waits_ms, hasty_ms=hasty_ms, cpu_over=over(usual, other))

    def _turns(
        self, settings: Settings, without: Without | None, rounds: int, turn_s: float, *, usually: Without | None = None
    ) -> tuple[list[Turn], list[Turn]]:
        self._duels += 1
        with ExitStack() as closing:
            usual = self._fighter(closing, self._settings("usual"), usually)
            other = self._fighter(closing, settings, without)
            found = taking_turns(usual, other, self._load(turn_s, rounds), rounds)
        self._wrong += usual.wrong + other.wrong
        return found

    def _fighter(self, closing: ExitStack, settings: Settings, without: Without | None) -> Fighter:
        return closing.enter_context(fighting(self._run, settings, self._streams, without))

    def _load(self, turn_s: float, rounds: int = 1) -> Load:
        """Bodies for all turns; those that an earlier duel had are there already."""
        wanted = WARM + rounds * max(WARM, round(turn_s / PERIOD_S))
        while len(self._bodies) < wanted:
            begins_s = remembered.next_begins_s(remembered.HISTORY + len(self._bodies))
            self._bodies.append(clips.transport(self._whole, start_s=begins_s))
        return Load(self._streams, turn_s, self._bodies)

    def _settings(self, who: str) -> Settings:
        return crew.default_settings(self._run, f"safety-{self._duels}-{who}", DEMO)


PART = Part(
    name="safety",
    title="The cost of safety: jail, transactions, snapshots, each on and off",
    result=Safety,
    measure=measure,
    checks=checks,
    text=report.text,
    plots=report.plots,
)

"""Whether the worker is alive, and whether it is ready: progress, not connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from worker.partition.life import Partition
    from worker.telemetry.catalogue.bounds import Unready

NO_PROGRESS_S = 120.0
"""Work that waits is finished, held or dead-lettered within a few deadlines: so long without any is none."""
STUCK_S = 60.0
"""The loop polls five times a second: a minute without a poll is no progress."""


class Watched(Protocol):
    """What health looks at (``worker.intake.Intake``)."""

    polls: int
    joined: bool
    halted: str | None

    @property
    def partitions(self) -> Mapping[int, Partition]:
        """The partitions that work."""

    @property
    def restoring(self) -> frozenset[int]:
        """The partitions that do not work yet."""

    @property
    def parked(self) -> Mapping[int, str]:
        """The partitions that stand still until an operator says what holds, and why."""

    @property
    def failing(self) -> Mapping[int, str]:
        """The partitions whose results do not leave, and why."""


class Health:
    """Answers ``/livez`` and ``/readyz``: None when all is well, else one line that says why not."""

    def __init__(self, intake: Watched, clock: Callable[[], float]) -> None:
        """``clock`` gives monotonic seconds."""
        self._intake = intake
        self._clock = clock
        self._polls = -1
        self._polled_at = clock()
        self._finished: dict[int, int] = {}
        self._finished_at: dict[int, float] = {}

    def live(self) -> str | None:
        """Return why a restart would help, if it would: nothing is polled, or work that could go on does not.

        A broker that is away is no reason: polls go on, and partitions whose results can't leave are taken again.
        """
        at = self._clock()
        if self._intake.polls != self._polls:
            self._polls, self._polled_at = self._intake.polls, at
        stuck_s = at - self._polled_at
        return f"nothing was polled for {stuck_s:.0f} s" if stuck_s > STUCK_S else self._idle(at)

    def _idle(self, at: float) -> str | None:
        for number, partition in self._intake.partitions.items():
            waits = partition.unfinished and not partition.held and self._intake.halted is None
            if not waits or self._finished.get(number) != partition.finished:
                self._finished[number], self._finished_at[number] = partition.finished, at
            elif (idle_s := at - self._finished_at[number]) > NO_PROGRESS_S:
                return f"partition {number}: {partition.unfinished} events wait, none was finished for {idle_s:.0f} s"
        return None

    def unready(self) -> frozenset[Unready]:
        """Return in words of a bounded list what ``ready`` says in a line; empty where it is ready."""
        holds: dict[Unready, bool] = {
            "joining": not self._intake.joined,
            "halted": self._intake.halted is not None,
            "parked": bool(self._intake.parked),
            "failing": bool(self._intake.failing),
            "restoring": bool(self._intake.restoring),
            "held": any(partition.held for partition in self._intake.partitions.values()),
        }
        return frozenset(reason for reason, holds_now in holds.items() if holds_now)

    def ready(self) -> str | None:
        """Return why this worker does not do its work now. One without partitions is ready."""
        if not self._intake.joined:
            return "has not joined its group yet"
        if self._intake.halted is not None:
            return f"intake is stopped: {self._intake.halted}"
        if self._intake.parked:
            return "; ".join(self._intake.parked.values())
        if failing := self._intake.failing:
            return "; ".join(f"partition {number}: its results do not leave: {why}" for number, why in failing.items())
        if restoring := self._intake.restoring:
            return f"restoring partitions {', '.join(map(str, sorted(restoring)))}"
        held = [(number, partition.held) for number, partition in self._intake.partitions.items() if partition.held]
        return "; ".join(f"partition {number} is held: {why}" for number, why in held) or None

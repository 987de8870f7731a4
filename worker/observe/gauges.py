"""What is looked at once a second: what is in work, how far behind, the decoders, readiness."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.health import Health
    from worker.intake import Intake
    from worker.telemetry import Telemetry
    from worker.telemetry.behind import Behind


class Decoders(Protocol):
    """The decoder processes (``worker.jail.pool``)."""

    in_use: int

    @property
    def alive(self) -> int:
        """How many there are."""


class Gauges:
    """Brings the gauges up to date."""

    def __init__(
        self,
        telemetry: Telemetry,
        *,
        intake: Intake,
        decoders: Decoders | None,
        health: Health,
        behind: Behind,
        clock: Callable[[], float],
    ) -> None:
        """``clock`` gives seconds since 1970; ``behind`` is told by the observers; ``decoders`` once there are some."""
        self._telemetry = telemetry
        self._intake = intake
        self._decoders = decoders
        self._health = health
        self._behind = behind
        self._clock = clock

    def look(self) -> None:
        """Look once."""
        intake, telemetry = self._intake, self._telemetry
        telemetry.readiness(self._health.unready())
        if self._decoders is not None:
            telemetry.decoders(alive=self._decoders.alive, busy=self._decoders.in_use)
        telemetry.waiting(sum(partition.held is not None for partition in intake.partitions.values()))
        for number, partition in intake.partitions.items():
            telemetry.in_flight(number, partition.load, partition.load_bytes)
            telemetry.lag(number, intake.lag(number))
        self._look_how_far_behind()

    def _look_how_far_behind(self) -> None:
        """A consumer that fetches nothing believes of the log's end what it last saw: no lag is no proof then."""
        intake, at_s = self._intake, self._clock()
        stopped = intake.paused if intake.halted is None else intake.partitions.keys()
        for number in {*intake.partitions, *intake.restoring, *intake.parked}:
            if number in intake.partitions and number not in stopped and intake.lag(number) == 0:
                self._behind.live(number, at_s)
            self._telemetry.behind(number, self._behind.seconds(number, at_s))

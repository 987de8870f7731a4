"""Listens to the intake."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from worker.console.live import Live
    from worker.telemetry import Telemetry
    from worker.telemetry.behind import Behind

log = structlog.get_logger()


class IntakeObserver:
    """Listens to the intake."""

    def __init__(self, telemetry: Telemetry, live: Live | None = None, *, behind: Behind | None = None) -> None:
        """Count in ``telemetry``; ``live`` is the console's, where there is one."""
        self._telemetry = telemetry
        self._live = live
        self._behind = behind

    def assigned(self, partitions: Collection[int]) -> None:
        """Note what the group gave us."""
        self._telemetry.rebalanced()
        self._telemetry.owned(len(partitions))
        if self._behind is not None:
            self._behind.given(partitions, time.time())
        log.info("assigned", partitions=sorted(partitions))

    def revoked(self, partitions: Collection[int]) -> None:
        """Note what the group took from us."""
        self._telemetry.owned(0)
        self._forget_live(partitions)
        if partitions:
            log.info("revoked", partitions=sorted(partitions))

    def lost(self, partition: int, why: str) -> None:
        """Note that a partition is taken again."""
        self._telemetry.lost()
        self._forget_live([partition])
        log.warning("partition lost, taking it again", partition=partition, why=why)

    def failing(self, partition: int, why: str) -> None:
        """Say that results do not leave."""
        log.error("results do not leave, nothing is committed, trying on", partition=partition, why=why)

    def restored(self, partition: int, seconds: float) -> None:
        """Note that a partition works."""
        self._telemetry.restored(seconds)
        log.info("partition works", partition=partition, after_s=round(seconds, 3))

    def paused(self, partitions: Collection[int]) -> None:
        """Note which partitions are held back."""
        self._telemetry.paused(len(partitions))

    def parked(self, why: Mapping[int, str]) -> None:
        """Say which partitions stand still."""
        self._telemetry.parked(len(why))
        for line in why.values():
            log.error("partition stands still", why=line)

    def halted(self, why: str) -> None:
        """Say that nothing more is taken in."""
        self._telemetry.tripped()
        log.error("intake stopped by the breaker", why=why)

    def _forget_live(self, partitions: Collection[int]) -> None:
        if self._live is not None:
            self._live.left(partitions)

"""What the intake tells of whole partitions; telemetry listens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


class IntakeObserver(Protocol):
    """Told of what happens to whole partitions."""

    def assigned(self, partitions: Collection[int]) -> None:
        """Note what the group gave us."""

    def revoked(self, partitions: Collection[int]) -> None:
        """Note what the group took from us."""

    def lost(self, partition: int, why: str) -> None:
        """Note that a partition is dropped, to be taken again."""

    def failing(self, partition: int, why: str) -> None:
        """Note that a partition's results could not leave again: nothing is committed, and it is tried on and on."""

    def restored(self, partition: int, seconds: float) -> None:
        """Note that a partition works."""

    def paused(self, partitions: Collection[int]) -> None:
        """Note which partitions are held back now."""

    def parked(self, why: Mapping[int, str]) -> None:
        """Note which partitions stand still until an operator says what holds, and why."""

    def halted(self, why: str) -> None:
        """Note that nothing more is taken in."""

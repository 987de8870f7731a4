"""Which partitions' results do not leave: taking one again proves nothing, for it brings none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.partition.life import Partition


class Setback(Struct, frozen=True):
    """A partition was lost while it had results to release, or work in hand."""

    why: str
    through: int
    """All that was consumed is below this offset."""


class Setbacks:
    """The last one of each partition, until its results leave again."""

    def __init__(self) -> None:
        """There is none."""
        self._last: dict[int, Setback] = {}

    def note(self, number: int, partition: Partition, why: str) -> bool:
        """Note that a partition was lost, if it owes anything; tell whether that is the second time in a row."""
        again = number in self._last and not self._is_over(number, partition)
        if partition.owes or again:
            through = max(partition.consumed_through, self._last[number].through if again else 0)
            self._last[number] = Setback(why=why, through=through)
        else:
            self.forget(number)
        return again

    def forget(self, number: int) -> None:
        """Know nothing of a partition that is somebody else's now."""
        self._last.pop(number, None)

    def whys(self, working: Mapping[int, Partition]) -> Mapping[int, str]:
        """Return why results of which partitions do not leave; ``working`` are those that were taken again."""
        for number in [n for n in self._last if n in working and self._is_over(n, working[n])]:
            self.forget(number)
        return {number: setback.why for number, setback in sorted(self._last.items())}

    def _is_over(self, number: int, partition: Partition) -> bool:
        """Tell whether results have left since, or all that was consumed then had its outcome after all."""
        return partition.delivered or partition.released_through >= self._last[number].through

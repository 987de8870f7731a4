"""What the intake needs of the group it is a member of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from worker.records import LogRange, Received


class Member(Protocol):
    """A member of the consumer group for the segments topic (``worker.kafka.member``)."""

    async def poll(self, timeout_s: float, most: int) -> Mapping[int, Sequence[Received]]:
        """Return what has come, by partition, in order."""

    def seek(self, partition: int, offset: int) -> None:
        """Go on from an offset. Raises PartitionLost when the partition is no longer ours."""

    def pause(self, partitions: Collection[int]) -> None:
        """Fetch nothing more of these."""

    def resume(self, partitions: Collection[int]) -> None:
        """Fetch these again."""

    def owned(self) -> frozenset[int]:
        """Return the partitions that the group has given us."""

    async def log(self, partition: int) -> LogRange:
        """Return which offsets the log holds."""

    async def behind(self, partitions: Collection[int]) -> Mapping[int, int]:
        """Return the positions of those for which the broker has more; nothing where it does not answer."""

    async def confirm(self, partition: int) -> None:
        """Return when the group says that the partition is still ours; else raise PartitionLost."""

    def lag(self, partition: int) -> int | None:
        """Return how many records the broker has that we have not; None when unknown."""

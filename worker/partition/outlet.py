"""What a partition needs of the broker. The real ones are in ``worker.kafka``; tests have one in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from worker.records import Message


class Outlet(Protocol):
    """Where one partition's results leave. It has one writer at a time.

    Each call may raise ``PartitionLost``: then what became of it is unknown and the outlet is good for nothing but
    ``close``.
    """

    async def open(self) -> int | None:
        """Fence the former owner, end its open transaction, and return the committed offset (None: there is none)."""

    def changelog(self) -> AsyncGenerator[tuple[bytes, bytes | None], None]:
        """Yield the partition's state records, oldest first; a value of None forgets its key."""

    async def release(self, messages: Sequence[Message], next_offset: int) -> None:
        """Let messages leave and commit ``next_offset``, the first offset that has no outcome yet: all or nothing."""

    async def close(self) -> None:
        """Give the outlet up, within a bound."""

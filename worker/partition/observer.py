"""What a partition tells of its life; telemetry listens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from datetime import datetime

    from worker.conclude import Conclusion
    from worker.records import Received


class Observer(Protocol):
    """Told of each thing once it is true: a result when the broker has acknowledged it."""

    def consumed(self, received: Received) -> None:
        """Note an event taken in, before anything was believed of it."""

    def released(self, received: Received, conclusion: Conclusion, now: datetime) -> None:
        """Note an event whose results and offset the broker has."""

    def releasing(self) -> AbstractContextManager[None]:
        """Time a release, and count it by how it ended."""

    def held(self, why: str) -> None:
        """Note that an event waits for something that is away."""

    def expired(self, events: int) -> None:
        """Note that retention deleted so many records before they were consumed: nobody watched them."""

    def abandoned(self, events: int) -> None:
        """Note that so many events in work were given up on a hand-over; they will be worked by the next owner."""

"""What a partition tells of its life; telemetry listens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from worker.conclude import Conclusion
    from worker.records import Message, Received
    from worker.streams.state import StreamState
    from worker.streams.store import Census


class Observer(Protocol):
    """Told of each thing once it is true: a result when the broker has acknowledged it."""

    def consumed(self, received: Received) -> None:
        """Note an event taken in, before anything was believed of it."""

    def released(self, received: Received, conclusion: Conclusion, now: datetime) -> None:
        """Note an event whose results and offset the broker has."""

    def releasing(self, messages: Sequence[Message]) -> AbstractContextManager[None]:
        """Time a release of these messages, and count it by how it ended."""

    def held(self, why: str) -> None:
        """Note that an event waits for something that is away."""

    def expired(self, events: int) -> None:
        """Note that retention deleted so many records before they were consumed: nobody watched them."""

    def moved(self, why: str) -> None:
        """Note that state, committed offset and log disagree, and that it goes on as an operator has said."""

    def searching(self, first: int, end: int) -> None:
        """Note that the last owner died with work in hand: offsets from ``first``, below ``end``, go one at a time."""

    def restoring(self, records: int) -> None:
        """Note that so many records of the changelog have been read, and that it goes on."""

    def took(self, with_incidents: Iterable[StreamState]) -> None:
        """Note a partition that was restored, with its streams that have an open incident."""

    def remembers(self, census: Census) -> None:
        """Note how many streams the partition remembers after a release, and how many it has let go."""

    def silent(self, conclusion: Conclusion) -> None:
        """Note what was told of a stream that nothing came from for long."""

    def abandoned(self, events: int) -> None:
        """Note that so many events in work were given up on a hand-over; they will be worked by the next owner."""

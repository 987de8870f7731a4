"""What events have led to, kept until a release takes it along."""

from __future__ import annotations

from msgspec import Struct

from worker.conclude import Conclusion
from worker.records import Message, Received


class Parcel(Struct, frozen=True):
    """What one release takes along."""

    messages: tuple[Message, ...]
    told: tuple[tuple[Received, Conclusion], ...]
    """The events that it is of: observers hear of them once the broker has it."""

    @property
    def size_bytes(self) -> int:
        """Bytes of the events' bodies."""
        return sum(size_bytes(received) for received, _ in self.told)


class Outbox:
    """A partition's conclusions that have not left yet."""

    def __init__(self) -> None:
        """It is empty."""
        self._messages: list[Message] = []
        self._told: list[tuple[Received, Conclusion]] = []

    def __len__(self) -> int:
        """Return how many events it is of."""
        return len(self._told)

    def put(self, received: Received, conclusion: Conclusion) -> None:
        """Keep what an event led to."""
        self._messages.extend(conclusion.messages)
        self._told.append((received, conclusion))

    def take(self) -> Parcel:
        """Return everything, and be empty."""
        parcel = Parcel(messages=tuple(self._messages), told=tuple(self._told))
        self._messages, self._told = [], []
        return parcel


def size_bytes(received: Received) -> int:
    """Return how many bytes a record's body keeps in memory."""
    return len(received.value or b"")

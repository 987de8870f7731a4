"""Whether the worker is alive, and whether it is ready: progress, not connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from worker.partition.life import Partition

STUCK_S = 60.0
"""The loop polls five times a second: a minute without a poll is no progress."""


class Watched(Protocol):
    """What health looks at (``worker.intake.Intake``)."""

    polls: int
    joined: bool

    @property
    def partitions(self) -> Mapping[int, Partition]:
        """The partitions that work."""

    @property
    def restoring(self) -> frozenset[int]:
        """The partitions that do not work yet."""


class Health:
    """Answers ``/livez`` and ``/readyz``: None when all is well, else one line that says why not."""

    def __init__(self, intake: Watched, clock: Callable[[], float]) -> None:
        """``clock`` gives monotonic seconds."""
        self._intake = intake
        self._clock = clock
        self._polls = -1
        self._polled_at = clock()

    def live(self) -> str | None:
        """Return why a restart would help, if it would: nothing has been polled for a minute."""
        at = self._clock()
        if self._intake.polls != self._polls:
            self._polls, self._polled_at = self._intake.polls, at
        stuck_s = at - self._polled_at
        return f"nothing was polled for {stuck_s:.0f} s" if stuck_s > STUCK_S else None

    def ready(self) -> str | None:
        """Return why this worker does not do its work now. One without partitions is ready."""
        if not self._intake.joined:
            return "has not joined its group yet"
        if restoring := self._intake.restoring:
            return f"restoring partitions {', '.join(map(str, sorted(restoring)))}"
        held = [(number, partition.held) for number, partition in self._intake.partitions.items() if partition.held]
        return "; ".join(f"partition {number} is held: {why}" for number, why in held) or None

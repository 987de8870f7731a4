"""What is wrong with a hash list, gathered so that all of it is told at once."""

from __future__ import annotations

from dataclasses import dataclass, field

from worker.errors import UsageError

MOST_TOLD = 20


@dataclass(slots=True)
class Mistakes:
    """A bounded gathering of ``file:line: what is wrong``. Callers never put a hash into one."""

    told: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, where: object, line: int | None, what: str) -> None:
        """Count one mistake, and keep it if it is among the first."""
        self.count += 1
        if len(self.told) < MOST_TOLD:
            place = f"{where}:{line}" if line is not None else f"{where}"
            self.told.append(f"{place}: {what}")

    def raise_any(self) -> None:
        """Raise UsageError with one line a mistake if there is any, else return."""
        if not self.count:
            return
        more = self.count - len(self.told)
        raise UsageError("\n".join([*self.told, *([f"and {more} more"] if more else [])]))

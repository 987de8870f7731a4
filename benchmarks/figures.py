"""The arithmetic: repeated measurements to medians, spreads and paired ratios. Pure, and tested."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Measure = Callable[[], Mapping[str, float]]
    """Does something once; what it took, by name."""


class Figure(Struct, frozen=True, kw_only=True):
    """A median with its spread."""

    median: float
    mad: float
    """Median absolute deviation from the median."""
    count: int


def figure(values: Sequence[float]) -> Figure:
    """Return the median of some values with its spread.

    Raises:
        ValueError: There are none.
    """
    if not values:
        raise ValueError("there is nothing to take a median of")
    middle = median(values)
    return Figure(median=middle, mad=median(abs(value - middle) for value in values), count=len(values))


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Return the ratio of each pair that was measured in the same round: what slows both cancels out.

    Raises:
        ValueError: They are not as many, or one of ``below`` is not above 0.
    """
    if any(value <= 0 for value in below):
        raise ValueError("nothing can be held against a floor of 0")
    return [a / b for a, b in zip(above, below, strict=True)]


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that ``share`` of all values do not exceed (nearest rank: no value is made up).

    Raises:
        ValueError: There are no values, or ``share`` is not within 0 (exclusive) to 1.
    """
    if not values or not 0 < share <= 1:
        raise ValueError("a percentile needs values, and a share above 0 and up to 1")
    ordered = sorted(values)
    rank = -(-len(ordered) * round(share * 10_000) // 10_000)
    return ordered[rank - 1]


def interleaved(measures: Sequence[Measure], rounds: int) -> dict[str, list[float]]:
    """Take each measurement once a round; every other round runs backwards, so that a drift favours nobody."""
    taken: dict[str, list[float]] = {}
    for number in range(rounds):
        for measure in measures[:: -1 if number % 2 else 1]:
            for name, value in measure().items():
                taken.setdefault(name, []).append(value)
    return taken

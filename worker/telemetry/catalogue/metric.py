"""What a metric is, and the few words that all of them share."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

OTHER = "other"
"""What a label says whose value is not in its list: bounded, and visible."""

FAST_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SLOW_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0)
PROBABILITIES = (0.01, 0.1, 0.5, 0.9, 0.99, 1.0)

PARTITIONS = "the partitions of the segments topic that this process has"

Values = tuple[tuple[str, ...], ...]
"""Every combination of label values that a metric can have."""


class Metric(Struct, frozen=True, kw_only=True):
    """One metric as Prometheus sees it."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    unit: str
    """What one of it is: ``seconds`` and ``bytes`` are in the name too; a timestamp is in Unix seconds."""
    meaning: str
    action: str
    """What to do about it: when it is odd, and what helps then."""
    labels: tuple[str, ...] = ()
    values: Values = ()
    """Every combination of the labels' values, in their order; empty where ``bound`` says what bounds them."""
    bound: str = ""
    """What bounds the labels' values where they are not known beforehand."""
    buckets: tuple[float, ...] = ()


def one(*values: str) -> Values:
    """Return the combinations of a single label's values."""
    return tuple((value,) for value in values)

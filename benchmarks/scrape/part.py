"""What a scrape of /metrics takes beside live streams, and what metrics cost a segment."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from msgspec import Struct

from benchmarks.figures import Figure, figure, percentile
from benchmarks.part import Bound, Check, Part, no_plots
from benchmarks.scrape.watching import PARTITIONS, Watching, scrapes
from benchmarks.tables import spread, table

if TYPE_CHECKING:
    from benchmarks.part import Run

STREAMS, QUICK_STREAMS = 10_000, 1000
SCRAPES, QUICK_SCRAPES = 500, 30
PER_S = 1000
"""Segments a second beside it."""


class Scrape(Struct, frozen=True, kw_only=True):
    """One run."""

    streams: int
    partitions: int
    per_s: int
    size_bytes: int
    """Of an answer."""
    took_ms: Figure
    """By the clock."""
    p99_ms: float
    worst_ms: float
    observing_us: Figure
    """CPU of observing a segment."""


BOUND = Bound(
    value="a scrape, p99",
    limit=50,
    kind="speed",
    unit="ms",
    why="it holds the event loop meanwhile, beside 10,000 streams",
)


def measure(run: Run) -> Scrape:
    """Tell of a segment of each stream, and scrape while more of them pass."""
    streams, count = (QUICK_STREAMS, QUICK_SCRAPES) if run.quick else (STREAMS, SCRAPES)
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # new streams are told of
    try:
        watching = Watching(streams)
        took_ms, size_bytes = asyncio.run(scrapes(watching, count, PER_S))
    finally:
        logging.disable(before)
    return Scrape(
        streams=streams,
        partitions=PARTITIONS,
        per_s=PER_S,
        size_bytes=size_bytes,
        took_ms=figure(took_ms),
        p99_ms=percentile(took_ms, 0.99),
        worst_ms=max(took_ms),
        observing_us=figure([seconds * 1e6 for seconds in watching.observing_s]),
    )


def checks(result: Scrape) -> tuple[Check, ...]:
    """Return the bound with what was measured."""
    return (Check(bound=BOUND, measured=result.p99_ms),)


def text(result: Scrape) -> str:
    """Return everything that was measured, as Markdown."""
    head = ("streams", "partitions", "segments/s", "kB", "ms", "p99", "worst", "observing a segment, us of CPU")
    row = (
        f"{result.streams:,}",
        str(result.partitions),
        str(result.per_s),
        f"{result.size_bytes / 1000:.0f}",
        spread(result.took_ms),
        f"{result.p99_ms:.1f}",
        f"{result.worst_ms:.1f}",
        spread(result.observing_us),
    )
    told = (
        "A worker's observers, console and web server, told of so many segments a second; nothing is decoded. By the\n"
    )
    return f"{told}clock, over HTTP on this machine, what the client takes included.\n\n{table(head, [row])}"


PART = Part(
    name="scrape",
    title="A scrape of /metrics",
    result=Scrape,
    measure=measure,
    checks=checks,
    text=text,
    plots=no_plots,
)

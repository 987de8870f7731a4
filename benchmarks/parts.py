"""All parts, in the order in which docs/benchmarks.md tells them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.load import part as load
from benchmarks.memory import part as memory
from benchmarks.peers import part as peers
from benchmarks.safety import part as safety
from benchmarks.scale import part as scale
from benchmarks.scrape import part as scrape
from benchmarks.stages import part as stages

if TYPE_CHECKING:
    from benchmarks.part import Part

PARTS: tuple[Part[Any], ...] = (
    stages.PART,
    peers.PART,
    load.PART,
    scale.PART,
    safety.PART,
    memory.PART,
    scrape.PART,
)

"""The metrics of one process."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from worker import __version__
from worker.telemetry.partitions import OfPartitions
from worker.telemetry.process import OfProcess
from worker.telemetry.segments import OfSegments

if TYPE_CHECKING:
    from collections.abc import Callable


class Telemetry(OfSegments, OfPartitions, OfProcess):
    """Counts what happened. Not thread-safe beyond what Prometheus' client is."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        """``monotonic`` gives seconds; what has not happened yet is there as 0."""
        super().__init__(monotonic)
        self._set("framewatch_build_info", 1, __version__)

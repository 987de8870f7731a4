"""``framewatch demo``: joins broker, worker, platform, audience and screen; ends with a summary and a verdict."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import sys
import tempfile
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from rich.console import Console
from rich.live import Live
from rich.text import Text

from worker import topics
from worker.demo import encode, show
from worker.demo.audience import Audience
from worker.demo.ledger import Ledger
from worker.demo.library import library
from worker.demo.platform import Platform
from worker.demo.processes import embedded_broker, worker_process
from worker.demo.streams import STREAMS_AT_LEAST, cast, story
from worker.demo.summary import Speed, summarise
from worker.errors import Stopped, UsageError
from worker.kafka import admin
from worker.kafka.publisher import publisher
from worker.settings.load import Loaded
from worker.settings.show import as_toml
from worker.settings.tree import Escalation, Fetch, Kafka, Log, Matching, Scoring, Settings, Topics, Web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from worker.demo.processes import WorkerProcess
    from worker.demo.streams import Stream
    from worker.demo.summary import Summary

PARTITIONS = 6
MOST_STREAMS = 100
SHORTEST_S = 10.0
DRAIN_S = 20.0
"""How long the outcomes of the last segments are waited for."""
FRAMES_PER_S = 4
PLAIN_EVERY_S = 5.0
BROKER_VARIABLE = "KAFKA_BOOTSTRAP_SERVERS"
LIST_TOML = """\
name = "demo-clips"
version = "1"
algorithm = "pdq"
radius = 31
kind = "block"
severity = "critical"
source = "made by the demo of its own harmless clip"
"""


class Options(Struct, frozen=True, kw_only=True):
    """What a person may choose."""

    seconds: float = 60.0
    streams: int = 12
    keep: bool = False
    svg: Path | None = None

    def check(self) -> None:
        """Raise UsageError unless it can be played."""
        wrong = []
        if not SHORTEST_S <= self.seconds <= 86_400:  # noqa: PLR2004 - a day
            wrong.append(f"--seconds is from {SHORTEST_S:.0f} to 86400")
        if not STREAMS_AT_LEAST <= self.streams <= MOST_STREAMS:
            wrong.append(f"--streams is from {STREAMS_AT_LEAST} to {MOST_STREAMS}")
        if wrong:
            raise UsageError("\n".join(wrong))


def demo(options: Options) -> int:
    """Play the show, and return the exit status: 0 when all was as expected, 1 otherwise.

    Raises:
        UsageError: A mistake in the options.
        Stopped: Broker or worker does not start, or ended by itself.
    """
    options.check()
    return asyncio.run(Show(options, Console(highlight=False)).play())

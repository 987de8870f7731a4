"""A worker with something taken out of it, in a process of its own: only here, no setting does any of this.

It is ``framewatch run`` with another ``Worker``: what is taken out is replaced after the composition root has built it.
"""
# ruff: noqa: SLF001 - it reaches into what it takes apart

from __future__ import annotations

import asyncio
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from worker import app
from worker.cli.main import main as command_line
from worker.cores import cores
from worker.examine import examine
from worker.kafka import clients
from worker.kafka.outlets import TransactionalOutlet
from worker.partition.memory import Memory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AsyncExitStack

    from aiokafka import AIOKafkaConsumer

    from worker.assess import Assessor
    from worker.partition.desk import Desk
    from worker.partition.life import Partition
    from worker.partition.outlet import Outlet
    from worker.records import Ask, Media, Message, Sample
    from worker.settings.tree import Settings
    from worker.streams.store import Silent


class Without(Struct, frozen=True, kw_only=True):
    """What is taken out."""

    jail: bool = False
    """Segments are decoded in threads of the worker."""
    snapshots: bool = False
    """Nothing is written to the risk topic, no snapshot is made."""
    acknowledgement: bool = False
    """The offset is sent without waiting until the broker has a release's records."""
    releases: str = ""
    """File for how long each release took, seconds by the clock, a line each; empty: nobody looks."""


def main(plan: bytes) -> None:
    """Be that worker; its settings are in the environment."""
    without = msgspec.json.decode(plan, type=Without)

    class Lessened(app.Worker):
        async def _assessor(self, closing: AsyncExitStack) -> Assessor:
            assessor = await super()._assessor(closing)
            if without.jail:
                assessor._decoder = _InThreads()
            return assessor

        def _partition(self, number: int, desk: Desk, consumer: AIOKafkaConsumer) -> Partition:
            partition = super()._partition(number, desk, consumer)
            _lessen(partition, without, self._settings, number, consumer)
            return partition

    app.Worker = Lessened  # type: ignore[misc]
    sys.exit(command_line(["run"]))


def _lessen(
    partition: Partition, without: Without, settings: Settings, number: int, consumer: AIOKafkaConsumer
) -> None:
    if without.snapshots:
        partition._memory = _Forgetful(topic=settings.topics.risk, partition=number, on_rewind="keep")
    if without.acknowledgement:
        partition._outlet = _Hasty(settings.kafka, settings.topics, number, consumer)
    if without.releases:
        partition._outlet = _Timed(partition._outlet, Path(without.releases))


class _InThreads:
    """Decodes where secrets are."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(cores(), thread_name_prefix="decode")

    async def sample(self, media: Media, ask: Ask) -> Sample:
        """What is in the segment."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, examine, media.data, media.init, ask)


class _Forgetful(Memory):
    """Remembers streams as long as the process lives."""

    def silent(self, busy: object) -> Iterator[Silent]:  # noqa: ARG002
        """Nobody: nothing is packed, so nobody's silence is known."""
        yield from ()

    def take_changes(self, next_offset: int, mark: object = None) -> list[Message]:  # noqa: ARG002
        """Nothing to write; what is done is forgotten all the same."""
        self._done = {offset for offset in self._done if offset >= next_offset}
        return []


class _Hasty(TransactionalOutlet):
    """Waits once instead of twice."""

    async def release(self, messages: Sequence[Message], next_offset: int) -> None:
        """Commit one transaction; a record that the broker refuses goes unnoticed."""
        producer = self._open_producer
        await producer.begin_transaction()
        sent = await clients.send(producer, messages)
        await producer.send_offsets_to_transaction({self._segments: next_offset}, self._kafka.group_id)
        await producer.commit_transaction()
        if sent:
            await asyncio.wait(sent)


class _Timed:
    """Another outlet, and a clock."""

    def __init__(self, outlet: Outlet, file: Path) -> None:
        self._outlet = outlet
        self._file = file
        self.open, self.changelog, self.close = outlet.open, outlet.changelog, outlet.close

    async def release(self, messages: Sequence[Message], next_offset: int) -> None:
        """Release, and write down how long it took."""
        started = time.perf_counter()
        await self._outlet.release(messages, next_offset)
        with self._file.open("a") as lines:
            lines.write(f"{time.perf_counter() - started}\n")

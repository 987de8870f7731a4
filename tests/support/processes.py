"""Workers as processes of their own, so that they can be killed, stopped and told to end."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import asynccontextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import signal
    from collections.abc import AsyncIterator

    from support.deployment import Deployment

    from worker.settings.tree import Settings

ROOT = Path(__file__).parents[2]
STARTS_WITHIN_S = 60.0


class WorkerProcess:
    """``python -m worker run`` with a deployment's settings; what it logs is kept."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.log: list[str] = []
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, deployment: Deployment, *command: str) -> Self:
        """Start one, or what ``command`` names instead of the real one; it works a little later."""
        return cls(
            await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", *(command or ("worker", "run"))),
                cwd=ROOT,
                env=os.environ | {"PYTHONPATH": str(ROOT / "tests")} | _environment(deployment.settings),
                stderr=asyncio.subprocess.PIPE,
            )
        )

    async def says(self, words: str, *, times: int = 1) -> None:
        """Wait until that many lines of its log have these words."""
        async with asyncio.timeout(STARTS_WITHIN_S):
            while sum(words in line for line in self.log) < times:
                assert not self._reading.done(), f"it ended: {self.log[-5:]}"
                await asyncio.sleep(0.02)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    async def end(self) -> int:
        """Wait for its end and return its status."""
        status = await self._process.wait()
        await self._reading
        return status

    async def kill(self) -> None:
        """End it as a power cut would."""
        if self._process.returncode is None:
            self._process.kill()
        await self.end()

    async def _read(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            self.log.append(line.decode(errors="replace").rstrip())


@asynccontextmanager
async def processes(deployment: Deployment, count: int) -> AsyncIterator[list[WorkerProcess]]:
    """So many workers that have joined their group; killed on the way out if they still run."""
    workers = [await WorkerProcess.start(deployment) for _ in range(count)]
    try:
        for worker in workers:
            await worker.says("worker started")
        yield workers
    finally:
        for worker in workers:
            await worker.kill()


def _environment(settings: Settings) -> dict[str, str]:
    """What differs from the defaults, as environment variables."""
    default = type(settings)()
    found = {"FRAMEWATCH_JAIL_PROCESSES": "1", "FRAMEWATCH_SCORING_THREADS": "1"}
    for section in fields(settings):
        mine, theirs = getattr(settings, section.name), getattr(default, section.name)
        for key in fields(mine):
            if (value := getattr(mine, key.name)) != getattr(theirs, key.name):
                text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
                found[f"FRAMEWATCH_{section.name}_{key.name}".upper()] = text
    return found

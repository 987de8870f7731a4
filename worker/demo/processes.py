"""The demo's two child processes: the embedded broker, and the worker as it runs in production.

Each has a session of its own, so that Ctrl-C at the terminal reaches the demo only, which ends them in good order.
-P: they are what is installed, not what lies in the folder where somebody stands.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp

from worker.errors import Stopped
from worker.settings.rows import PREFIX

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

READY_WITHIN_S = 60.0
ENDS_WITHIN_S = 30.0
ASK_AGAIN_S = 0.1
TAIL_LINES = 12
_OWNED = re.compile(r"^framewatch_partitions_owned (\d+)", re.MULTILINE)


@asynccontextmanager
async def embedded_broker(topics: Mapping[str, int]) -> AsyncIterator[str]:
    """Serve topics (name to partitions) and give the bootstrap address.

    Raises:
        Stopped: It does not start, in its own words.
    """
    pairs = ",".join(f"{name}:{partitions}" for name, partitions in topics.items())
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "worker.demo.broker", "--topics", pairs),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdin is not None  # noqa: S101 - asked for above
    assert process.stdout is not None  # noqa: S101 - asked for above
    try:
        address = (await process.stdout.readline()).decode().strip()
        if not address:
            _, told = await process.communicate()
            raise Stopped(f"the embedded broker does not start: {told.decode(errors='replace').strip()}")
        yield address
    finally:
        process.stdin.close()  # it serves until then
        await _gone(process)


class WorkerProcess:
    """``framewatch run`` with a settings file; made by ``worker_process``."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path, port: int) -> None:
        """``port`` is where it answers over HTTP."""
        self._process = process
        self._log = log
        self._asked_to_end = False
        self.metrics = f"http://127.0.0.1:{port}/metrics"

    async def works(self, partitions: int) -> None:
        """Return when it owns so many partitions and is ready. Raises Stopped when that takes too long."""
        try:
            async with asyncio.timeout(READY_WITHIN_S), aiohttp.ClientSession() as session:
                while not await self._ready(session, partitions):  # noqa: ASYNC110 - another process: no event to wait for
                    await asyncio.sleep(ASK_AGAIN_S)
        except TimeoutError:
            raise Stopped(f"the worker is not ready after {READY_WITHIN_S:.0f} s\n{self._tail()}") from None

    async def ended(self) -> None:
        """Wait for its end, and raise Stopped if nobody has asked for it."""
        status = await self._process.wait()
        if not self._asked_to_end:
            raise Stopped(f"the worker has ended with status {status}\n{self._tail()}")

    async def end(self) -> int:
        """Ask it to end as an orchestrator would, wait, and return its exit status."""
        self._asked_to_end = True
        if self._process.returncode is None:
            self._process.terminate()
        return await _gone(self._process)

    def cpu_s(self) -> float | None:
        """Seconds of CPU that it and its decoders took so far; None where there is no /proc to read that from."""
        return cpu_s(self._process.pid)

    async def _ready(self, session: aiohttp.ClientSession, partitions: int) -> bool:
        try:
            async with session.get(self.metrics) as response:
                owned = _OWNED.search(await response.text())
            async with session.get(self.metrics.replace("/metrics", "/readyz")) as response:
                return response.ok and owned is not None and int(owned[1]) == partitions
        except aiohttp.ClientError:
            return False  # it does not listen yet

    def _tail(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        return "\n".join([f"the end of its log, {self._log}:", *lines])


@asynccontextmanager
async def worker_process(config: Path, log: Path, port: int) -> AsyncIterator[WorkerProcess]:
    """Run a worker; it is gone when the context ends. Settings come from ``config`` alone."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    with log.open("wb") as to:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "worker", "run", "--config", str(config)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=to,
            stderr=to,
            env=environment,
            start_new_session=True,
        )
    worker = WorkerProcess(process, log, port)
    try:
        yield worker
    finally:
        await worker.end()


async def _gone(process: asyncio.subprocess.Process) -> int:
    """Wait for a process's end; end the whole session the hard way when it takes too long."""
    try:
        async with asyncio.timeout(ENDS_WITHIN_S):
            return await process.wait()
    except (TimeoutError, asyncio.CancelledError):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        return await process.wait()


def cpu_s(pid: int, proc: Path = Path("/proc")) -> float | None:
    """Return seconds of CPU, user and system, of a process and all its descendants, ended ones included.

    Fields 4, 14 to 17 of /proc/PID/stat (proc(5)); None where there is no such file.
    """
    if not (proc / str(pid) / "stat").exists():
        return None
    parents, ticks = {}, {}
    for path in proc.glob("[0-9]*/stat"):
        with suppress(OSError):
            _, _, rest = path.read_text().rpartition(")")
            fields = rest.split()
            own = int(path.parent.name)
            parents[own], ticks[own] = int(fields[1]), sum(map(int, fields[11:15]))
    total = sum(ticks[one] for one in ticks if _descends(one, pid, parents))
    return total / os.sysconf("SC_CLK_TCK")


def _descends(one: int, ancestor: int, parents: Mapping[int, int]) -> bool:
    while one in parents:
        if one == ancestor:
            return True
        one = parents[one]
    return False

"""Several workers of one deployment, each a process: killed, restarted, frozen, joined and told to leave by number."""

from __future__ import annotations

import asyncio
import itertools
import signal
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import msgspec
from support.faults.vitals import Born, born, descendants, is_alive
from support.processes import WorkerProcess

from worker.settings.tree import Settings

if TYPE_CHECKING:
    from support.deployment import Deployment

STARTED = "worker started"
WORKS = "partition works"
PATIENCE_S = 60.0
SHOWN_LINES = 15


@dataclass(frozen=True)
class _Member:
    """As much of a deployment as a process is started from."""

    settings: Settings


class Fleet:
    """Workers by number, from 0. All are killed on the way out; a failing test shows the ends of their logs.

    Args:
        deployment: Whose settings they run with.
        size: How many at first.
        static: Whether each has an instance id of its own that it keeps over restarts.
        through: Bootstrap address that the workers use instead of the deployment's, such as a proxy's.
        command: What runs instead of the real worker, such as ``support.poisoned``.
    """

    def __init__(
        self,
        deployment: Deployment,
        size: int,
        *,
        static: bool = True,
        through: str | None = None,
        command: tuple[str, ...] = (),
    ) -> None:
        self._settings = deployment.settings
        self._size = size
        self._static = static
        self._through = through
        self._command = command
        self._numbers = itertools.count()
        self._workers: dict[int, WorkerProcess] = {}
        self._before: dict[int, list[list[str]]] = {}
        self._bereft: set[Born] = set()

    async def __aenter__(self) -> Self:
        try:
            await asyncio.gather(*(self.join() for _ in range(self._size)))
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        await self._end()
        if kind is not None:
            self._show()

    @property
    def running(self) -> list[int]:
        """Those that were started and not killed or told to leave; a frozen one counts."""
        return sorted(self._workers)

    def worker(self, number: int) -> WorkerProcess:
        """One that runs."""
        return self._workers[number]

    def pid(self, number: int) -> int:
        """Its process id."""
        return self._workers[number].pid

    def log(self, number: int) -> list[str]:
        """All lines of one, those of its earlier lives first."""
        now = self._workers.get(number)
        return [line for life in (*self._before.get(number, []), now.log if now else []) for line in life]

    def working(self, number: int) -> set[int]:
        """The partitions that one works, as far as it has said; a frozen one says nothing new."""
        found: set[int] = set()
        for line in self._workers[number].log:
            told = msgspec.json.decode(line) if line.startswith("{") else {}
            if told.get("event") in ("assigned", "revoked"):
                found = set()
            elif told.get("event") == WORKS:
                found.add(told["partition"])
        return found

    async def share(self, partitions: int, *numbers: int) -> None:
        """Wait until these (all that run, unless named) work all partitions between them, each one of them."""
        everything = list(range(partitions))
        async with asyncio.timeout(PATIENCE_S):
            while True:
                sets = [self.working(number) for number in numbers or self.running]
                if all(sets) and sorted(one for each in sets for one in each) == everything:
                    return
                await asyncio.sleep(0.05)

    async def join(self, *, wait: bool = True) -> int:
        """Start one more and return its number; when it has started, unless told not to wait."""
        number = next(self._numbers)
        await self._start(number, wait=wait)
        return number

    async def kill(self, number: int) -> None:
        """End it as a power cut would."""
        worker = self._workers.pop(number)
        self._before.setdefault(number, []).append(worker.log)
        self._bereft.update(process for pid in descendants(worker.pid) if (process := born(pid)) is not None)
        await worker.kill()

    def orphans(self) -> list[int]:
        """Processes that killed workers had started and that live on: decoders are to die with their worker."""
        return [process.pid for process in sorted(self._bereft) if is_alive(process)]

    async def restart(self, number: int, *, wait: bool = True) -> None:
        """Start one again that was killed or has left, with the same instance id where it has one."""
        assert number not in self._workers, f"worker {number} runs"
        await self._start(number, wait=wait)

    async def leave(self, number: int) -> float:
        """Tell it to end in good order and return how long that took, in seconds."""
        worker = self._workers.pop(number)
        self._before.setdefault(number, []).append(worker.log)
        began = time.monotonic()
        worker.signal(signal.SIGTERM)
        status = await worker.end()
        assert status == 0, "\n".join([f"worker {number} ended with {status}", *worker.log[-SHOWN_LINES:]])
        return time.monotonic() - began

    def freeze(self, number: int) -> None:
        """Stop its clock: it is there and does nothing."""
        self._workers[number].signal(signal.SIGSTOP)

    def thaw(self, number: int) -> None:
        """Let a frozen one go on."""
        self._workers[number].signal(signal.SIGCONT)

    async def _start(self, number: int, *, wait: bool) -> None:
        kafka = self._settings.kafka
        kafka = replace(
            kafka,
            instance_id=f"{kafka.group_id}-{number}" if self._static else "",
            bootstrap_servers=self._through or kafka.bootstrap_servers,
        )
        worker = await WorkerProcess.start(_Member(replace(self._settings, kafka=kafka)), *self._command)
        self._workers[number] = worker
        if wait:
            await worker.says(STARTED)

    async def _end(self) -> None:
        for number in self.running:
            await self.kill(number)

    def _show(self) -> None:
        for number, lives in self._before.items():
            for life in lives:
                print(f"--- worker {number}", *life[-SHOWN_LINES:], sep="\n")  # noqa: T201 - pytest shows it

"""The processes of a measurement, each on its cores: workers as ``framewatch run`` starts them, and helpers of ours."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from benchmarks.rig.cores import on
from worker.settings.rows import describe, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmarks.rig.cores import Cores
    from worker.settings.tree import Settings

CHILD = Path(__file__).with_name("child.py")
OURS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
"""Set for the benchmarks' own process; nobody sets them for a worker."""
ENDS_WITHIN_S = 10.0


class Process(NamedTuple):
    """A process that runs."""

    what: str
    popen: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.popen.pid

    def raise_if_ended(self) -> None:
        """Raise RuntimeError with the end of its log if it is no more."""
        if self.popen.poll() is not None:
            raise RuntimeError(f"the {self.what} ended with {self.popen.returncode}:\n{self.told()}")

    def wait(self, within_s: float) -> None:
        """Wait for its good end. Raises RuntimeError where it ends otherwise, TimeoutExpired where it does not."""
        if self.popen.wait(within_s) != 0:
            self.raise_if_ended()

    def told(self, lines: int = 30) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


@contextmanager
def worker(settings: Settings, folder: Path, *, cores: Cores | None = None, name: str = "worker") -> Iterator[Process]:
    """Run ``framewatch run`` with these settings; it works a little later. Drained when the block ends."""
    command = ["-P", "-m", "worker", "run"]
    ends_s = settings.shutdown.grace_s + ENDS_WITHIN_S
    with started(name, command, folder, cores=cores, environ=environment(settings), ends_within_s=ends_s) as process:
        yield process


@contextmanager
def workers(settings: Settings, folder: Path, count: int, *, cores: Cores | None = None) -> Iterator[list[Process]]:
    """So many workers in one group, all on the same cores."""
    with ExitStack() as closing:
        yield [
            closing.enter_context(worker(settings, folder, cores=cores, name=f"worker-{number}"))
            for number in range(count)
        ]


@contextmanager
def helper(module: str, plan: msgspec.Struct, folder: Path, *, cores: Cores | None = None) -> Iterator[Process]:
    """Run a module's ``main`` with a plan in a process of its own (``child.py``)."""
    what = module.rpartition(".")[2]
    file = folder / f"{what}.json"
    file.write_bytes(msgspec.json.encode(plan))
    with started(what, ["-P", str(CHILD), module, str(file)], folder, cores=cores) as process:
        yield process


@contextmanager
def started(
    what: str,
    arguments: Sequence[str],
    folder: Path,
    *,
    cores: Cores | None = None,
    environ: Mapping[str, str] | None = None,
    ends_within_s: float = ENDS_WITHIN_S,
    python: str = sys.executable,
) -> Iterator[Process]:
    """Start a Python on some cores; end it with the block, by force if it does not end by itself."""
    log = folder / f"{what}.log"
    with log.open("wb") as out, on(cores):
        popen = subprocess.Popen(
            [python, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env={name: value for name, value in os.environ.items() if name not in OURS} | dict(environ or {}),
        )
    try:
        yield Process(what, popen, log)
    finally:
        popen.terminate()
        try:
            popen.wait(ends_within_s)
        except subprocess.TimeoutExpired:
            popen.kill()
            popen.wait()


def environment(settings: Settings) -> dict[str, str]:
    """Settings as environment variables, those that differ from the defaults."""
    found = {}
    for row in describe():
        value = getattr(getattr(settings, row.section), row.key)
        if value != row.default:
            found[row.variable] = msgspec.json.encode(value).decode() if isinstance(value, tuple) else shown(value)
    return found

"""The rehearsal: a child process opens the graph and runs the examples before the worker opens the same bytes.

A graph can fold constants for hours, take all memory, or crash onnxruntime: that shall cost the child, not the worker.
It is no jail: the child has an empty environment, no descriptor of ours, and limits of time, memory and files, but may
use the network and read what the worker may. A model that takes over what loads it would take over the worker, too,
since the worker opens it next; against that only the digest of a model that somebody vouches for helps.
"""

from __future__ import annotations

import math
import os
import resource
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

import msgspec

from worker.scoring import graph as graph_file
from worker.scoring.judgement import Judgement, judge
from worker.scoring.mistakes import MOST_TOLD, Mistake, one_line
from worker.scoring.providers import Engine, engine, environment

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from worker.settings.tree import Scoring

OUT_OF_MEMORY_STATUS = 12
"""Exit status of a child that had no memory left even for its answer (ENOMEM)."""
ANSWER_MAX_BYTES = 1024 * 1024
LINE_MAX = 600
OPEN_FILES = 32
OPEN_FILES_CUDA = 1024
"""CUDA opens its devices many times over."""
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""The child's whole environment, but for what CUDA needs of ours."""
_BOOT = "import sys; sys.path[:] = sys.argv[1:]; from worker.scoring.rehearsal import main; main()"


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """The first line that the child reads; the files' bytes follow it."""

    sizes: dict[str, int]
    """The files in the order of their bytes."""
    engine: Engine
    batch: int
    load_deadline_s: float


def rehearsed(files: Mapping[str, bytes], limits: Scoring) -> Judgement:
    """Has a child process judge the files of a model folder; returns within the deadline whatever they are.

    Args:
        files: Those that could be read, by their names in the folder.
        limits: How long it may take, and how much memory. What the child answers is bounded, too.
    """
    order = Order(
        sizes={name: len(data) for name, data in files.items()},
        engine=engine(limits),
        batch=limits.batch,
        load_deadline_s=limits.load_deadline_s,
    )
    process = subprocess.Popen(  # noqa: S603 - this interpreter, with arguments of our own
        [sys.executable, "-I", "-B", "-c", _BOOT, *(os.path.realpath(folder) for folder in sys.path if folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=ENVIRONMENT | environment(limits.provider, os.environ),
        cwd="/",
        start_new_session=True,
    )
    assert process.stdin is not None  # noqa: S101 - for the type checker: it is a pipe
    assert process.stdout is not None  # noqa: S101 - the same
    late = threading.Event()
    watch = threading.Timer(limits.load_deadline_s, _end, [process, late])
    parts = [msgspec.json.encode(order), b"\n", *files.values()]
    feeder = threading.Thread(target=_feed, args=(process.stdin, parts), daemon=True)
    watch.start()
    feeder.start()
    with process.stdout as answers:
        answer = answers.read(ANSWER_MAX_BYTES + 1)
    status = _reaped(process, watch, feeder)
    return _said(answer) if status == 0 else Judgement(mistakes=(_death(status, limits, late=late.is_set()),))


def main() -> None:
    """Be the child: reads the order and the files from standard input, writes a Judgement to standard output."""
    order = msgspec.json.decode(sys.stdin.buffer.readline(ANSWER_MAX_BYTES), type=Order)
    files = {name: sys.stdin.buffer.read(size) for name, size in order.sizes.items()}
    answers = os.dup(1)
    os.dup2(2, 1)  # what a library prints is no answer
    try:
        _limit(order)
        answer = msgspec.json.encode(judge(files, order.engine, order.batch))
    except MemoryError:
        os._exit(OUT_OF_MEMORY_STATUS)
    with os.fdopen(answers, "wb") as pipe:
        pipe.write(answer)
    os._exit(0)  # whatever the graph has left behind is not asked again


def _limit(order: Order) -> None:
    def limit(what: int, value: int) -> None:
        resource.setrlimit(what, (value, value))

    limit(resource.RLIMIT_CORE, 0)
    limit(resource.RLIMIT_FSIZE, 0)
    limit(resource.RLIMIT_NOFILE, OPEN_FILES_CUDA if order.engine.provider == "cuda" else OPEN_FILES)
    limit(resource.RLIMIT_CPU, math.ceil(order.load_deadline_s) + 1)  # should the worker be gone by then
    # CUDA reserves addresses for all memory there is, the host's and the devices': it could not start below a limit.
    if sys.platform == "linux" and order.engine.provider != "cuda":
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        limit(resource.RLIMIT_AS, pages * resource.getpagesize() + order.engine.memory_bytes)


def _feed(pipe: IO[bytes], parts: Iterable[bytes]) -> None:
    with suppress(OSError), pipe:  # the child's end says why it did not read on
        for part in parts:
            pipe.write(part)


def _end(process: subprocess.Popen[bytes], late: threading.Event) -> None:
    late.set()
    process.kill()


def _reaped(process: subprocess.Popen[bytes], watch: threading.Timer, feeder: threading.Thread) -> int:
    """Its status; one that closed its answer and lives on is ended by the watch."""
    status = process.wait()
    watch.cancel()
    feeder.join()
    return status


def _said(answer: bytes) -> Judgement:
    """What the child says, as if a stranger had said it."""
    try:
        judged = msgspec.json.decode(answer, type=Judgement)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return Judgement(mistakes=(Mistake(graph_file.FILE, None, "loading it gave no answer that can be read"),))
    mistakes = tuple(
        Mistake(one_line(mistake.file, 40), mistake.line, one_line(mistake.text, LINE_MAX))
        for mistake in judged.mistakes[:MOST_TOLD]
    )
    rehearsal = judged.rehearsal
    if rehearsal is not None and rehearsal.unbatched is not None:
        rehearsal = msgspec.structs.replace(rehearsal, unbatched=one_line(rehearsal.unbatched, LINE_MAX))
    return msgspec.structs.replace(judged, mistakes=mistakes, untold=max(0, judged.untold), rehearsal=rehearsal)


def _death(status: int, limits: Scoring, *, late: bool) -> Mistake:
    if late or status == -signal.SIGXCPU:
        text = f"loading it and running its examples took more than {limits.load_deadline_s:g} s"
        return Mistake(graph_file.FILE, None, f"{text} (scoring.load_deadline_s)")
    if status == OUT_OF_MEMORY_STATUS:
        text = f"loading it took more than {limits.memory_bytes} bytes of memory (scoring.memory_bytes)"
        return Mistake(graph_file.FILE, None, text)
    with suppress(ValueError):
        return Mistake(graph_file.FILE, None, f"loading it ended its process with {signal.Signals(-status).name}")
    return Mistake(graph_file.FILE, None, f"loading it ended its process with status {status}")

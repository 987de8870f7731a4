"""Segments to pictures: ours and the peers' recipes in turns, all on one core, each round on the same bytes.

Ours runs here, theirs in one process of their own Python that stays (``theirs/serve.py``), so nobody pays for starting
Python. CPU is of all threads and of the programs started: ``ffmpeg`` is a program, and starting it is its cost.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from contextlib import closing, contextmanager
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.figures import figure, interleaved, ratios
from benchmarks.floor import Idr
from benchmarks.part import NotHere
from benchmarks.peers import environment
from benchmarks.peers.result import FLOOR, HASHED, HEAVY_IDR_BYTES, OURS, Hashing, Reading
from benchmarks.rig import cores
from benchmarks.stages.decoding import asking
from worker.examine import examine
from worker.hashing import hamming

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.clips import Clip
    from benchmarks.figures import Measure
    from worker.records import View

MEMORY = Path("/dev/shm")  # noqa: S108 - the folders in it are made by tempfile


class Theirs:
    """Their Python, ready to run a recipe."""

    def __init__(self, popen: subprocess.Popen[str], folder: Path, log: Path) -> None:
        self._popen = popen
        self._log = log
        self._folder = folder
        self.packages: dict[str, str] = self._answer()

    def run(self, recipe: str, clip: Clip, *, hashed: bool) -> dict[str, Any]:
        """Run a recipe once; what ``theirs/serve.py`` answers. Raises RuntimeError where it is no more."""
        asked = {"recipe": recipe, "file": str(self._file(clip)), "hash": hashed, **size(clip)}
        assert self._popen.stdin is not None  # noqa: S101 - it was opened with one
        self._popen.stdin.write(json.dumps(asked) + "\n")
        self._popen.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._popen.stdout is not None  # noqa: S101 - the same
        line = self._popen.stdout.readline()
        if not line:
            raise RuntimeError(f"the peers' readers ended with {self._popen.wait()}:\n{self._log.read_text()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _file(self, clip: Clip) -> Path:
        """The segment as a file, an initialisation before it: there is no other way to give them one."""
        file = self._folder / clip.sha256
        if not file.exists():
            file.write_bytes((clip.init or b"") + clip.data)
        return file


def size(clip: Clip) -> dict[str, int]:
    """Return width and height of a pinned segment."""
    height = height_of(clip)
    return {"width": height * 16 // 9, "height": height}


def height_of(clip: Clip) -> int:
    """Return a pinned segment's lines, which its name begins with."""
    return int(clip.name.partition("p ")[0])


@contextmanager
def theirs() -> Iterator[Theirs]:
    """Start their Python, on the core that this process is kept on meanwhile. Raises NotHere."""
    reason = environment.why_not()
    if reason is not None:
        raise NotHere(reason)
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as name, one_core():
        folder = Path(name)
        log = folder / "log"
        command = [str(environment.PYTHON), str(environment.THEIRS / "serve.py")]
        with (
            log.open("wb") as told,
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=told, text=True) as popen,
        ):
            yield Theirs(popen, folder, log)


@contextmanager
def one_core() -> Iterator[None]:
    """Keep this process, and what it starts, on one core: threads then take from nobody what is not counted."""
    before = os.sched_getaffinity(0)
    cores.pin(os.getpid(), cores.split().measured)
    try:
        yield
    finally:
        cores.pin(os.getpid(), frozenset(before))


def reading(clip: Clip, view: View, peers: Theirs, recipes: Sequence[str], rounds: int) -> Reading:
    """Measure who reads a segment at what cost, without hash and with it."""
    ask = asking(clip, view)
    ours = examine(clip.data, clip.init, ask)
    found = {name: peers.run(name, clip, hashed=True) for name in recipes}
    failed = {name: told["error"] for name, told in found.items() if "error" in told}
    able = [name for name in recipes if name not in failed]
    with closing(Idr(clip)) as idr:
        measures: list[Measure] = [lambda: _floor(idr), lambda: _ours(clip, view)]
        measures += [_theirs(peers, name, clip, hashed=hashed) for name in able for hashed in (False, True)]
        taken = interleaved(measures, rounds)
    return Reading(
        clip=clip.name,
        heavy=clip.idr_bytes >= HEAVY_IDR_BYTES,
        ms={name: figure(of) for name, of in taken.items()},
        ratios={
            name: figure(ratios(of, taken[base(name)]))
            for name, of in taken.items()
            if name != FLOOR and not name.startswith(OURS)
        },
        pictures={OURS: len(ours.frames), **{name: found[name]["pictures"] for name in able}},
        bits={name: hamming(ours.frames[0].hash.pdq or bytes(32), first_hash(found[name])) for name in able},
        failed=failed,
    )


def base(name: str) -> str:
    """Return what of ours a reader is held against: with the hash where it has one."""
    return f"{OURS} {HASHED}" if name.endswith(HASHED) else OURS


def first_hash(told: dict[str, Any]) -> bytes:
    """Return the hash of a reader's first picture."""
    return bytes.fromhex(told["hashes"][0])


def _floor(idr: Idr) -> dict[str, float]:
    started = process_time()
    idr.decode()
    return {FLOOR: (process_time() - started) * 1000}


def _ours(clip: Clip, view: View) -> dict[str, float]:
    started = process_time()
    costs = examine(clip.data, clip.init, asking(clip, view)).costs
    took_s = process_time() - started
    return {f"{OURS} {HASHED}": took_s * 1000, OURS: (took_s - costs.hash_s) * 1000}


def _theirs(peers: Theirs, name: str, clip: Clip, *, hashed: bool) -> Measure:
    def measure() -> dict[str, float]:
        told = peers.run(name, clip, hashed=hashed)
        return {f"{name} {HASHED}" if hashed else name: told["cpu_ms"]}

    return measure


def hashing(clip: Clip, view: View, rounds: int) -> Hashing:
    """Measure our PDQ beside ``pdqhash``, which must be installed."""
    import pdqhash  # noqa: PLC0415 - optional

    with closing(Idr(clip)) as idr:
        rgb = np.ascontiguousarray(idr.decode()[0].to_ndarray(format="rgb24"))

    def ours() -> dict[str, float]:
        sample = examine(clip.data, clip.init, asking(clip, view))
        return {"ours": sample.costs.hash_s * 1000 / len(sample.frames)}

    def peers() -> dict[str, float]:
        started = process_time()
        pdqhash.compute(rgb)
        return {"pdqhash": (process_time() - started) * 1000}

    interleaved([ours, peers], 2)
    taken = interleaved([ours, peers], rounds)
    return Hashing(
        clip=clip.name,
        height=height_of(clip),
        ours_ms=figure(taken["ours"]),
        pdqhash_ms=figure(taken["pdqhash"]),
        ratio=figure(ratios(taken["pdqhash"], taken["ours"])),
    )

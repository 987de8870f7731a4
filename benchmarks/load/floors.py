"""The floor, in a process that takes a turn now and then on the worker's core while the worker is under load.

A turn decodes one IDR and nothing else, and runs bare onnxruntime on an input that is ready, first as it comes after
somebody else had the core, then once more at once: caches cold, and warm. Ends on SIGTERM and writes down what it took.
"""

from __future__ import annotations

import signal
import time
from itertools import cycle
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from msgspec import Struct

from benchmarks.clips import Clip
from benchmarks.floor import Bare, Idr

if TYPE_CHECKING:
    from collections.abc import Callable


class Floors(Struct, frozen=True, kw_only=True):
    """What the process is told."""

    segments: tuple[str, ...]
    """Files, MPEG-TS; each turn takes the next one."""
    model: str
    """The graph's file."""
    ready: str
    """File with an input for it, numpy's format."""
    every_s: float
    out: str
    """File for the turns, JSON."""


class Turn(Struct, frozen=True, kw_only=True):
    """Milliseconds of CPU; ``warm_`` of the second time."""

    at_s: float
    """Seconds since the epoch."""
    idr: float
    bare: float
    warm_idr: float
    warm_bare: float


def main(plan: bytes) -> None:
    """Take turns until SIGTERM."""
    floors, told = msgspec.json.decode(plan, type=Floors), Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    idrs = cycle([Idr(_clip(Path(file))) for file in floors.segments])
    bare, x = Bare(Path(floors.model)), np.load(floors.ready)
    turns = []
    while not told.wait(floors.every_s):
        turns.append(_turn(next(idrs), bare, x))
    Path(floors.out).write_bytes(msgspec.json.encode(turns))


def _turn(idr: Idr, bare: Bare, x: np.ndarray) -> Turn:
    at_s = time.time()
    cold = _ms(idr.decode), _ms(lambda: bare.run(x))
    warm = _ms(idr.decode), _ms(lambda: bare.run(x))
    return Turn(at_s=at_s, idr=cold[0], bare=cold[1], warm_idr=warm[0], warm_bare=warm[1])


def _ms(work: Callable[[], object]) -> float:
    started = time.thread_time()
    work()
    return (time.thread_time() - started) * 1000


def _clip(file: Path) -> Clip:
    return Clip(name=file.name, data=file.read_bytes(), init=None, content_type="video/mp2t", heavy=True, idr_bytes=0)

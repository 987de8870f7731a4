"""What runs in the jail's children in tests: a child does what the first word of its segment says."""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct

from worker.errors import SegmentError
from worker.jail.slot import Desk
from worker.records import Ask, Frame, FrameHash, Sample

if TYPE_CHECKING:
    from collections.abc import Callable

PDQ = bytes(range(32))


class Work(Struct, frozen=True):
    """What a child was asked."""

    words: list[str]
    data: memoryview
    init: bytes | None
    ask: Ask


def obey(data: memoryview, init: bytes | None, ask: Ask) -> Sample:
    """Do what the first word of the segment says."""
    words = bytes(data[:4096]).decode("latin-1").split()
    return WORDS[words[0]](Work(words, data, init, ask))


def broken(data: memoryview, init: bytes | None, ask: Ask) -> Sample:
    """Be a decoder that does not work at all."""
    raise RuntimeError(f"no codec here for {len(data)}, {init!r}, {ask.max_keyframes}")


def sample_of(data: bytes | memoryview, ask: Ask, *, height: int | None = None) -> Sample:
    """Tell of a segment: as many frames as asked for, each picture filled with the segment's last byte."""
    view = ask.view
    frames = tuple(
        Frame(
            offset_s=2.0 * index,
            width=1280,
            height=720,
            hash=FrameHash(pdq=PDQ, quality=100) if index % 2 == 0 else FrameHash(pdq=None, quality=49),
            picture=view and np.full((height or view.height, view.width, 3), data[-1], np.uint8),
        )
        for index in range(ask.max_keyframes)
    )
    return Sample(
        container="mpegts",
        codec="h264",
        start_s=float(len(data)),
        wrap_s=2**33 / 90_000,
        duration_s=2.0,
        keyframes_seen=len(frames),
        frames=frames,
        damaged=False,
    )


def telling(number: float) -> Sample:
    """Carry a number out of a child, as a sample's start."""
    return Sample(
        container="mov",
        codec=None,
        start_s=float(number),
        wrap_s=None,
        duration_s=None,
        keyframes_seen=0,
        frames=(),
        damaged=True,
    )


def _bad(_: Work) -> Sample:
    raise SegmentError("decode", "corrupt", "nothing in it")


def _fails(_: Work) -> Sample:
    raise KeyError("a secret of the segment")


def _hungry(_: Work) -> Sample:
    return telling(np.ones(4 * 1024**3, np.uint8)[-1])


def _dies(work: Work) -> Sample:
    os.kill(os.getpid(), signal.Signals[work.words[1]])
    return telling(0)


def _exits(work: Work) -> Sample:
    os._exit(int(work.words[1]))


def _hangs(_: Work) -> Sample:
    time.sleep(3600)
    return telling(0)


def _gate(work: Work) -> Sample:
    """Answer when somebody has opened the named fifo for writing."""
    with Path(work.words[1]).open("rb") as fifo:
        fifo.read()
    return sample_of(work.data, work.ask)


def _once(work: Work) -> Sample:
    """Hang when the named file is there, and take it away; whoever comes next tells its process id."""
    try:
        Path(work.words[1]).unlink()
    except FileNotFoundError:
        return telling(os.getpid())
    return _hangs(work)


def _environment(_: Work) -> Sample:
    """Count what is in the environment but what OpenBLAS and glibc are told."""
    born_with = [each for each in Path("/proc/self/environ").read_bytes().split(b"\0") if each]
    return telling(
        len(os.environ) + sum(not each.startswith((b"OPENBLAS_", b"OMP_", b"MALLOC_")) for each in born_with)
    )


def _descriptors(_: Work) -> Sample:
    return telling(len(list(Path("/proc/self/fd").iterdir())) - 1)


def _threads(_: Work) -> Sample:
    return telling(len(list(Path("/proc/self/task").iterdir())))


def _write(work: Work) -> Sample:
    """Try to write a file, and tell the number of the error."""
    try:
        Path(work.words[1]).write_bytes(b"x")
    except OSError as error:
        return telling(error.errno or 0)
    return telling(0)


def _leftovers(work: Work) -> Sample:
    """Count what is not zero in the slot behind our own request."""
    return telling(
        np.count_nonzero(np.frombuffer(_desk().memory[4096 + len(work.data) :][: 32 * 1024 * 1024], np.uint8))
    )


def _scribble(work: Work) -> Sample:
    """Write a reply of our own into the slot and say that it is there, past the honest code."""
    head = bytes.fromhex(work.words[1])
    _desk().memory[: len(head)] = head
    _say(_request_message())
    return _hangs(work)


def _babble(work: Work) -> Sample:
    _say(b"\x07" * 8)
    return _hangs(work)


def _desk() -> Desk:
    """Find the slot as an attacker would."""
    return next(each for each in gc.get_objects() if isinstance(each, Desk))


def _request_message() -> bytes:
    frame = sys._getframe()
    while not isinstance(frame.f_locals.get("request"), bytes):
        frame = frame.f_back or frame
    return frame.f_locals["request"]


def _say(message: bytes) -> None:
    for descriptor in Path("/proc/self/fd").iterdir():
        if descriptor.is_socket():
            os.write(int(descriptor.name), message)


WORDS: dict[str, Callable[[Work], Sample]] = {
    "echo": lambda work: sample_of(work.data, work.ask),
    "init": lambda work: sample_of(work.init or b"", work.ask),
    "pid": lambda _: telling(os.getpid()),
    "misshape": lambda work: sample_of(work.data, work.ask, height=7),
    "bad": _bad,
    "fail": _fails,
    "hungry": _hungry,
    "die": _dies,
    "exit": _exits,
    "hang": _hangs,
    "gate": _gate,
    "once": _once,
    "environment": _environment,
    "descriptors": _descriptors,
    "threads": _threads,
    "write": _write,
    "leftovers": _leftovers,
    "scribble": _scribble,
    "babble": _babble,
}

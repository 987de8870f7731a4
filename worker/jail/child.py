"""What a decoder process does: it waits for a request in its slot, runs the target on it, and puts the answer there.

It is forked from the zygote, so everything is imported and warm. What it runs reads bytes that an attacker chose:
``confine`` is the place where it gives up what it does not need, before it says that it is ready.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from worker.errors import SegmentError
from worker.jail.messages import READY_SERIAL, SERIAL
from worker.jail.reply import put_error, put_sample
from worker.jail.slot import Desk

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from worker.jail.messages import Birth
    from worker.records import Ask, Sample

    Function = Callable[[memoryview, bytes | None, Ask], Sample]

OUT_OF_MEMORY_STATUS = 12
"""Exit status of a child that had no memory left even for its answer (ENOMEM)."""

OPEN_FILES = 16
_PR_SET_PDEATHSIG = 1


def serve(link: socket.socket, slot_fd: int, function: Function, birth: Birth, zygote_pid: int) -> NoReturn:
    """Live as a child: answer requests until the parent closes the socket or kills us."""
    status = 1
    try:
        desk = Desk(slot_fd, birth.slot_bytes)
        confine(birth, link.fileno(), zygote_pid)
        link.sendall(SERIAL.pack(READY_SERIAL))
        while request := link.recv(SERIAL.size):
            answer(desk, function)
            link.sendall(request)
        status = 0
    except MemoryError:
        status = OUT_OF_MEMORY_STATUS
    finally:
        os._exit(status)  # not through the zygote's own clean-up


def confine(birth: Birth, link_fd: int, zygote_pid: int) -> None:
    """Give up what a decoder does not need. Called once, after warm-up, before the first byte from outside.

    A change of user id clears the parent-death signal: what drops privileges goes before it is set.
    """
    _close_all_but(link_fd)
    _limit(birth)
    _die_with(zygote_pid)


def answer(desk: Desk, function: Function) -> None:
    """Run the target on the request in the slot, and put its sample or its error in the place of the request."""
    try:
        request = desk.request()
        sample = function(request.data, request.init, request.ask)
        put_sample(desk, request.ask, sample)
    except SegmentError as error:
        put_error(desk, error.stage, error.error, error.reason)
    except MemoryError:
        put_error(desk, "decode", "out_of_memory", "the decoder met its memory limit")
    except Exception as error:  # noqa: BLE001  # media raise anything at all (IndexError, UnicodeDecodeError)
        put_error(desk, "decode", "crashed", f"the decoder failed with {type(error).__name__}")


def _close_all_but(link_fd: int) -> None:
    """Keep the null device as standard streams, and the socket. ``mmap`` kept one of the slot: not even that."""
    most = os.sysconf("SC_OPEN_MAX")
    os.closerange(3, link_fd)
    os.closerange(link_fd + 1, most)


def _limit(birth: Birth) -> None:
    def limit(what: int, value: int) -> None:
        resource.setrlimit(what, (value, value))

    limit(resource.RLIMIT_CORE, 0)
    limit(resource.RLIMIT_FSIZE, 0)
    limit(resource.RLIMIT_NOFILE, OPEN_FILES)
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        limit(resource.RLIMIT_AS, pages * resource.getpagesize() + birth.memory_bytes)
        # When the machine runs out of memory, a decoder goes, not the worker.
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _die_with(zygote_pid: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != zygote_pid:  # it went before the signal was set
        os._exit(0)

"""What a decoder process does: it waits for a request in its slot, runs the target on it, and puts the answer there.

It is forked from the zygote, so everything is imported and warm. What it runs reads bytes that an attacker chose: it
gives up what it does not need (``confine.py``) before it says that it is ready.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, NoReturn

import msgspec

from worker.errors import SegmentError
from worker.jail.allowed import LINK_FD
from worker.jail.confine import Locks, confine
from worker.jail.messages import READY_SERIAL, SERIAL
from worker.jail.reply import put_error, put_sample
from worker.jail.slot import Desk

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.jail.messages import Birth
    from worker.records import Ask, Sample

    Function = Callable[[memoryview, bytes | None, Ask], Sample]

OUT_OF_MEMORY_STATUS = 12
"""Exit status of a child that had no memory left even for its answer (ENOMEM)."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a child stands: who forked it, the how-manieth it is, and its locks."""

    zygote_pid: int
    number: int
    locks: Locks


def serve(link: socket.socket, slot_fd: int, function: Function, birth: Birth, place: Place) -> NoReturn:
    """Live as a child: answer requests until the parent closes the socket or kills us."""
    status = 1
    try:
        desk = Desk(slot_fd, birth.slot_bytes)
        link = _moved(link)
        confine(birth, place.zygote_pid, place.number, place.locks)
        link.sendall(SERIAL.pack(READY_SERIAL))
        while request := link.recv(SERIAL.size):
            answer(desk, function)
            link.sendall(request)
        status = 0
    except MemoryError:
        status = OUT_OF_MEMORY_STATUS
    finally:
        os._exit(status)  # not through the zygote's own clean-up


def _moved(link: socket.socket) -> socket.socket:
    """Put the socket where the locks expect it."""
    if link.fileno() != LINK_FD:
        os.dup2(link.fileno(), LINK_FD)
        link.detach()
        link = socket.socket(fileno=LINK_FD)
    return link


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

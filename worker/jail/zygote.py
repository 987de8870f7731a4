"""The process that decoders are forked from: everything imported, no thread, no secret, no file of anybody's.

It is exec'd with an empty environment, so that neither its memory nor ``/proc`` holds what the parent knows; it obeys
two orders (fork, kill) on one socket, reaps its children, and ends with its parent. Only it kills: it is the children's
parent, so a process id means the child until it has reaped it.
"""

from __future__ import annotations

import gc
import importlib
import os
import pkgutil
import select
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from worker.jail import child
from worker.jail.confine import Locks
from worker.jail.lockdown import UNLOCKED
from worker.jail.messages import FAILURE_MAX_BYTES, NOTICE, ORDER, Birth, Notice, Order
from worker.jail.probe import find_locks
from worker.records import Ask, View

if TYPE_CHECKING:
    from worker.jail.child import Function
    from worker.jail.messages import Target

WARM_UP_FILE = Path(__file__).with_name("warm.ts")
"""One 64x64 keyframe, a colour gradient: H.264 in MPEG-TS, made with PyAV."""
NOT_IMPORTED = {"__main__", "datasets"}
"""A command, and a downloader of samples: modules of packages that no decoder asks for."""
_WARM_UP_ASK = Ask(
    content_type="video/mp2t",
    interval_s=0.0,
    max_keyframes=1,
    view=View(height=32, width=32, fit="stretch"),
    max_pixels=64 * 64,
    max_streams=8,
)


def main(link_fd: int, birth_json: str) -> None:
    """Be the zygote on the socket ``link_fd`` until the parent closes it."""
    link = socket.socket(fileno=link_fd)
    birth = msgspec.json.decode(birth_json, type=Birth)
    try:
        function = load(birth.target)
    except Exception as error:  # noqa: BLE001  # whatever it is, the parent shall say so
        text = f"{type(error).__name__}: {error}".encode("ascii", "replace")[:FAILURE_MAX_BYTES]
        link.sendall(NOTICE.pack(Notice.FAILED, 0, len(text)) + text)
        return
    os.environ.clear()
    gc.collect()
    gc.freeze()  # else a collection in a child copies every page
    locks, lockdown = find_locks(birth) if birth.target.lock_down else (Locks(), UNLOCKED)
    text = msgspec.json.encode(lockdown)
    link.sendall(NOTICE.pack(Notice.READY, 0, len(text)) + text)
    Zygote(link, function, birth, locks).serve()


def load(target: Target) -> Function:
    """Import the target and warm it up. Raises whatever the import or the target raises."""
    module, _, name = target.function.partition(":")
    function: Function = getattr(importlib.import_module(module), name)
    if target.warm_up:
        for package in target.whole:
            _import_whole(package)
        function(memoryview(WARM_UP_FILE.read_bytes()), None, _WARM_UP_ASK)
    tasks = Path("/proc/self/task")
    if tasks.exists() and len(list(tasks.iterdir())) > 1:
        raise RuntimeError("something started a thread at import: a fork of it would be broken")
    return function


def _import_whole(package: str) -> None:
    for found in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
        if found.name.rpartition(".")[2] not in NOT_IMPORTED:
            importlib.import_module(found.name)


class Zygote:
    """Obeys orders and tells what became of its children."""

    def __init__(self, link: socket.socket, function: Function, birth: Birth, locks: Locks) -> None:
        """``link`` is the socket to the parent, ``locks`` what children lock themselves down with."""
        self._link = link
        self._locks = locks
        self._function = function
        self._birth = birth
        self._numbers: dict[int, int] = {}
        """Process id to the child's number; an entry goes when the child is reaped."""
        self._wake, self._wake_up = socket.socketpair()

    def serve(self) -> None:
        """Obey until the parent closes its end; then take the children along."""
        self._wake.setblocking(False)
        self._wake_up.setblocking(False)
        signal.signal(signal.SIGCHLD, _noted)
        signal.set_wakeup_fd(self._wake_up.fileno())
        try:
            while self._step():
                pass
        finally:
            for pid in self._numbers:
                os.kill(pid, signal.SIGKILL)
            for pid in self._numbers:  # the parent takes our end for the end of them all
                os.waitpid(pid, 0)

    def _step(self) -> bool:
        ready, _, _ = select.select([self._link, self._wake], [], [])
        if self._wake in ready:
            self._wake.recv(4096)
            self._reap()
        if self._link not in ready:
            return True
        message, descriptors, _, _ = socket.recv_fds(self._link, ORDER.size, 2)
        if len(message) != ORDER.size:
            return False
        order, number = ORDER.unpack(message)
        if order == Order.FORK:
            self._fork(number, descriptors)
        else:
            self._kill(number)
        return True

    def _fork(self, number: int, descriptors: list[int]) -> None:
        link_fd, slot_fd = descriptors
        place = child.Place(zygote_pid=os.getpid(), number=number, locks=self._locks)
        try:
            pid = os.fork()
        except OSError as error:  # no memory or no room for another process: the parent backs off
            self._tell(Notice.ENDED, number, (error.errno or 1) << 8)
        else:
            if pid == 0:
                self._become_child(link_fd, slot_fd, place)
            self._numbers[pid] = number
            self._tell(Notice.FORKED, number, pid)
        os.close(link_fd)
        os.close(slot_fd)

    def _become_child(self, link_fd: int, slot_fd: int, place: child.Place) -> None:
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for end in (self._link, self._wake, self._wake_up):
                end.close()
            child.serve(socket.socket(fileno=link_fd), slot_fd, self._function, self._birth, place)
        finally:
            os._exit(1)  # never on in the zygote's loop

    def _kill(self, number: int) -> None:
        for pid, owner in self._numbers.items():
            if owner == number:
                os.kill(pid, signal.SIGKILL)

    def _reap(self) -> None:
        while self._numbers:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            self._tell(Notice.ENDED, self._numbers.pop(pid), status)

    def _tell(self, notice: Notice, number: int, value: int) -> None:
        try:
            self._link.sendall(NOTICE.pack(notice, number, value))
        except BrokenPipeError:
            sys.exit(0)  # the parent is gone; ``serve`` takes the children along


def _noted(signum: int, frame: object) -> None:
    """Do nothing: a handler is needed so that the wake-up descriptor is written."""

"""The parent's handles: one on the zygote, one on each child that it forked."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

import msgspec

from worker.errors import SegmentError
from worker.jail import deaths, reply
from worker.jail.lockdown import Lockdown
from worker.jail.messages import (
    FAILURE_MAX_BYTES,
    LOCKDOWN_MAX_BYTES,
    NOTICE,
    ORDER,
    READY_SERIAL,
    SERIAL,
    Notice,
    Order,
)
from worker.jail.slot import Slot

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from worker.jail.messages import Birth
    from worker.records import Ask, Media, Sample

T = TypeVar("T")

OFF_LOOP_BYTES = 2 * 1024 * 1024
"""Copies larger than this are made in a thread; below, the way to the thread and back costs more than the copy."""

KILL_GRACE_S = 2.0
"""When a killed child is not reaped by then, its zygote is stuck, and is killed in its place."""

STATUS_GRACE_S = 1.0
"""How long the end of a child's socket waits for the zygote to say what it died of."""

ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 * 1024 * 1024),
    "MALLOC_TRIM_THRESHOLD_": str(64 * 1024 * 1024),
}
"""The zygote's whole environment. A thread in it would make its forks unsafe; and by default glibc gives the memory of
every picture back at once, which costs 600 page faults a segment."""

_BOOT = (
    "import sys; sys.path[:] = sys.argv[3:]; from worker.jail.zygote import main; main(int(sys.argv[1]), sys.argv[2])"
)


class Gone(Exception):
    """The zygote is gone, or never came up. The message says why, as far as it could."""


class Child:
    """One decoder process: its socket, its slot, and how often it served."""

    def __init__(self, zygote: Zygote, number: int, link: socket.socket, slot: Slot) -> None:
        """``link`` is the parent's end, not blocking; ``zygote`` forks it."""
        self._zygote = zygote
        self.number = number
        self.served = 0
        self.pid: int | None = None
        self.ended: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        """Its wait status once it was reaped; None where its zygote went first."""
        self._link = link
        self._slot = slot
        self._serial = READY_SERIAL

    async def ready(self, *, timeout_s: float) -> None:
        """Wait until it says that it is ready for requests. Raises Death when that does not come."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._hear()
        except TimeoutError:
            raise deaths.slow_start(timeout_s) from None

    async def ask(self, media: Media, ask: Ask, *, deadline_s: float, copies: Executor) -> Sample:
        """Have it decode a segment, and return what it says, copied and checked.

        Raises SegmentError when it says that the segment is bad, Death when it is not done ``deadline_s`` after it was
        told, when it died, failed, or gave an answer that is none. After any exception it must not be used again.
        """
        await _copy(copies, len(media.data), lambda: self._slot.write(media, ask))
        try:
            async with asyncio.timeout(deadline_s):
                self._say()
                await self._hear()
        except TimeoutError:
            raise deaths.timed_out(deadline_s) from None
        self.served += 1
        return await self._answer(media, ask, copies)

    async def _answer(self, media: Media, ask: Ask, copies: Executor) -> Sample:
        try:
            head = reply.take_head(self._slot, media, ask)
            return await _copy(copies, head.bytes_to_come, lambda: reply.take_frames(self._slot, ask, head))
        except reply.Hostile as error:
            raise deaths.hostile(str(error)) from None
        except SegmentError as error:
            raise deaths.failed(error) or error from None

    async def wipe(self, copies: Executor) -> None:
        """Leave nothing of the last segment in its slot."""
        await _copy(copies, self._slot.used_bytes, self._slot.wipe)

    def death(self) -> deaths.Death:
        """Return what it died of, as far as that is known."""
        return deaths.ended(self.ended.result() if self.ended.done() else None)

    def kill(self) -> None:
        """Kill it, now. ``ended`` tells when it is gone."""
        self._zygote.kill(self)

    def let_go(self) -> None:
        """Close our ends. A child that waits for a request ends by itself then; any other has to be killed."""
        self._link.close()
        self._slot.close()

    def _say(self) -> None:
        self._serial = self._serial % 0xFFFF_FFFF + 1
        with suppress(BrokenPipeError, ConnectionResetError):  # then the end of the socket is heard next
            self._link.send(SERIAL.pack(self._serial))

    async def _hear(self) -> None:
        heard = await _received(self._link, SERIAL.size + 1)
        if not heard:
            await asyncio.wait({self.ended}, timeout=STATUS_GRACE_S)
            raise self.death()
        if heard != SERIAL.pack(self._serial):
            raise deaths.hostile("what it says on its socket")


class Zygote:
    """One zygote process. Made by ``start``; over when ``ended`` is done."""

    def __init__(
        self, process: asyncio.subprocess.Process, link: socket.socket, birth: Birth, lockdown: Lockdown
    ) -> None:
        """Take over a process that has said that it is ready."""
        self.lockdown = lockdown
        """How well its children are locked down."""
        self._process = process
        self._link = link
        self._birth = birth
        self._children: dict[int, Child] = {}
        self._last_number = 0
        self._overdue: dict[int, asyncio.TimerHandle] = {}
        self.pid = process.pid
        self.ended: asyncio.Task[None] = asyncio.create_task(self._listen(), name="jail-zygote")

    @classmethod
    async def start(cls, birth: Birth, *, timeout_s: float) -> Zygote:
        """Start one and wait until it has imported and tried everything. Raises Gone."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        try:
            with theirs:
                process = await _spawn(theirs.fileno(), birth)
        except BaseException as error:
            ours.close()
            if isinstance(error, OSError):
                raise Gone(f"the decoders' parent process could not be started: {error.strerror}") from error
            raise
        try:
            async with asyncio.timeout(timeout_s):
                lockdown = await _expect_ready(ours)
        except BaseException as error:
            ours.close()
            await _finish(process)
            if isinstance(error, TimeoutError):
                raise Gone(f"the decoders' parent process was not ready after {timeout_s:g} s") from error
            if isinstance(error, EOFError):
                raise Gone(f"the decoders' parent process ended with status {process.returncode}") from error
            raise
        return cls(process, ours, birth, lockdown)

    def fork(self) -> Child:
        """Order a child; it is there when its ``ready`` returns. Raises Gone."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        slot = Slot(self._birth.slot_bytes)
        self._last_number += 1
        child = Child(self, self._last_number, ours, slot)
        with theirs:
            try:
                message = ORDER.pack(Order.FORK, child.number)
                socket.send_fds(self._link, [message], [theirs.fileno(), slot.fileno()])
            except OSError as error:
                child.let_go()
                raise Gone("the decoders' parent process does not listen") from error
        self._children[child.number] = child
        return child

    def kill(self, child: Child) -> None:
        """Kill a child, now. Its ``ended`` tells when it is gone."""
        child.let_go()
        if child.ended.done() or child.number in self._overdue or child.number not in self._children:
            return
        try:
            self._link.send(ORDER.pack(Order.KILL, child.number))
        except OSError:
            self._kill_all()
        loop = asyncio.get_running_loop()
        self._overdue[child.number] = loop.call_later(KILL_GRACE_S, self._kill_all)

    async def close(self) -> None:
        """End it and all its children; returns when it is reaped."""
        with suppress(OSError):  # it went by itself
            self._link.shutdown(socket.SHUT_RDWR)
        _, late = await asyncio.wait({self.ended}, timeout=KILL_GRACE_S)
        if late:
            self._kill_all()
            await asyncio.wait({self.ended})

    def _kill_all(self) -> None:
        """Kill the zygote; the kernel then kills its children (where it can: Linux)."""
        if self._process.returncode is None:
            self._process.kill()

    async def _listen(self) -> None:
        buffer = bytearray()
        try:
            while heard := await _received(self._link, 4096):
                buffer += heard
                while len(buffer) >= NOTICE.size:
                    self._note(*NOTICE.unpack_from(buffer))
                    del buffer[: NOTICE.size]
        finally:
            self._link.close()
            await _finish(self._process)
            for number in list(self._children):
                self._end(number, None)

    def _note(self, notice: int, number: int, value: int) -> None:
        if notice == Notice.FORKED:
            self._children[number].pid = value
        elif notice == Notice.ENDED:
            self._end(number, value)

    def _end(self, number: int, status: int | None) -> None:
        overdue = self._overdue.pop(number, None)
        if overdue is not None:
            overdue.cancel()
        self._children.pop(number).ended.set_result(status)


async def _spawn(link_fd: int, birth: Birth) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *_command(link_fd, birth),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,  # a decoder that was taken over shall not write into our log
        env=ENVIRONMENT,
        cwd="/",
        pass_fds=(link_fd,),
        start_new_session=True,  # Ctrl-C is for the worker: it drains, and needs its decoders for that
    )


def _command(link_fd: int, birth: Birth) -> list[str]:
    folders = [*birth.target.path, *(folder for folder in sys.path if folder)]
    isolated = [sys.executable, "-I", "-B", "-c", _BOOT]
    return [*isolated, str(link_fd), msgspec.json.encode(birth).decode(), *map(os.path.realpath, folders)]


async def _expect_ready(link: socket.socket) -> Lockdown:
    notice, _, length = NOTICE.unpack(await _exactly(link, NOTICE.size))
    if notice == Notice.READY:  # no byte from outside has been near it yet: it is believed
        return msgspec.json.decode(await _exactly(link, min(length, LOCKDOWN_MAX_BYTES)), type=Lockdown)
    text = await _exactly(link, min(length, FAILURE_MAX_BYTES))
    raise Gone(f"the decoder does not work: {text.decode('ascii', 'replace')}")


async def _exactly(link: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = await _received(link, size - len(data))
        if not more:
            raise EOFError
        data += more
    return data


async def _received(link: socket.socket, at_most: int) -> bytes:
    try:
        return await asyncio.get_running_loop().sock_recv(link, at_most)
    except ConnectionResetError:
        return b""


async def _finish(process: asyncio.subprocess.Process) -> None:
    """Wait until a process that lost its socket is gone; help it when it does not go."""
    try:
        async with asyncio.timeout(KILL_GRACE_S):
            await process.wait()
    except TimeoutError:
        process.send_signal(signal.SIGKILL)
        await process.wait()


async def _copy(copies: Executor, size: int, copy: Callable[[], T]) -> T:
    """Run a copy here, or in a thread when it is large. When cancelled, it still waits for the thread to be done.

    Else the descriptor that the thread copies into could be closed, and be another file's by then.
    """
    if size <= OFF_LOOP_BYTES:
        return copy()
    future = asyncio.get_running_loop().run_in_executor(copies, copy)
    try:
        return await asyncio.shield(future)
    finally:
        while not future.done():
            with suppress(asyncio.CancelledError):  # the first one is on its way up already
                await asyncio.wait({future})

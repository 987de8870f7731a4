"""Ways out of a decoder, each tried for real: what a decoder that was taken over would do first.

An attempt that returns got through; one that is refused raises OSError, or ends the process. They do no harm where they
get through, for they are run on every start; each ends in a process of its own.
"""

from __future__ import annotations

import _thread
import ctypes
import errno
import mmap
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from worker.jail.lockdown import Kind

# Numbers of newer calls, the same on every architecture.
_IO_URING_SETUP = 425
_PIDFD_OPEN = 434
_CLONE3 = 435
_OPENAT2 = 437

_PTRACE_TRACEME, _PTRACE_SEIZE = 0, 0x4206
_CLONE_NEWUSER = 0x10000000
_WORLD_READABLE = "/"
"""Anybody may open it, so what refuses it is no file permission."""

_libc = ctypes.CDLL(None, use_errno=True)


class Escape(msgspec.Struct, frozen=True, kw_only=True):
    """One way out."""

    name: str
    kind: Kind
    attempt: Callable[[], object]
    linux_only: bool = False


def escapes() -> tuple[Escape, ...]:
    """Return those that this platform has, in the order of importance."""
    return tuple(each for each in ESCAPES if sys.platform == "linux" or not each.linux_only)


def _connect() -> None:
    with socket.socket() as link:
        number = link.connect_ex(("127.0.0.1", 9))
    if number not in (0, errno.ECONNREFUSED):  # refused by nobody listening: it got as far as the network
        raise OSError(number, "connect")


def _datagram() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as link:
        link.sendto(b"x", ("127.0.0.1", 9))


def _open() -> None:
    os.close(os.open(_WORLD_READABLE, os.O_RDONLY))


def _openat2() -> None:
    how = (ctypes.c_uint64 * 3)(os.O_RDONLY, 0, 0)
    _called(_OPENAT2, -100, _WORLD_READABLE.encode(), ctypes.byref(how), ctypes.sizeof(how))


def _environ() -> None:
    Path("/proc/self/environ").read_bytes()


def _parents_environ() -> None:
    Path(f"/proc/{os.getppid()}/environ").read_bytes()


def _create() -> None:
    os.close(os.open("/tmp", os.O_TMPFILE | os.O_RDWR))  # noqa: S108  # a file without a name: nothing to clash with


def _execute() -> None:
    # Where it gets through, its status is 0, as of whatever gets through.
    os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", ""])  # noqa: S606  # an exec is what is tried


def _fork() -> None:
    if (pid := os.fork()) == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def _thread_start() -> None:
    try:
        _thread.start_new_thread(os.getpid, ())
    except RuntimeError as error:
        raise OSError(errno.EAGAIN, str(error)) from error


def _clone3() -> None:
    try:
        _called(_CLONE3, None, 0)
    except OSError as error:
        if error.errno != errno.EINVAL:  # "no arguments": the call itself is there
            raise


def _signal_parent() -> None:
    os.kill(os.getppid(), 0)


def _signal_through_descriptor() -> None:
    handle = _called(_PIDFD_OPEN, os.getppid(), 0)
    signal.pidfd_send_signal(handle, signal.SIGCONT)


def _trace() -> None:
    _checked(_libc.ptrace(_PTRACE_TRACEME, 0, None, None))


def _trace_parent() -> None:
    _checked(_libc.ptrace(_PTRACE_SEIZE, os.getppid(), None, None))


def _read_parent() -> None:
    there = ctypes.create_string_buffer(1)  # at the same address in the parent, or nowhere: both tell
    vector = (ctypes.c_void_p * 2)(ctypes.addressof(there), 1)
    try:
        _checked(_libc.process_vm_readv(os.getppid(), ctypes.byref(vector), 1, ctypes.byref(vector), 1, 0))
    except OSError as error:
        if error.errno != errno.EFAULT:
            raise


def _code_from_mmap() -> None:
    mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


def _code_from_mprotect() -> None:
    page = mmap.mmap(-1, mmap.PAGESIZE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    _checked(_libc.mprotect(ctypes.c_void_p(address), mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_EXEC))


def _anonymous_file() -> None:
    os.close(os.memfd_create("escape"))


def _io_uring() -> None:
    try:
        _called(_IO_URING_SETUP, 1, None)
    except OSError as error:
        if error.errno != errno.EFAULT:  # "no parameters": the call itself is there
            raise


def _namespace() -> None:
    _checked(_libc.unshare(_CLONE_NEWUSER))


def _root() -> None:
    os.setuid(0)


def _called(number: int, *arguments: object) -> int:
    wide = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    return _checked(_libc.syscall(ctypes.c_long(number), *wide))


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return result


ESCAPES = (
    Escape(name="socket", kind="network", attempt=lambda: socket.socket().close()),
    Escape(name="connect", kind="network", attempt=_connect),
    Escape(name="datagram", kind="network", attempt=_datagram),
    Escape(name="unix_socket", kind="network", attempt=socket.socketpair),
    Escape(name="open", kind="files", attempt=_open),
    Escape(name="openat2", kind="files", attempt=_openat2, linux_only=True),
    Escape(name="create", kind="files", attempt=_create, linux_only=True),
    Escape(name="environ", kind="files", attempt=_environ, linux_only=True),
    Escape(name="parents_environ", kind="files", attempt=_parents_environ, linux_only=True),
    Escape(name="exec", kind="exec", attempt=_execute),
    Escape(name="fork", kind="processes", attempt=_fork),
    Escape(name="thread", kind="processes", attempt=_thread_start),
    Escape(name="clone3", kind="processes", attempt=_clone3, linux_only=True),
    Escape(name="kill", kind="others", attempt=_signal_parent),
    Escape(name="pidfd", kind="others", attempt=_signal_through_descriptor, linux_only=True),
    Escape(name="ptrace", kind="others", attempt=_trace, linux_only=True),
    Escape(name="ptrace_parent", kind="others", attempt=_trace_parent, linux_only=True),
    Escape(name="read_parent", kind="others", attempt=_read_parent, linux_only=True),
    Escape(name="mmap_code", kind="memory", attempt=_code_from_mmap),
    Escape(name="mprotect_code", kind="memory", attempt=_code_from_mprotect),
    Escape(name="memfd", kind="memory", attempt=_anonymous_file, linux_only=True),
    Escape(name="io_uring", kind="kernel", attempt=_io_uring, linux_only=True),
    Escape(name="namespace", kind="kernel", attempt=_namespace, linux_only=True),
    Escape(name="setuid", kind="user", attempt=_root),
)
"""Every way out that is tried."""

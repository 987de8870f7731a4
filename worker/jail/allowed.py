"""The system calls that a decoder may make, as a seccomp filter: a list of what is allowed, and death for the rest.

A decoder that is ready has its memory, its slot and one socket; it needs no more than memory, clocks, the socket and
its end. What libraries try and can live without is answered with an error; anything else is an attack, or a library
that has changed, and ends the process (SIGSYS), which costs a segment and is told by its signal.
"""

from __future__ import annotations

import errno
import mmap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LINK_FD = 3
"""Where a child has its socket: a fixed place, so that one filter, made before the fork, fits every child."""

ALLOWED = (
    # memory; mmap and mprotect come below, since no memory may become code
    "brk",
    "madvise",
    "mremap",
    "munmap",
    # locks, clocks, luck
    "clock_getres",
    "clock_gettime",
    "futex",
    "getrandom",
    "gettimeofday",
    "restart_syscall",
    "rt_sigreturn",
    "sched_yield",
    "time",
    # about itself
    "getpid",
    "gettid",
    "rt_sigprocmask",
    # the end
    "close",
    "exit",
    "exit_group",
)

DECLINED = {
    "clone3": errno.ENOSYS,  # glibc then tries clone
    "clone": errno.EPERM,  # a codec that wants threads goes on without, or says so
    "tgkill": errno.EPERM,  # abort() uses these; it then ends by SIGSEGV, which says more than SIGSYS
    "tkill": errno.EPERM,
    "rt_sigaction": errno.EPERM,
    "access": errno.EACCES,
    "faccessat2": errno.ENOSYS,
    "fstat": errno.EACCES,
    "ioctl": errno.ENOTTY,  # whether standard error is a terminal
    "newfstatat": errno.EACCES,
    "open": errno.EACCES,
    "openat": errno.EACCES,  # a lazy import, or FFmpeg looking for a file
    "readlink": errno.EACCES,
    "sched_getaffinity": errno.EPERM,  # FFmpeg counts processors for its threads
    "stat": errno.EACCES,
    "statx": errno.EACCES,
    "sysinfo": errno.EPERM,
    "uname": errno.EPERM,
    "write": errno.EBADF,
    "writev": errno.EBADF,
}
"""What is refused without an end of the process: what libraries try of their own."""

WANTED_API = 3
"""libseccomp's name for a kernel that can end the whole process (Linux 4.14)."""


def system_call_filter() -> Callable[[], None]:
    """Make the filter, and return what puts it on, for good.

    Raises:
        OSError: The kernel can't do it.
        ImportError, RuntimeError: pyseccomp or libseccomp is not installed.
    """
    import pyseccomp  # noqa: PLC0415  # Linux only, and looking for its library takes 20 ms: the worker needs it not

    if pyseccomp.get_api() < WANTED_API:
        raise OSError(errno.ENOSYS, "the kernel's seccomp does not know SECCOMP_RET_KILL_PROCESS")
    rules = pyseccomp.SyscallFilter(pyseccomp.KILL_PROCESS)
    for name in ALLOWED:
        rules.add_rule(pyseccomp.ALLOW, name)
    for name, number in DECLINED.items():
        rules.add_rule(pyseccomp.ERRNO(number), name)
    link = pyseccomp.Arg(0, pyseccomp.EQ, LINK_FD)
    rules.add_rule(pyseccomp.ALLOW, "recvfrom", link)
    rules.add_rule(pyseccomp.ALLOW, "sendto", link, pyseccomp.Arg(4, pyseccomp.EQ, 0))
    not_code = pyseccomp.Arg(2, pyseccomp.MASKED_EQ, mmap.PROT_EXEC, 0)
    of_no_file = pyseccomp.Arg(3, pyseccomp.MASKED_EQ, mmap.MAP_ANONYMOUS, mmap.MAP_ANONYMOUS)
    rules.add_rule(pyseccomp.ALLOW, "mmap", not_code, of_no_file)
    rules.add_rule(pyseccomp.ALLOW, "mprotect", not_code)
    load: Callable[[], None] = rules.load
    return load

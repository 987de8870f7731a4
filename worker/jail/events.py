"""What happens to the decoder processes, for metrics and logs; every name bounded."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Cause = Literal[
    "timeout",
    "cancelled",
    "hostile_reply",
    "slow_start",
    "signal",
    "forbidden_call",
    "exit",
    "out_of_memory",
    "zygote_lost",
    "decode_error",
    "failed",
    "worn",
    "start",
]
"""Why a process ended.

timeout: its deadline passed. cancelled: nobody waited for its answer any more. hostile_reply: its answer was not one
that an honest child gives. slow_start: it was not ready in time. signal, exit: it ended by itself. forbidden_call: it
made a system call that no decoder makes, and the kernel ended it. out_of_memory: the
kernel took it, or it met its memory limit. zygote_lost: the process that forks them went away. decode_error: it met
bytes that it could not decode, and might have been taken over by them. failed: it met an error of its own.
worn: it had served its segments. start: the zygote could not be started.
"""


class JailEvent(Struct, frozen=True, kw_only=True):
    """One process ended: by itself (died), by us in anger (killed), or by us as planned (retired)."""

    process: Literal["decoder", "zygote"]
    change: Literal["died", "killed", "retired"]
    cause: Cause
    signal: str | None = None
    """Name of the signal it died of; None where it was none, or one of ours."""

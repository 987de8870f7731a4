"""Why a child is lost in the middle of its work, told twice: as an event, and as an error of its segment."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Literal

from worker.jail.child import OUT_OF_MEMORY_STATUS
from worker.jail.events import JailEvent

if TYPE_CHECKING:
    from worker.errors import SegmentError


class Death(Exception):
    """This child can't be used any more, and has not answered: the segment may be tried again in a fresh one."""

    def __init__(self, event: JailEvent, error: Literal["timeout", "crashed", "out_of_memory"], reason: str) -> None:
        super().__init__(reason)
        self.event = event
        self.error = error
        self.reason = reason


def timed_out(deadline_s: float) -> Death:
    """Return the death of a child that was not done in time."""
    event = JailEvent(process="decoder", change="killed", cause="timeout")
    return Death(event, "timeout", f"the decoder was not done after {deadline_s:g} s")


def slow_start(timeout_s: float) -> Death:
    """Return the death of a child that was not ready in time."""
    event = JailEvent(process="decoder", change="killed", cause="slow_start")
    return Death(event, "crashed", f"a new decoder was not ready after {timeout_s:g} s")


def hostile(what: str) -> Death:
    """Return the death of a child whose answer no honest child gives; ``what`` of it was wrong, in our own words."""
    event = JailEvent(process="decoder", change="killed", cause="hostile_reply")
    return Death(event, "crashed", f"the decoder's answer was not valid: {what}")


def failed(error: SegmentError) -> Death | None:
    """Return the death of a child that says that it failed itself; None where it says that the segment is bad."""
    event = JailEvent(process="decoder", change="retired", cause="failed")
    if error.error == "out_of_memory":
        return Death(event, "out_of_memory", error.reason)
    if error.error == "crashed":
        return Death(event, "crashed", error.reason)
    return None


def ended(status: int | None) -> Death:
    """Return the death of a child that ended by itself, by its wait status (None: its zygote went first)."""
    if status is None:
        event = JailEvent(process="decoder", change="died", cause="zygote_lost")
        return Death(event, "crashed", "the decoder's parent process was lost")
    if os.WIFSIGNALED(status):
        return _signalled(os.WTERMSIG(status))
    if os.WEXITSTATUS(status) == OUT_OF_MEMORY_STATUS:
        event = JailEvent(process="decoder", change="died", cause="out_of_memory")
        return Death(event, "out_of_memory", "the decoder met its memory limit")
    event = JailEvent(process="decoder", change="died", cause="exit")
    return Death(event, "crashed", f"the decoder ended with status {os.WEXITSTATUS(status)}")


def _signalled(number: int) -> Death:
    # We had not killed it: then it is the kernel that does, when the machine or the container is out of memory.
    if number == signal.SIGKILL:
        event = JailEvent(process="decoder", change="died", cause="out_of_memory", signal="SIGKILL")
        return Death(event, "out_of_memory", "the decoder was killed from outside, as the kernel does without memory")
    if number == signal.SIGSYS:  # the filter's answer (allowed.py): an attack, or a library that has changed
        event = JailEvent(process="decoder", change="died", cause="forbidden_call", signal="SIGSYS")
        return Death(event, "crashed", "the decoder was ended at a system call that no decoder makes")
    name = signal.Signals(number).name if number in {*signal.Signals} else "SIGRT"
    event = JailEvent(process="decoder", change="died", cause="signal", signal=name)
    return Death(event, "crashed", f"the decoder died of {name}")

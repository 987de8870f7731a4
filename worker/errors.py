"""The tree of errors, named by their consequence."""

from __future__ import annotations

from typing import Literal

Stage = Literal["wire", "fetch", "decode", "score"]
"""Where in the way of the data a segment failed; what a dead letter's ``stage`` says."""


class FramewatchError(Exception):
    """Root of every error that Framewatch raises on purpose."""


class UsageError(FramewatchError):
    """Somebody's mistake in use: a setting, a file, an argument.

    The command line prints the message (one mistake a line, no traceback) and exits non-zero.
    """


class SegmentError(FramewatchError):
    """This event can never succeed: it becomes a dead letter.

    ``error`` is one of the contract's bounded names for its stage; ``reason`` is one line for a person and holds no
    credential, image or hash.
    """

    def __init__(self, stage: Stage, error: str, reason: str, *, attempts: int = 1) -> None:
        super().__init__(f"{stage}/{error}: {reason}")
        self.stage: Stage = stage
        self.error = error
        self.reason = reason
        self.attempts = attempts


class Unreadable(FramewatchError):
    """A message on one of our own topics isn't what the contract says: tell of it, go on with the next."""


class Held(FramewatchError):
    """Nothing is wrong with the event, but a thing we need is away (a store that is down): hold it and try again."""


class PartitionLost(FramewatchError):
    """What became of a release is unknown, or the partition has a new owner: drop its memory and take it again."""


class Stopped(FramewatchError):
    """The worker cannot go on: it ends with this one line and a non-zero status."""


class Moved(Stopped):
    """State, committed offset and log of a partition disagree: it stands still until an operator says what holds."""

"""Where a partition goes on: what checkpoint, committed offset and log say together. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from worker.partition.suspects import Mark

if TYPE_CHECKING:
    from worker.partition.memory import Checkpoint
    from worker.records import LogRange


class Agreement(Struct, frozen=True, kw_only=True):
    """Where to go on, and with what."""

    offset: int
    done: tuple[int, ...] = ()
    """Offsets at or above that have had their outcome."""
    left: Mark | None = None
    """How the last owner left; None where nothing says so."""
    moved: str | None = None
    """What disagrees, in one line; then an operator has to say what holds."""
    expired: int = 0
    """Offsets that retention deleted before anybody consumed them."""


def agree(checkpoint: Checkpoint | None, committed: int | None, log: LogRange) -> Agreement:
    """Return where to go on.

    Without transactions a crash can come between the checkpoint and the commit: then the committed offset is that of
    the release before, and the checkpoint is right. Any other difference somebody made, and so he did where the log
    does not have the offset that both name. A log that ends below it is another one: it is worked from its beginning,
    lest anything in it be skipped, and nothing of the checkpoint is believed.
    """
    if checkpoint is None and committed is None:
        return Agreement(offset=log.first)
    if checkpoint is None or committed not in (checkpoint.next_offset, checkpoint.before):
        return _elsewhere(committed, log, _disagreement(checkpoint, committed))
    at = checkpoint.next_offset
    if (moved := _outside(at, log)) is not None:
        return _elsewhere(at, log, moved)
    return Agreement(offset=at, done=checkpoint.done, left=checkpoint.mark)


def _elsewhere(at: int | None, log: LogRange, moved: str) -> Agreement:
    if at is not None and log.first <= at <= log.end:
        return Agreement(offset=at, moved=moved)
    return Agreement(offset=log.first, moved=moved, expired=0 if at is None else max(0, log.first - at))


def _outside(at: int, log: LogRange) -> str | None:
    if at > log.end:
        return (
            f"the group's committed offset is {at}, the log ends at {log.end}: the topic was made anew, or the offset "
            "is of another cluster"
        )
    if at < log.first:
        return (
            f"the group's committed offset is {at}, the log begins at {log.first}: retention deleted "
            f"{log.first - at} offsets that nobody has watched"
        )
    return None


def _disagreement(checkpoint: Checkpoint | None, committed: int | None) -> str:
    if checkpoint is None:
        return (
            f"the group's committed offset is {committed}, and there is no state: its topic was emptied or made anew, "
            "or something else has consumed as this group"
        )
    if committed is None:
        return (
            f"the group has no committed offset, the state is of offset {checkpoint.next_offset}: the segments topic "
            "or the group was made anew"
        )
    return (
        f"the group's committed offset is {committed}, the state is of offset {checkpoint.next_offset}: "
        "somebody moved one of them"
    )

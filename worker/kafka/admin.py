"""What a check finds, and how checks are run: each within its time, none stopping another."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Literal, TypeVar

from msgspec import Struct

from worker.errors import FramewatchError

if TYPE_CHECKING:
    from collections.abc import Iterable

Level = Literal["pass", "warning", "failure"]
T = TypeVar("T")


class Finding(Struct, frozen=True, kw_only=True):
    """One thing that is as it should be, or not. Holds nothing secret."""

    level: Level
    what: str
    """What was looked at."""
    detail: str
    remedy: str | None = None
    """What to do about it; None where all is well."""


class Check(Struct, frozen=True, kw_only=True):
    """One check: ``run`` returns its findings, or raises what it fails with."""

    what: str
    run: Callable[[], Awaitable[Sequence[Finding]]]
    remedy: str
    """What to do where it raises."""
    within_s: float = 30.0


async def findings(checks: Iterable[Check]) -> list[Finding]:
    """Run the checks, one after the other, and return all that they found."""
    return [finding for check in checks for finding in await _found(check)]


def failures(what: str, error: FramewatchError, remedy: str) -> list[Finding]:
    """Return a finding for each line of an error."""
    return [Finding(level="failure", what=what, detail=line, remedy=remedy) for line in str(error).splitlines()]


async def _found(check: Check) -> Sequence[Finding]:
    try:
        async with asyncio.timeout(check.within_s):
            return await check.run()
    except FramewatchError as error:
        return failures(check.what, error, check.remedy)
    except TimeoutError:
        detail = f"took longer than {check.within_s:g} s"
    except Exception as error:  # noqa: BLE001 - a check that breaks is a finding; the others must run all the same
        detail = f"the check itself failed: {type(error).__name__}"
    return [Finding(level="failure", what=check.what, detail=detail, remedy=check.remedy)]


async def in_thread(work: Callable[[], T]) -> T:
    """Run what blocks in a thread that nobody has to wait for: a file system that hangs must not hold up the end."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type] # T itself where there is no error

    def run() -> None:
        try:
            outcome: tuple[T | None, BaseException | None] = work(), None
        except BaseException as error:  # noqa: BLE001 - it is raised again where it is awaited
            outcome = None, error
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, *outcome)

    threading.Thread(target=run, daemon=True, name="check").start()
    return await done

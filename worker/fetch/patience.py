"""One reference's tries: how many, how far apart, and whose fault it is when none succeeds."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

from worker.errors import Held, SegmentError
from worker.fetch.services import AwayError, RefusedUsError, ThrottledError, failed, shown
from worker.records import Reference

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from worker.fetch.roots import AllowedRoot
    from worker.fetch.services import Service
    from worker.settings.tree import Fetch

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0

Standing = Literal["well", "answers", "away"]
"""How a root's store is: it gives us what it gave before; it answers, which says nothing of our rights; neither."""


class Patience:
    """Tries again what may pass, and tells an object's fault from its store's by asking the store for another one.

    A store's fault holds the partition: nothing is lost while it is away. An object's own becomes a dead letter, so
    that one bad object can't hold a partition for ever.
    """

    def __init__(self, settings: Fetch, sleep: Callable[[float], Awaitable[None]]) -> None:
        """``settings`` has the limits; ``sleep`` waits for so many seconds."""
        self._settings = settings
        self._sleep = sleep
        self._good: dict[str, Reference] = {}
        """The last object that each root gave us."""

    async def read(self, service: Service, reference: Reference, max_bytes: int) -> bytes:
        """Return what a reference names. Raises SegmentError and Held."""
        tries = _Tries()
        while True:
            tries.number += 1
            try:
                data = await self._once(service, reference, max_bytes)
            except SegmentError as error:
                error.attempts = tries.number
                if error.error != "not_found" or tries.waited_s >= self._settings.visible_within_s:
                    raise
                await self._pause(tries, self._settings.visible_within_s - tries.waited_s)
            except RefusedUsError as refusal:
                raise await self._refused(service, reference, refusal, tries) from None
            except AwayError as away:
                await self._count(service, reference, away, tries)
                await self._pause(tries, LONGEST_PAUSE_S)
            else:
                self._remember(service, reference)
                return data

    async def _once(self, service: Service, reference: Reference, max_bytes: int) -> bytes:
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                return await service.read(reference, max_bytes)
        except TimeoutError:
            raise AwayError(f"it took longer than {self._settings.timeout_s:g} s") from None

    async def _pause(self, tries: _Tries, most_s: float) -> None:
        seconds = min(FIRST_PAUSE_S * 2 ** min(tries.pauses, 10), LONGEST_PAUSE_S, most_s)
        tries.pauses += 1
        tries.waited_s += seconds
        await self._sleep(seconds)

    async def _count(self, service: Service, reference: Reference, away: AwayError, tries: _Tries) -> None:
        """After each round of tries ask whose fault it is; raise what follows from it, or return for another round."""
        tries.away += 1
        rounds, unfinished = divmod(tries.away, self._settings.attempts)
        if unfinished:
            return
        if isinstance(away, ThrottledError) or await self._standing(service, reference) == "away":
            raise Held(f"{shown(reference)}: {away} (tried {tries.number} times)") from None
        if rounds >= self._settings.attempts:
            error = failed("refused", reference, f"{away}, again and again, while its store is there")
            error.attempts = tries.number
            raise error from None

    async def _refused(
        self, service: Service, reference: Reference, refusal: RefusedUsError, tries: _Tries
    ) -> SegmentError | Held:
        """Only a store that still gives us another object has something against this one."""
        if await self._standing(service, reference) != "well":
            return Held(str(refusal))
        error = failed("refused", reference, "the store refuses us this object, and gives us others")
        error.attempts = tries.number
        return error

    async def _standing(self, service: Service, reference: Reference) -> Standing:
        root = service.root_of(reference)
        if root is None:
            return "away"
        good = self._good.get(root.setting)
        if good is None or good.uri == reference.uri:
            return await self._answers(service, root)
        try:
            await self._once(service, good, 0)
        except SegmentError as error:
            if error.error == "too_large":  # it would have given it to us: no byte of it was wanted
                return "well"
            self._good.pop(root.setting, None)
            return "answers"
        except (AwayError, RefusedUsError, Held):
            return "away"
        return "well"

    async def _answers(self, service: Service, root: AllowedRoot) -> Standing:
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                return "answers" if await service.answers(root) else "away"
        except TimeoutError:
            return "away"

    def _remember(self, service: Service, reference: Reference) -> None:
        """Not what somebody's signature let us have: it expires."""
        root = service.root_of(reference)
        if root is not None and "?" not in reference.uri:
            self._good[root.setting] = Reference(uri=reference.uri)


class _Tries:
    """How one reference's tries went so far."""

    def __init__(self) -> None:
        self.number = 0
        self.away = 0
        self.pauses = 0
        self.waited_s = 0.0

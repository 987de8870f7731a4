"""The jail: as many decoders as there are cores, one more in reserve, and what becomes of those that fail.

A child that was taken over and lives could answer with harmless pictures; so none lives long: it is retired after any
decode error, and after ``SEGMENTS_PER_CHILD`` segments. The reserve is forked ahead, so no segment waits for a fork.
"""

from __future__ import annotations

import asyncio
import math
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from worker.cores import cores
from worker.errors import Held, SegmentError, Stopped, UsageError
from worker.jail import reply
from worker.jail.backoff import Backoff
from worker.jail.deaths import Death
from worker.jail.events import JailEvent
from worker.jail.lockdown import too_open
from worker.jail.messages import Birth, Target
from worker.jail.nursery import Gone, Zygote
from worker.jail.ready import Ready
from worker.jail.slot import INIT_MAX_BYTES, slot_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.jail.lockdown import Lockdown
    from worker.jail.nursery import Child
    from worker.records import Ask, Media, Sample
    from worker.settings import tree

SEGMENTS_PER_CHILD = 64
RESERVE = 1
ATTEMPTS = 2
ZYGOTE_START_S = 60.0
CHILD_START_S = 5.0
FREE_DEATHS = 8
"""So many children may die one after the other, none serving in between, before new ones are held back."""

DECODER = Target()
_CANCELLED = JailEvent(process="decoder", change="killed", cause="cancelled")
_DECODE_ERROR = JailEvent(process="decoder", change="retired", cause="decode_error")
_WORN = JailEvent(process="decoder", change="retired", cause="worn")


class Jail:
    """Turns segments into samples in child processes. Made by ``start``; ``close`` ends every process."""

    def __init__(
        self,
        zygote: Zygote,
        birth: Birth,
        *,
        processes: int,
        deadline_s: float,
        max_bytes: int,
        on_event: Callable[[JailEvent], None],
    ) -> None:
        """Take over a zygote that is ready; ``start`` is the way here."""
        self.processes = processes
        """How many segments are decoded at once."""
        self.in_use = 0
        """How many are being decoded now."""
        self._zygote = zygote
        self._birth = birth
        self._deadline_s = deadline_s
        self._max_bytes = max_bytes
        self._on_event = on_event
        self._turns = asyncio.Semaphore(processes)
        self._ready = Ready()
        self._alive: set[Child] = set()
        self._missing = asyncio.Event()
        self._deaths = Backoff(free=FREE_DEATHS)
        self._copies = ThreadPoolExecutor(processes, thread_name_prefix="jail-copy")
        self._tending: asyncio.Task[None] | None = None
        self._cleaning: set[asyncio.Task[None]] = set()
        self._closed = False
        self._broken: str | None = None

    @classmethod
    async def start(
        cls,
        settings: tree.Jail,
        *,
        max_bytes: int,
        on_event: Callable[[JailEvent], None],
        target: Target = DECODER,
    ) -> Jail:
        """Start the zygote and its children, and return when all are ready. Raises Stopped when they can't be.

        ``max_bytes`` is the largest segment; ``on_event`` is told of each process that ends, and must not raise.
        """
        birth = Birth(
            target=target,
            slot_bytes=slot_bytes(max_bytes),
            memory_bytes=settings.memory_bytes,
            cpu_s=math.ceil(settings.deadline_s * SEGMENTS_PER_CHILD) + 1,
        )
        processes = settings.processes or cores()
        try:
            zygote = await Zygote.start(birth, timeout_s=ZYGOTE_START_S)
        except Gone as error:
            raise Stopped(str(error)) from error
        if target.lock_down and not zygote.lockdown.reaches(settings.require):
            await zygote.close()
            raise Stopped(too_open(zygote.lockdown, settings.require))
        jail = cls(
            zygote,
            birth,
            processes=processes,
            deadline_s=settings.deadline_s,
            max_bytes=max_bytes,
            on_event=on_event,
        )
        try:
            await jail._populate()
        except BaseException:
            await jail.close()
            raise
        return jail

    @property
    def alive(self) -> int:
        """How many decoder processes are alive, those in reserve with them."""
        return len(self._alive)

    @property
    def lockdown(self) -> Lockdown:
        """How well the decoders are locked down here, found by trying to escape."""
        return self._zygote.lockdown

    async def sample(self, media: Media, ask: Ask) -> Sample:
        """Return what is in a segment.

        Segments are served in the order in which they came. The deadline counts from when a decoder has the bytes.
        Where a decoder dies, fails or is killed, a fresh one tries once more.

        Raises:
            SegmentError: What the decoder says of the segment; or ``decode`` with ``timeout``, ``crashed`` or
                ``out_of_memory``, after two attempts.
            Held: The jail was closed in the middle.
            Stopped: No decoder can be made any more.
            UsageError: So many pictures of such a size are asked for that no slot holds them.
        """
        self._check(media, ask)
        if self._closed:
            raise self._refusal()
        await self._turns.acquire()
        self.in_use += 1
        child: Child | None = None
        try:
            sample, child = await self._attempts(media, ask)
        finally:
            self.in_use -= 1
            self._end_turn(child)
        return sample

    async def close(self) -> None:
        """End every process; segments still in work raise Held. Returns when all are gone."""
        if self._closed:
            return
        self._closed = True
        if self._tending is not None:
            self._tending.cancel()
            await asyncio.wait({self._tending})
        self._ready.fail(self._refusal())
        await self._zygote.close()
        for _ in range(self.processes):  # each segment in work has seen its decoder's end by then, and is wiped away
            await self._turns.acquire()
        for child in self._alive:
            child.let_go()
        self._copies.shutdown()

    def _check(self, media: Media, ask: Ask) -> None:
        if len(media.data) > self._max_bytes:
            raise SegmentError("fetch", "too_large", f"{len(media.data)} bytes; the limit is {self._max_bytes}")
        if len(media.init or b"") > INIT_MAX_BYTES:
            raise SegmentError("fetch", "too_large", f"an initialisation segment of more than {INIT_MAX_BYTES} bytes")
        if reply.room_for(ask) > self._birth.slot_bytes:
            raise UsageError(
                f"sampling.max_keyframes: {ask.max_keyframes} pictures of the classifier's size take more than "
                f"{self._birth.slot_bytes} bytes; ask for fewer"
            )

    async def _attempts(self, media: Media, ask: Ask) -> tuple[Sample, Child]:
        attempt = 1
        while True:
            try:
                return await self._attempt(media, ask, fresh=attempt > 1)
            except Death as death:
                if self._closed:
                    raise self._refusal() from None
                if attempt == ATTEMPTS:
                    raise SegmentError("decode", death.error, death.reason, attempts=attempt) from None
            except SegmentError as error:
                error.attempts = attempt
                raise
            attempt += 1

    async def _attempt(self, media: Media, ask: Ask, *, fresh: bool) -> tuple[Sample, Child]:
        if self._closed or self._broken is not None:
            raise self._refusal()
        child = await self._ready.take(fresh=fresh)
        try:
            sample = await child.ask(media, ask, deadline_s=self._deadline_s, copies=self._copies)
        except Death as death:
            self._deaths.failed()
            self._lose(child, death.event)
            raise
        except SegmentError:
            self._deaths.succeeded()
            self._lose(child, _DECODE_ERROR)
            raise
        except BaseException:
            self._lose(child, _CANCELLED)
            raise
        self._deaths.succeeded()
        return sample, child

    def _end_turn(self, child: Child | None) -> None:
        """Let the next segment have its turn: at once, or when the child that served this one is clean."""
        if child is None:
            self._turns.release()
            return
        task = asyncio.create_task(self._clean(child), name="jail-clean")
        self._cleaning.add(task)
        task.add_done_callback(self._cleaning.discard)

    async def _clean(self, child: Child) -> None:
        """Leave nothing of a segment in its child's slot. Who asked has the answer already, and does not wait."""
        try:
            if child.served < SEGMENTS_PER_CHILD:
                await child.wipe(self._copies)
        finally:
            self._give_back(child)
            self._turns.release()

    def _give_back(self, child: Child) -> None:
        if child.ended.done():
            self._ended(child)
        elif child.served >= SEGMENTS_PER_CHILD:
            self._lose(child, _WORN)
        else:
            self._ready.put(child)

    def _lose(self, child: Child, event: JailEvent) -> None:
        """Part with a child, dead or alive, and have another one in its place. Once is enough."""
        if child not in self._alive:
            return
        self._alive.remove(child)
        child.kill()
        if not self._closed:
            self._missing.set()
            self._on_event(event)

    # --- bringing up ------------------------------------------------------------------------------------------------

    async def _populate(self) -> None:
        for _ in range(self.processes + RESERVE):
            await self._bear()
        if not self._alive:
            raise Stopped("the decoder processes end as soon as they are started")
        self._tending = asyncio.create_task(self._tend(), name="jail-tend")

    async def _tend(self) -> None:
        """Keep as many children alive as there should be."""
        try:
            while True:
                if len(self._alive) >= self.processes + RESERVE:
                    self._missing.clear()
                await self._missing.wait()
                await self._deaths.wait()
                await self._bear()
        except Exception as error:
            why = str(error) if isinstance(error, Stopped) else type(error).__name__
            self._broken = f"no decoder can be made any more: {why}"
            self._ready.fail(self._refusal())
            raise

    def _refusal(self) -> Held | Stopped:
        return Stopped(self._broken) if self._broken is not None else Held("the decoders are being closed")

    async def _bear(self) -> None:
        """Add one child; where that fails, say so and make the next one wait longer."""
        try:
            await self._renew_zygote()
            child = self._zygote.fork()
        except (Gone, OSError):  # OSError: no descriptor or no memory left for a slot
            self._deaths.failed()
            self._on_event(JailEvent(process="zygote", change="died", cause="start"))
            return
        self._alive.add(child)
        child.ended.add_done_callback(lambda _: self._ended_idle(child))
        try:
            await child.ready(timeout_s=CHILD_START_S)
        except Death as death:
            self._deaths.failed()
            self._lose(child, death.event)
        else:
            self._ready.put(child)

    async def _renew_zygote(self) -> None:
        if not self._zygote.ended.done():
            return
        self._on_event(JailEvent(process="zygote", change="died", cause="zygote_lost"))
        before = self._zygote.lockdown
        self._zygote = await Zygote.start(self._birth, timeout_s=ZYGOTE_START_S)
        if not self._zygote.lockdown.reaches(before.level):
            raise Stopped(too_open(self._zygote.lockdown, before.level))

    def _ended_idle(self, child: Child) -> None:
        if self._ready.remove(child):
            self._ended(child)

    def _ended(self, child: Child) -> None:
        self._lose(child, child.death().event)

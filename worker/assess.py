"""One segment through fetch, decoder, matching and scoring to an Assessment: the file to read first.

The order matters. A repeat is told by its digest before anything is decoded. Matching comes before scoring: a frame
that a ``block`` list matched never reaches the classifier; ``review`` and ``allow`` matches are scored all the same,
unless near-duplicates are spared (``worker.duplicates``). Every frame is matched, spared or not.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from contextlib import AsyncExitStack, contextmanager
from typing import TYPE_CHECKING, Literal, Protocol

from msgspec import Struct
from msgspec.structs import replace

from worker.duplicates import Walk
from worker.errors import SegmentError
from worker.records import Ask, Assessment, Failure, Look, Media, Reference
from worker.streams import memory
from worker.streams.identity import standing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime

    from worker.duplicates import Course, NearDuplicates
    from worker.records import FrameScore, Initialisation, Match, Picture, Sample, Segment, View
    from worker.streams.state import StreamState

INIT_MAX_BYTES = 256 * 1024
OFF_LOOP_BYTES = 1024 * 1024
"""A digest of more than this is taken in a thread: below, the way there costs more than the digest."""


class Source(Protocol):
    """Where claim checks are redeemed (``worker.fetch``)."""

    def fetched(self, reference: Reference, *, max_bytes: int) -> AbstractAsyncContextManager[bytes]:
        """Give the bytes, checked, or raise SegmentError or Held; they have room in memory until the context ends."""

    async def fetch_init(self, reference: Reference) -> bytes:
        """Return an initialisation segment, perhaps from memory."""


class Decoder(Protocol):
    """What turns bytes into keyframes (``worker.jail``)."""

    async def sample(self, media: Media, ask: Ask) -> Sample:
        """Return what is in the segment, or raise SegmentError."""


class Known(Protocol):
    """What knows known material (``worker.matching``)."""

    def match(self, pdq: bytes) -> tuple[Match, ...]:
        """Return the list entries within their radius, nearest first."""


class Classifier(Protocol):
    """What scores pictures (``worker.scoring``)."""

    @property
    def view(self) -> View:
        """Size and fit of the pictures it wants."""

    async def score(self, pictures: Sequence[Picture]) -> tuple[FrameScore, ...]:
        """Return each picture's scores, or raise SegmentError."""


Measure = Literal["whole", "first", "lateness", "overload"]
"""How much of a segment is looked at: what the plan says, its first keyframe only, or nothing and why."""


class Turn(Protocol):
    """What says how much of a segment is looked at, once its turn has come (``worker.partition``)."""

    def before_fetch(self) -> Measure:
        """Say it before anything is fetched."""

    def before_decode(self, *, waited: bool) -> Measure:
        """Say it again before it is decoded; ``waited``: until then others were decoded and scored, as many as may."""


class Whole:
    """Every segment is looked at as planned."""

    def before_fetch(self) -> Measure:
        """Whatever its age."""
        return "whole"

    def before_decode(self, *, waited: bool) -> Measure:  # noqa: ARG002 - of no concern here
        """However long it has waited."""
        return "whole"


WHOLE = Whole()
SHED = ("lateness", "overload")


class Plan(Struct, frozen=True, kw_only=True):
    """Which keyframes are asked for, and the limits."""

    interval_s: float
    max_keyframes: int
    max_pixels: int
    max_streams: int
    max_bytes: int
    loop_filter: bool = True
    at_once: int = 8
    """Segments from decoding to scoring at once: their pictures are in memory, up to ``max_keyframes`` of each."""


class Assessor:
    """Joins the stations. Knows no stream and keeps nothing between segments."""

    def __init__(
        self,
        *,
        source: Source,
        decoder: Decoder,
        known: Known,
        classifier: Classifier | None,
        plan: Plan,
        on_stage: Callable[[Segment, str, float], None],
        duplicates: NearDuplicates | None = None,
    ) -> None:
        """``on_stage`` is told of which segment, each stage's name, and its seconds.

        Without ``duplicates`` every frame is scored.
        """
        self._source = source
        self._decoder = decoder
        self._known = known
        self._classifier = classifier
        self._plan = plan
        self._on_stage = on_stage
        self._duplicates = duplicates
        self._rooms = asyncio.Semaphore(plan.at_once)

    async def assess(
        self,
        segment: Segment,
        state: StreamState,
        initialisation: bytes | None,
        received_at: datetime,
        turn: Turn = WHOLE,
    ) -> Assessment:
        """Return what became of the segment: every SegmentError is an outcome. Raises Held when it has to wait.

        ``initialisation`` is the one from the stream's last init event.
        """
        so_far = Assessment(segment=segment, outcome="assessed", why=None, standing="fresh", received_at=received_at)
        if (measure := turn.before_fetch()) in SHED:
            return replace(so_far, outcome="shed", why=measure)
        async with AsyncExitStack() as in_memory:
            try:
                with self._stage(segment, "fetch"):
                    media = await self._media(segment, initialisation, in_memory)
                so_far = replace(so_far, sha256=media.sha256, standing=standing(state, segment, media.sha256))
                if so_far.standing == "repeat":
                    return replace(so_far, outcome="skipped", why="repeat")
                waited = self._rooms.locked()
                async with self._rooms:
                    if (measure := turn.before_decode(waited=waited)) in SHED:
                        return replace(so_far, outcome="shed", why=measure)
                    return await self._looked_at(so_far, media, state, first_only=measure == "first")
            except SegmentError as error:
                return _failed(so_far, error)

    async def initialisation(self, event: Initialisation) -> bytes:
        """Return the bytes that an init event brings. Raises SegmentError or Held."""
        if isinstance(event.payload, Reference):
            async with self._source.fetched(event.payload, max_bytes=INIT_MAX_BYTES) as data:
                return data
        return event.payload

    async def _media(self, segment: Segment, initialisation: bytes | None, in_memory: AsyncExitStack) -> Media:
        data = segment.payload
        if isinstance(data, Reference):
            fetched = self._source.fetched(data, max_bytes=self._plan.max_bytes)
            data = await in_memory.enter_async_context(fetched)
        if segment.init is not None:
            initialisation = await self._source.fetch_init(segment.init)
        init = initialisation if segment.content_type == "video/iso.segment" else None
        return Media(data=data, init=init, sha256=await _digest(data))

    async def _looked_at(self, so_far: Assessment, media: Media, state: StreamState, *, first_only: bool) -> Assessment:
        ask = self._ask(so_far.segment, first_only=first_only)
        with self._stage(so_far.segment, "decode"):
            sample = await self._decoder.sample(media, ask)
        self._tell_costs(so_far.segment, sample)
        measured = replace(
            so_far,
            start_s=sample.start_s,
            wrap_s=sample.wrap_s,
            duration_s=sample.duration_s,
            keyframes_seen=sample.keyframes_seen,
        )
        if not sample.frames:
            return replace(measured, outcome="skipped", why="no_keyframe" if sample.codec else "no_video")
        matches = self._match(so_far.segment, sample)
        try:
            walk = await self._score(measured, sample, matches, state)
        except SegmentError as error:
            # What a list knows counts all the same: a match is never suppressed once its frame was decoded.
            return _failed(replace(measured, looks=_looks(sample, matches, Walk())), error)
        hurried = ask.max_keyframes < self._plan.max_keyframes and sample.keyframes_seen > 1
        looks = _looks(sample, matches, walk)
        return replace(measured, why=_why(so_far, sample, hurried=hurried), looks=looks, last_scored=walk.last)

    def _ask(self, segment: Segment, *, first_only: bool) -> Ask:
        plan = self._plan
        return Ask(
            content_type=segment.content_type,
            interval_s=plan.interval_s,
            max_keyframes=1 if first_only else plan.max_keyframes,
            view=self._classifier.view if self._classifier else None,
            max_pixels=plan.max_pixels,
            max_streams=plan.max_streams,
            loop_filter=plan.loop_filter,
        )

    def _match(self, segment: Segment, sample: Sample) -> list[tuple[Match, ...]]:
        with self._stage(segment, "match"):
            return [self._known.match(f.hash.pdq) if f.hash.pdq is not None else () for f in sample.frames]

    async def _score(
        self, measured: Assessment, sample: Sample, matches: list[tuple[Match, ...]], state: StreamState
    ) -> Walk:
        """Return how the frames fared that may go to the classifier."""
        pictures = {
            number: frame.picture
            for number, (frame, found) in enumerate(zip(sample.frames, matches, strict=True))
            if frame.picture is not None and not any(match.list_kind == "block" for match in found)
        }
        if self._classifier is None or not pictures:
            return Walk()
        # A late frame is scored by itself: what was scored last comes after it.
        if self._duplicates is None or measured.standing == "late":
            with self._stage(measured.segment, "score"):
                answers = await self._classifier.score(list(pictures.values()))
            return Walk(dict(zip(pictures, answers, strict=True)))
        frames = {number: (sample.frames[number].hash.pdq, sample.frames[number].offset_s) for number in pictures}
        course = self._duplicates.course(state, memory.foresee(state, measured), frames)
        return await self._walk(course, pictures, measured.segment, self._classifier)

    async def _walk(
        self, course: Course, pictures: dict[int, Picture], segment: Segment, classifier: Classifier
    ) -> Walk:
        """Score what can't be spared."""
        own: dict[int, FrameScore] = {}
        walk = course.walked(own)
        if not walk.missing:
            return walk
        with self._stage(segment, "score"):
            while walk.missing:
                answers = await classifier.score([pictures[number] for number in walk.missing])
                own.update(zip(walk.missing, answers, strict=True))
                walk = course.walked(own)
        return walk

    def _tell_costs(self, segment: Segment, sample: Sample) -> None:
        costs = sample.costs
        for stage, seconds in (("open", costs.open_s), ("hash", costs.hash_s), ("resize", costs.resize_s)):
            self._on_stage(segment, stage, seconds)

    @contextmanager
    def _stage(self, segment: Segment, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self._on_stage(segment, name, time.perf_counter() - started)


def failure(error: SegmentError) -> Failure:
    """Return an error as the record that a dead letter is made from."""
    return Failure(stage=error.stage, error=error.error, reason=error.reason, attempts=error.attempts)


def _failed(so_far: Assessment, error: SegmentError) -> Assessment:
    return replace(so_far, outcome="dead_lettered", why=error.error, failure=failure(error))


def _looks(sample: Sample, matches: list[tuple[Match, ...]], walk: Walk) -> tuple[Look, ...]:
    return tuple(
        Look(
            offset_s=frame.offset_s,
            hash=frame.hash,
            matches=found,
            scores=walk.scores.get(number),
            near_duplicate=number in walk.spared,
        )
        for number, (frame, found) in enumerate(zip(sample.frames, matches, strict=True))
    )


async def _digest(data: bytes) -> str:
    if len(data) > OFF_LOOP_BYTES:
        return (await asyncio.to_thread(hashlib.sha256, data)).hexdigest()
    return hashlib.sha256(data).hexdigest()


def _why(so_far: Assessment, sample: Sample, *, hurried: bool) -> str | None:
    if so_far.standing != "fresh":
        return so_far.standing
    if sample.damaged:
        return "partial"
    return "hurried" if hurried else None

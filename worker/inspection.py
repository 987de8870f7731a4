"""One file as the worker sees it: the same way as a segment's, through the jail, matching and scoring.

It is the worker's own ``Assessor`` that looks. Only what is asked of the decoder differs: the container is told by
content, and by default every keyframe is wanted, since a person asked.
"""

from __future__ import annotations

import dataclasses
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from worker.assess import Assessor, Plan
from worker.errors import Stopped
from worker.jail.pool import Jail
from worker.jail.reply import room_for
from worker.jail.slot import REPLY_MAX_BYTES
from worker.lists.read import read_lists
from worker.matching import Matcher
from worker.records import Ask, EventId, Position, ReportedMatch, Score, Segment
from worker.scoring import session as scoring
from worker.streams.state import StreamState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from contextlib import AbstractAsyncContextManager

    from worker.assess import Decoder
    from worker.records import Frame, Look, Media, Reference, Sample, View
    from worker.scoring.session import Classifier
    from worker.settings.tree import Settings

MOST_KEYFRAMES = 10_000
PATIENCE_S = 300.0
"""How long all keyframes of a file may take: a file is longer than a segment."""
_STREAM = "inspect"


class SeenKeyframe(Struct, frozen=True, kw_only=True):
    """A keyframe as ``framewatch inspect --json`` tells it."""

    media_time_s: float
    """From the first frame, seconds."""
    pdq: str | None
    """64 hex digits in ThreatExchange's order; None where quality is below 50."""
    quality: int
    scores: dict[str, Score] | None
    """None where no classifier looked."""
    matches: tuple[ReportedMatch, ...]
    width: int
    height: int


class Seen(Struct, frozen=True, kw_only=True):
    """All that was seen in a file."""

    container: str
    codec: str | None
    duration_s: float | None
    keyframes_seen: int
    """In the container, asked for or not."""
    damaged: bool
    keyframes: tuple[SeenKeyframe, ...]
    costs_s: dict[str, float]
    """Step to seconds: ``open``, ``decode``, ``hash`` and ``resize`` are the decoder's CPU, ``jail`` is all of them as
    the worker waits for them, ``match`` and ``score`` come after."""


@asynccontextmanager
async def inspector(settings: Settings, *, plan: bool) -> AsyncIterator[Inspector]:
    """Load what the settings name and start one decoder.

    Args:
        settings: As the worker has them; neither a model nor a list has to be named.
        plan: Take only the keyframes that the worker's sampling plan takes.

    Raises:
        UsageError: The model folder or a list is wrong.
        Stopped: No decoder could be started.
    """
    known = Matcher(read_lists(settings.matching.lists))
    model, limits = settings.scoring.model, settings.scoring
    classifier = scoring.load(Path(model), threads=limits.threads, limits=limits) if model else None
    patience_s = settings.jail.deadline_s if plan else max(settings.jail.deadline_s, PATIENCE_S)
    jail_settings = dataclasses.replace(settings.jail, processes=1, deadline_s=patience_s)
    try:
        jail = await Jail.start(jail_settings, max_bytes=settings.fetch.max_bytes, on_event=lambda _: None)
        try:
            yield Inspector(settings, jail, classifier, known, plan=plan)
        finally:
            await jail.close()
    finally:
        if classifier is not None:
            classifier.close()


class Inspector:
    """Looks at files; made by ``inspector``."""

    def __init__(
        self, settings: Settings, decoder: Decoder, classifier: Classifier | None, known: Matcher, *, plan: bool
    ) -> None:
        """Take over what ``inspector`` has started."""
        self._settings = settings
        self._decoder = decoder
        self._classifier = classifier
        self._known = known
        self._plan = _plan(settings, classifier.view if classifier else None, as_planned=plan)

    async def inspect(self, data: bytes, init: bytes | None) -> Seen:
        """Return what is seen in it.

        Raises:
            Stopped: Nothing is: no media, damaged, encrypted, too large; the line says what its dead letter would.
        """
        stages_s: dict[str, float] = {}
        decoder = _ByContent(self._decoder)
        assessor = Assessor(
            source=_Nowhere(),
            decoder=decoder,
            known=self._known,
            classifier=self._classifier,
            plan=self._plan,
            on_stage=lambda _, stage, seconds: stages_s.update({stage: seconds}),
        )
        assessment = await assessor.assess(_segment(data), StreamState(stream_id=_STREAM), init, datetime.now(UTC))
        if assessment.failure is not None:
            raise Stopped(f"{assessment.failure.error}: {assessment.failure.reason}")
        if assessment.outcome == "skipped":
            raise Stopped(_NOTHING[str(assessment.why)])
        return _seen(decoder.samples[0], assessment.looks, stages_s)


_NOTHING = {"no_video": "there is no video in it", "no_keyframe": "there is no keyframe in it"}


def read_media(path: Path, max_bytes: int) -> bytes:
    """Read a file.

    Raises:
        Stopped: It can't be read, or is larger than the worker takes.
    """
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise Stopped(f"{path}: {error.strerror}") from error
    if len(data) > max_bytes:
        raise Stopped(f"{path}: is larger than {max_bytes} bytes (fetch.max_bytes); cut it, or raise the limit")
    return data


def most_keyframes(view: View | None) -> int:
    """Return how many keyframes one reply of the decoder has room for."""
    none, one = (room_for(_ask(view, keyframes)) for keyframes in (0, 1))
    return min(MOST_KEYFRAMES, (REPLY_MAX_BYTES - none) // (one - none))


def _ask(view: View | None, keyframes: int) -> Ask:
    return Ask(content_type=None, interval_s=0.0, max_keyframes=keyframes, view=view, max_pixels=1, max_streams=1)


def _plan(settings: Settings, view: View | None, *, as_planned: bool) -> Plan:
    return Plan(
        interval_s=settings.sampling.interval_s if as_planned else 0.0,
        max_keyframes=settings.sampling.max_keyframes if as_planned else most_keyframes(view),
        max_pixels=settings.jail.max_pixels,
        max_streams=settings.jail.max_streams,
        max_bytes=settings.fetch.max_bytes,
        loop_filter=settings.sampling.loop_filter,
    )


class _ByContent:
    """A decoder that is told no content type, and what it saw."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self.samples: list[Sample] = []

    async def sample(self, media: Media, ask: Ask) -> Sample:
        sample = await self._decoder.sample(media, replace(ask, content_type=None))
        self.samples.append(sample)
        return sample


class _Nowhere:
    """There is nothing to fetch: the file is the body."""

    def fetched(self, reference: Reference, *, max_bytes: int) -> AbstractAsyncContextManager[bytes]:
        raise NotImplementedError

    async def fetch_init(self, reference: Reference) -> bytes:
        raise NotImplementedError


def _segment(data: bytes) -> Segment:
    """The file as a segment. With this content type an initialisation is passed on; the decoder isn't told of it."""
    return Segment(
        position=Position(topic="", partition=0, offset=0, timestamp_ms=0),
        event=EventId(source=_STREAM, id=_STREAM),
        stream_id=_STREAM,
        content_type="video/iso.segment",
        payload=data,
    )


def _seen(sample: Sample, looks: Sequence[Look], stages_s: dict[str, float]) -> Seen:
    costs = sample.costs
    return Seen(
        container=sample.container,
        codec=sample.codec,
        duration_s=sample.duration_s,
        keyframes_seen=sample.keyframes_seen,
        damaged=sample.damaged,
        keyframes=tuple(_keyframe(frame, look) for frame, look in zip(sample.frames, looks, strict=True)),
        costs_s={
            "open": costs.open_s,
            "decode": costs.decode_s,
            "hash": costs.hash_s,
            "resize": costs.resize_s,
            "jail": stages_s["decode"],
            **{stage: stages_s[stage] for stage in ("match", "score") if stage in stages_s},
        },
    )


def _keyframe(frame: Frame, look: Look) -> SeenKeyframe:
    return SeenKeyframe(
        media_time_s=frame.offset_s,
        pdq=None if frame.hash.pdq is None else frame.hash.pdq.hex(),
        quality=frame.hash.quality,
        scores=look.scores,
        matches=tuple(ReportedMatch(list=m.list, entry=m.entry, distance=m.distance) for m in look.matches),
        width=frame.width,
        height=frame.height,
    )

"""What each step of the hot path costs, in milliseconds of this thread's CPU, beside its floor.

Everything that is held against something else is measured with it in one run, in turns.
"""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import contextmanager
from datetime import UTC, datetime
from time import perf_counter, process_time, thread_time
from typing import TYPE_CHECKING

import numpy as np
from msgspec.structs import replace

from benchmarks.figures import interleaved
from benchmarks.floor import Bare, Idr
from worker import conclude
from worker.conclude import Rules
from worker.escalation.context import Context
from worker.examine import examine
from worker.jail.pool import Jail
from worker.matching import Matcher
from worker.policy import read as policies
from worker.records import Ask, Assessment, EventId, HashFile, HashList, Look, Media, Position, Received, Segment
from worker.scoring import folder
from worker.scoring.calibration import interpret
from worker.scoring.preparation import prepare
from worker.settings import tree
from worker.streams.state import StreamState, snapshot
from worker.wire import read, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from benchmarks.clips import Clip
    from benchmarks.figures import Measure
    from worker.records import FrameScore, Picture, Sample, View
    from worker.scoring.session import Classifier

START = datetime(2026, 1, 1, tzinfo=UTC)
SETTINGS = tree.Settings(topics=tree.Topics(assessments="assessments"))
HISTORY = 64
"""Segments that a stream has had before the one that is measured."""
RADIUS = 31


def cpu(name: str, work: Callable[[], object]) -> Measure:
    """Measure milliseconds of this thread's CPU."""

    def measure() -> dict[str, float]:
        started = thread_time()
        work()
        return {name: (thread_time() - started) * 1000}

    return measure


def asking(clip: Clip, view: View | None) -> Ask:
    """What a worker with default settings asks of its decoders."""
    return Ask(
        content_type=clip.content_type,
        interval_s=SETTINGS.sampling.interval_s,
        max_keyframes=SETTINGS.sampling.max_keyframes,
        view=view,
        max_pixels=SETTINGS.jail.max_pixels,
        max_streams=SETTINGS.jail.max_streams,
    )


def media(clip: Clip) -> Media:
    """The segment as a decoder gets it."""
    return Media(data=clip.data, init=clip.init, sha256=hashlib.sha256(clip.data).hexdigest())


def received(clip: Clip, sequence: int = HISTORY) -> Received:
    """The segment as the consumer gets it."""
    segment = Segment(
        position=Position(topic="", partition=0, offset=0, timestamp_ms=0),
        event=EventId(source="/benchmarks", id=f"segment-{sequence}"),
        stream_id="benchmark",
        content_type=clip.content_type,
        payload=clip.data,
        sequence=sequence,
        captured_at=START,
    )
    message = write.segment_message(segment, topic="segments")
    at_ms = round(START.timestamp() * 1000) + 2000 * sequence
    position = Position(topic="segments", partition=0, offset=sequence, timestamp_ms=at_ms)
    return Received(position=position, key=message.key, value=message.value, headers=message.headers)


# --- bytes to keyframes ---------------------------------------------------------------------------------------------


class Jailed:
    """A jail with one decoder, and an event loop to ask it in."""

    def __init__(self, runner: asyncio.Runner, jail: Jail) -> None:
        self._runner = runner
        self._jail = jail

    def sample(self, asked: Media, ask: Ask) -> Sample:
        """What the jail finds in a segment."""
        return self._runner.run(self._jail.sample(asked, ask))

    def timed(self, asked: Media, ask: Ask) -> dict[str, float]:
        """Milliseconds by the clock, and of CPU in this process; the loop's own start is no part of the hot path."""

        async def once() -> dict[str, float]:
            wall, started = perf_counter(), process_time()
            await self._jail.sample(asked, ask)
            took_s, wall_s = process_time() - started, perf_counter() - wall
            return {"jail_parent": took_s * 1000, "jail_wall": wall_s * 1000}

        return self._runner.run(once())


@contextmanager
def jailed() -> Iterator[Jailed]:
    """Start a jail; end it with the block."""
    with asyncio.Runner() as runner:
        one = tree.Jail(processes=1)
        jail = runner.run(Jail.start(one, max_bytes=SETTINGS.kafka.max_message_bytes, on_event=lambda _: None))
        try:
            yield Jailed(runner, jail)
        finally:
            runner.run(jail.close())


def decoding(clip: Clip, view: View, jail: Jailed, rounds: int) -> dict[str, list[float]]:
    """Measure one segment from bytes to hash and model input: its floor, in this process, and in the jail.

    Returns:
        By name: ``idr`` (the floor), ``examine`` with its steps ``open``, ``decode``, ``hash``, ``resize``,
        ``examine_wall``, ``sha256``, ``jail_wall``, ``jail_parent`` (CPU that the jail costs on this side).
    """
    ask, asked, idr = asking(clip, view), media(clip), Idr(clip)

    def in_process() -> dict[str, float]:
        wall, started = perf_counter(), thread_time()
        costs = examine(clip.data, clip.init, ask).costs
        took_s, wall_s = thread_time() - started, perf_counter() - wall
        steps_s = {"open": costs.open_s, "decode": costs.decode_s, "hash": costs.hash_s, "resize": costs.resize_s}
        return {name: s * 1000 for name, s in {"examine": took_s, "examine_wall": wall_s, **steps_s}.items()}

    digest = cpu("sha256", lambda: hashlib.sha256(clip.data).hexdigest())
    measures = [cpu("idr", idr.decode), in_process, lambda: jail.timed(asked, ask), digest]
    interleaved(measures, 1)  # what is made on first use is no part of the hot path
    try:
        return interleaved(measures, rounds)
    finally:
        idr.close()


# --- the rest of the way --------------------------------------------------------------------------------------------


def hash_list(size: int, seed: int) -> HashList:
    """A list of random hashes: nothing known is in it."""
    rng = np.random.default_rng(seed)
    lines = np.arange(1, size + 1, dtype=np.int32)
    file = HashFile(stem="random", lines=lines, entries=None, categories=None, times_s=None)
    return HashList(
        name="random",
        version="1",
        algorithm="pdq",
        radius=RADIUS,
        kind="block",
        severity="critical",
        source=None,
        sha256="0" * 64,
        hashes=rng.integers(0, 256, (size, 32), dtype=np.uint8),
        files=(file,),
        ignored=0,
    )


def rules(classifier: Classifier) -> Rules:
    """What a deployment with the default policy decides by."""
    policy = policies.default(harmless=classifier.harmless)
    context = Context(
        model=classifier.ref,
        policy=policy.ref,
        lists=(),
        links=SETTINGS.links,
        preserve_before_s=SETTINGS.escalation.preserve_before_s,
        source=SETTINGS.escalation.source,
    )
    return Rules(
        policy=policy,
        context=context,
        topics=SETTINGS.topics,
        max_message_bytes=SETTINGS.kafka.max_message_bytes,
        with_payload=False,
    )


class Way:
    """One segment all the way, in one thread and without a broker: each step, and all of them."""

    def __init__(self, clip: Clip, classifier: Classifier, known: HashList) -> None:
        self._clip = clip
        self._ask = asking(clip, classifier.view)
        self._classifier = classifier
        self._matcher = Matcher([known])
        self._rules = rules(classifier)
        self._record = received(clip)
        self._before = self._history()
        self._assessment = self.assess(self._record)
        self.known_pdq = known.hashes[len(known.hashes) // 2].tobytes()

    def read(self) -> Segment:
        """The record as a segment."""
        return self._segment(self._record)

    def match(self) -> None:
        """One keyframe's hash against the list."""
        self._matcher.match(self._assessment.looks[0].hash.pdq or bytes(32))

    def conclude(self) -> conclude.Conclusion:
        """What a quiet segment leads to."""
        return conclude.segment(self._before, self._assessment, self._record, START, self._rules)

    def open_incident(self) -> conclude.Conclusion:
        """What a segment leads to whose keyframe a block list knows."""
        matches = self._matcher.match(self.known_pdq)
        look = replace(self._assessment.looks[0], matches=matches)
        found = replace(self._assessment, looks=(look,))
        return conclude.segment(self._before, found, self._record, START, self._rules)

    def snapshot(self) -> bytes:
        """The stream's state as it goes to its topic."""
        return snapshot(self._before)

    def whole(self) -> bytes:
        """Read, digest, examine, match, score, conclude, snapshot."""
        concluded = conclude.segment(self._before, self.assess(self._record), self._record, START, self._rules)
        return snapshot(concluded.state or self._before)

    def assess(self, record: Received) -> Assessment:
        """What ``worker.assess`` does, without its event loop and jail."""
        segment = self._segment(record)
        digest = hashlib.sha256(self._clip.data).hexdigest()
        sample = examine(self._clip.data, self._clip.init, self._ask)
        looks = tuple(
            Look(
                offset_s=frame.offset_s,
                hash=frame.hash,
                matches=self._matcher.match(frame.hash.pdq) if frame.hash.pdq else (),
                scores=self._classifier.score_one(frame.picture) if frame.picture is not None else None,
            )
            for frame in sample.frames
        )
        return Assessment(
            segment=segment,
            outcome="assessed",
            why=None,
            standing="fresh",
            looks=looks,
            sha256=digest,
            start_s=sample.start_s,
            wrap_s=sample.wrap_s,
            duration_s=sample.duration_s,
            keyframes_seen=sample.keyframes_seen,
            received_at=START,
        )

    def _segment(self, record: Received) -> Segment:
        event = read.read(record, max_message_bytes=SETTINGS.kafka.max_message_bytes)
        if not isinstance(event, Segment):
            raise TypeError("the benchmark's record is no segment")
        return event

    def _history(self) -> StreamState:
        """The stream before the measured segment: quiet, and as long as its memory goes back."""
        state, seen = StreamState(stream_id="benchmark"), self.assess(self._record)
        for sequence in range(HISTORY):
            record = received(self._clip, sequence)
            earlier = replace(seen, segment=self._segment(record), sha256=f"{sequence:064x}")
            state = conclude.segment(state, earlier, record, START, self._rules).state or state
        return state


def way(clip: Clip, classifier: Classifier, model: Path, known: HashList, rounds: int) -> dict[str, list[float]]:
    """Measure the whole way of a segment beside its two floors together, and the steps around the decoder.

    Returns:
        By name: ``floors`` (that IDR and bare onnxruntime), ``whole``, ``bare`` and ``score``, ``read``, ``match``,
        ``conclude``, ``incident``, ``snapshot``.
    """
    steps, idr, bare, x = Way(clip, classifier, known), Idr(clip), Bare(model), ready(clip, classifier, model)
    picture = picture_of(clip, classifier)

    def floors() -> None:
        idr.decode()
        bare.run(x)

    measures = [
        cpu("floors", floors),
        cpu("whole", steps.whole),
        cpu("bare", lambda: bare.run(x)),
        cpu("score", lambda: classifier.score_one(picture)),
        cpu("read", steps.read),
        cpu("match", steps.match),
        cpu("conclude", steps.conclude),
        cpu("incident", steps.open_incident),
        cpu("snapshot", steps.snapshot),
    ]
    interleaved(measures, 1)
    try:
        return interleaved(measures, rounds)
    finally:
        idr.close()


def picture_of(clip: Clip, classifier: Classifier) -> Picture:
    """The first keyframe as the classifier sees it."""
    picture = examine(clip.data, clip.init, asking(clip, classifier.view)).frames[0].picture
    if picture is None:
        raise ValueError("no picture was asked for")
    return picture


def ready(clip: Clip, classifier: Classifier, model: Path) -> np.ndarray:
    """That picture as the graph takes it."""
    return prepare(picture_of(clip, classifier), folder.read(model.parent).manifest.input)


def interpreted(numbers: np.ndarray, model: Path) -> FrameScore:
    """The graph's numbers as scores."""
    return interpret(numbers[0], folder.read(model.parent).manifest)

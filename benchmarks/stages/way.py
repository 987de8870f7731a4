"""A segment from the record to its messages, in one thread and without a broker: each step, and all of them."""

from __future__ import annotations

import hashlib
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
from msgspec.structs import replace

from benchmarks.figures import interleaved
from benchmarks.floor import Bare, Idr
from benchmarks.stages.decoding import SETTINGS, asking, cpu
from worker import conclude
from worker.conclude import Rules
from worker.escalation.context import Context
from worker.examine import examine
from worker.matching import Matcher
from worker.policy import read as policies
from worker.records import Assessment, EventId, HashFile, HashList, Look, Position, Received, Segment
from worker.scoring import folder
from worker.scoring.calibration import interpret
from worker.scoring.preparation import prepare
from worker.streams.state import StreamState, snapshot
from worker.wire import read, write

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.clips import Clip
    from worker.records import FrameScore, Picture
    from worker.scoring.session import Classifier

START = datetime(2026, 1, 1, tzinfo=UTC)
HISTORY = 64
"""Segments that a stream has had before the one that is measured."""
RADIUS = 31


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
        self.known_pdq = known.hashes[len(known.hashes) // 2].tobytes() if len(known.hashes) else bytes(32)

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
    steps, bare, x = Way(clip, classifier, known), Bare(model), ready(clip, classifier, model)
    picture = picture_of(clip, classifier)
    idr = Idr(clip)

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
    with closing(idr):
        interleaved(measures, 1)
        return interleaved(measures, rounds)


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

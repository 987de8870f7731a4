"""One segment's bytes to a sample: what the decoder's process does, and what benchmarks measure.

Joins sampling and hashing; they don't know each other.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from time import thread_time
from typing import TYPE_CHECKING

from worker.hashing import pdq, pdq_of_yuv
from worker.records import Ask, Frame, FrameHash, Sample, StepCosts
from worker.sampling.video import Video, open_video

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.sampling.keyframe import Keyframe


class _Costs:
    """CPU seconds of this thread by step."""

    def __init__(self) -> None:
        self._seconds = {"open_s": 0.0, "decode_s": 0.0, "hash_s": 0.0, "resize_s": 0.0}

    @contextmanager
    def of(self, step: str) -> Iterator[None]:
        """Add what happens inside to a step."""
        started = thread_time()
        try:
            yield
        finally:
            self._seconds[step] += thread_time() - started

    def total(self) -> StepCosts:
        """What each step took so far."""
        return StepCosts(**self._seconds)


def examine(data: bytes | memoryview, init: bytes | None, ask: Ask) -> Sample:
    """Sample a segment's keyframes and hash them.

    Args:
        data: The segment as it came.
        init: The CMAF initialisation segment that serves it, if there is one.
        ask: Content type, limits, which keyframes and which view of them.

    Returns:
        The sample. Without video its codec is None; with video and no keyframe it has no frames.

    Raises:
        SegmentError: What ``worker.sampling.video.open_video`` and ``Video.keyframes`` raise.
    """
    costs = _Costs()
    with ExitStack() as opened:
        with costs.of("open_s"):
            video = opened.enter_context(open_video(data, init, ask))
        frames = tuple(_looked_at(keyframe, ask, costs) for keyframe in _timed(video, costs))
    return Sample(
        container=video.container,
        codec=video.codec,
        start_s=video.start_s,
        wrap_s=video.wrap_s,
        duration_s=video.duration_s,
        keyframes_seen=video.keyframes_seen,
        frames=frames,
        damaged=video.damaged,
        costs=costs.total(),
    )


def _timed(video: Video, costs: _Costs) -> Iterator[Keyframe]:
    """The keyframes; what is spent between them is decoding."""
    keyframes = video.keyframes()
    while True:
        with costs.of("decode_s"):
            keyframe = next(keyframes, None)
        if keyframe is None:
            return
        yield keyframe


def _looked_at(keyframe: Keyframe, ask: Ask, costs: _Costs) -> Frame:
    with costs.of("hash_s"):
        digest = hashed(keyframe)
    with costs.of("resize_s"):
        picture = None if ask.view is None else keyframe.picture(ask.view)
    return Frame(
        offset_s=keyframe.offset_s,
        width=keyframe.width,
        height=keyframe.height,
        hash=digest,
        picture=picture,
    )


def hashed(keyframe: Keyframe) -> FrameHash:
    """PDQ of the planes as decoded; of RGB only where they don't tell."""
    yuv = keyframe.yuv()
    return (None if yuv is None else pdq_of_yuv(yuv)) or pdq(keyframe.rgb())

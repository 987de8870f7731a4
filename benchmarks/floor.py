"""The physical floor: what nobody who uses FFmpeg and onnxruntime can go below."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import av

from worker.scoring.graph import onnxruntime  # which keeps it from reporting to its makers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from fractions import Fraction
    from pathlib import Path

    import numpy as np
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream
    from numpy.typing import NDArray

    from benchmarks.clips import Clip

INTERVAL_S = 2
FORMATS = {"video/mp2t": "mpegts", "video/mp4": "mov", "video/iso.segment": "mov", "video/webm": "matroska"}


class Idr:
    """The keyframes of a segment that are looked at, each one packet in memory, and a decoder that stays open.

    Nothing is opened, demuxed, copied or converted in ``decode``: it is the decoder, of one thread, and nothing else.
    """

    def __init__(self, clip: Clip) -> None:
        self._container = av.open(io.BytesIO((clip.init or b"") + clip.data), format=FORMATS[clip.content_type])
        stream = self._container.streams.video[0]
        self._packets = list(_apart(packet for packet in self._container.demux(stream) if packet.is_keyframe))
        self._decoder = stream.codec_context
        self._decoder.thread_count = 1

    def decode(self) -> list[VideoFrame]:
        """Those keyframes, decoded."""
        return [self._one(packet) for packet in self._packets]

    def _one(self, packet: Packet[VideoStream]) -> VideoFrame:
        frames = self._decoder.decode(packet) or self._decoder.decode(None)
        self._decoder.flush_buffers()
        return frames[0]

    def close(self) -> None:
        """Let go of decoder and container."""
        self._container.close()


def _apart(packets: Iterator[Packet[VideoStream]]) -> Iterator[Packet[VideoStream]]:
    """The first, and those as far after the last one taken as a worker with default settings takes them."""
    last_s: Fraction | None = None
    for packet in packets:
        at_s = packet.pts * packet.time_base
        if last_s is None or at_s - last_s >= INTERVAL_S:
            last_s = at_s
            yield packet


class Bare:
    """onnxruntime's session over a model file, one thread, fed with an input that is ready."""

    def __init__(self, model: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def run(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """The graph's numbers, shape (1, labels)."""
        return self._session.run(None, {self._input: x})[0]


def keyframes(clip: Clip) -> int:
    """How many keyframes PyAV's full decode of a segment gives."""
    with av.open(io.BytesIO((clip.init or b"") + clip.data), format=FORMATS[clip.content_type]) as container:
        return sum(frame.key_frame for frame in container.decode(video=0))

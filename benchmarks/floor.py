"""The physical floor: what nobody who uses FFmpeg and onnxruntime can go below."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import av

from worker.scoring.graph import onnxruntime  # which keeps it from reporting to its makers

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream
    from numpy.typing import NDArray

    from benchmarks.clips import Clip

FORMATS = {"video/mp2t": "mpegts", "video/mp4": "mov", "video/iso.segment": "mov"}


class Idr:
    """A segment's first keyframe as one packet in memory, and a decoder of one thread that stays open.

    Nothing is opened, demuxed, copied or converted in ``decode``: it is the decoder and nothing else.
    """

    def __init__(self, clip: Clip) -> None:
        self._container = av.open(io.BytesIO((clip.init or b"") + clip.data), format=FORMATS[clip.content_type])
        stream = self._container.streams.video[0]
        self._packet: Packet[VideoStream] = next(
            packet for packet in self._container.demux(stream) if packet.is_keyframe
        )
        self._decoder = stream.codec_context
        self._decoder.thread_count = 1

    def decode(self) -> VideoFrame:
        """That keyframe, decoded."""
        frames = self._decoder.decode(self._packet) or self._decoder.decode(None)
        self._decoder.flush_buffers()
        return frames[0]

    def close(self) -> None:
        """Let go of decoder and container."""
        self._container.close()


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

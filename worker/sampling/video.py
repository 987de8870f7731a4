"""An open segment: its facts from the packets, its keyframes one decode each.

All packets are read first (so times, duration and damage are known), only the keyframes asked for are decoded, one at a
time and in this thread.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from av.packet import Packet
from av.stream import Disposition

from worker.errors import SegmentError
from worker.records import CODECS
from worker.sampling.keyframe import Keyframe
from worker.sampling.limits import MOST_MISSES, SPARE_BYTES
from worker.sampling.opening import MALFORMED, corrupt, is_protected, is_scrambled, open_container
from worker.sampling.parameters import BLOCK, coded_sizes
from worker.sampling.recognise import Bytes, Source, recognise
from worker.sampling.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.container import InputContainer
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from worker.records import Ask

FILTERED_LAST = frozenset({"h264", "hevc"})
"""Codecs that predict a keyframe's blocks from unfiltered neighbours, so that they can do without the filter. VP8's
keyframes come out 10 levels off without it; to the decoders of VP9 and AV1 it makes no difference."""
LEAST_GAP_S = 0.0005
"""Keyframes this much nearer than the interval still count as that far apart: containers round their times."""


class Video:
    """An open segment; made by ``open_video``.

    Attributes:
        container: FFmpeg's name of the demuxer: ``mpegts``, ``mov``, ``matroska``.
        codec: FFmpeg's name of the video codec; None where the segment has no video.
        start_s: Presentation time of the first video frame on the container's own clock, seconds.
        wrap_s: After how many seconds that clock wraps; None where it does not.
        duration_s: Measured from the video packets, seconds.
        keyframes_seen: Keyframes in the container, taken or not; complete once ``keyframes`` is exhausted.
        damaged: True when something could not be read; complete once ``keyframes`` is exhausted.
    """

    def __init__(self, container: InputContainer, source: Source, ask: Ask) -> None:
        self.container = source.demuxer
        self.damaged = source.truncated
        self._ask = ask
        self._source = source
        self._stream = _first_video(container)
        self.codec = None if self._stream is None else _checked_codec(self._stream, ask, source)
        self._timeline = Timeline(source.packets, sum(map(len, source.parts)) + SPARE_BYTES)
        if self._stream is None:
            _check_unannounced(source)
        else:
            self._read(container, self._stream)
        self.start_s = self._timeline.start_s
        self.wrap_s = self._timeline.wrap_s
        self.duration_s = self._timeline.duration_s
        self.keyframes_seen = len(self._timeline.keyframes)

    def keyframes(self) -> Iterator[Keyframe]:
        """The first keyframe, and those at least ``ask.interval_s`` after the last one taken, in order.

        Yields:
            At most ``ask.max_keyframes``, each decoded when it is asked for.

        Raises:
            SegmentError: Stage ``decode``: the first keyframe can't be decoded, or is larger than ``ask.max_pixels``.
                Damage after a whole keyframe sets ``damaged`` instead.
        """
        taken, missed, last_s = 0, 0, 0.0
        for packet, offset_s in self._timeline.keyframes:
            if taken >= self._ask.max_keyframes:
                return
            if missed >= MOST_MISSES:
                self.damaged = True
                return
            if taken and offset_s - last_s < self._ask.interval_s - LEAST_GAP_S:
                continue
            try:
                frame = self._decode(packet)
            except SegmentError:
                if not taken:
                    raise
                self.damaged, missed = True, missed + 1
                continue
            if frame is None:
                self.keyframes_seen, missed = self.keyframes_seen - 1, missed + 1
                continue
            taken, last_s = taken + 1, offset_s
            yield Keyframe(frame, offset_s)

    def _read(self, container: InputContainer, stream: VideoStream) -> None:
        """Every video packet into the timeline."""
        failed: BaseException | None = None
        try:
            for packet in container.demux(stream):
                if packet.size:
                    self._timeline.add(packet)
                if self._timeline.full:
                    break
        except MALFORMED as error:
            failed = error
        self._timeline.close()
        # MP4 has an index: what it lists and nobody could read is missing.
        missing = self.container == "mov" and self._timeline.packets < len(stream.index_entries)
        self.damaged |= failed is not None or missing or self._timeline.damaged
        if not self._timeline.keyframes:
            self._explain_no_keyframe(failed)

    def _explain_no_keyframe(self, failed: BaseException | None) -> None:
        """No keyframe is normal in some streams, but not where that is what damage or encryption left of it."""
        if failed is not None:
            raise corrupt(failed, self._source) from None
        if is_scrambled(self._source):
            raise SegmentError("decode", "encrypted", "the transport packets are scrambled")
        if self.damaged or self._timeline.is_cut_off:
            raise SegmentError("decode", "corrupt", "the segment is damaged before its first whole keyframe")

    def _decode(self, packet: Packet[VideoStream]) -> VideoFrame | None:
        """One keyframe, alone and whole; None where it is no keyframe after all."""
        if packet.has_sidedata("encryption_info"):
            raise SegmentError("decode", "encrypted", "the keyframe is encrypted (common encryption)")
        if not self._timeline.is_whole(packet):
            raise SegmentError("decode", "corrupt", "the container shows that the keyframe is not whole")
        context = packet.stream.codec_context
        self._check_announced(packet, context)
        try:
            context.flush_buffers()
            frames = context.decode(_shown(packet)) or context.decode(None)
        except MALFORMED as error:
            self._raise_if_larger(context.width, context.height)
            raise corrupt(error, self._source) from None
        if not frames and self.container == "mpegts":
            # In MPEG-TS, FFmpeg also marks where a gradual refresh begins: no picture can be had from that alone.
            return None
        if not frames or frames[0].is_corrupt:
            raise SegmentError("decode", "corrupt", "the keyframe is not whole")
        self._raise_if_larger(frames[0].width, frames[0].height)
        self._raise_if_coded_larger(context.coded_width, context.coded_height)
        return frames[0]

    def _check_announced(self, packet: Packet[VideoStream], context: VideoCodecContext) -> None:
        """Before the decoder makes room for it: how large a picture do the parameter sets announce?"""
        for width, height in coded_sizes(context.codec.canonical_name, memoryview(packet), context.extradata or b""):
            self._raise_if_coded_larger(width, height)

    def _raise_if_larger(self, width: int, height: int) -> None:
        _check_size(width, height, self._ask.max_pixels)

    def _raise_if_coded_larger(self, width: int, height: int) -> None:
        """The picture before anything is cut off, but for what fills its last blocks."""
        if max(1, width - BLOCK) * max(1, height - BLOCK) > self._ask.max_pixels:
            raise _too_many_pixels(width, height, self._ask.max_pixels)


@contextmanager
def open_video(data: Bytes, init: bytes | None, ask: Ask) -> Iterator[Video]:
    """Open a segment, read its packets, close it again.

    Args:
        data: The segment as it came.
        init: The CMAF initialisation segment that serves it, if there is one; used where the segment has none itself.
        ask: Content type, limits, and which keyframes are wanted.

    Raises:
        SegmentError: ``fetch/no_init``, or stage ``decode``: ``container_mismatch``, ``unsupported_codec``,
            ``encrypted``, ``corrupt``, ``too_many_pixels``, ``too_many_streams``, ``out_of_memory``.
    """
    source = recognise(data, init, ask.content_type)
    container = open_container(source, ask)
    try:
        yield Video(container, source, ask)
    finally:
        container.close()


def _first_video(container: InputContainer) -> VideoStream | None:
    """The first video that is no cover picture."""
    videos = (stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic)
    return next(videos, None)


def _check_unannounced(source: Source) -> None:
    """Without a video stream there must be no video: a programme table that hides it, or comes late, is no excuse."""
    if source.packets is not None and source.packets.carries_video():
        raise SegmentError(
            "decode", "corrupt", "the segment has video that its first programme table does not announce"
        )


def _checked_codec(stream: VideoStream, ask: Ask, source: Source) -> str:
    """Make the stream's decoder ready; its codec's name."""
    context = cast("VideoCodecContext | None", stream.codec_context)
    codec = None if context is None else context.codec.canonical_name
    if context is None or codec not in CODECS:
        if is_protected(source):
            raise SegmentError("decode", "encrypted", "the video is encrypted (common encryption)")
        raise SegmentError("decode", "unsupported_codec", f"the video's codec is {codec or 'unknown'}")
    _check_size(context.width, context.height, ask.max_pixels)
    context.thread_count = 1
    context.options = {"max_pixels": str(ask.max_pixels)}
    if not ask.loop_filter and codec in FILTERED_LAST:
        context.options["skip_loop_filter"] = "all"
    return str(codec)


def _shown(packet: Packet[VideoStream]) -> Packet[VideoStream]:
    """The packet, without an edit list's mark that would keep the decoder from giving its frame."""
    if not packet.is_discard:
        return packet
    copy = cast("Packet[VideoStream]", Packet(bytes(packet)))
    copy.pts, copy.dts, copy.time_base, copy.is_keyframe = packet.pts, packet.dts, packet.time_base, True
    return copy


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise _too_many_pixels(width, height, max_pixels)


def _too_many_pixels(width: int, height: int, max_pixels: int) -> SegmentError:
    return SegmentError("decode", "too_many_pixels", f"{width}x{height} is more than {max_pixels} pixels")

"""A video file to segments as a packager makes them: cut at keyframes, remuxed, never encoded again.

H.264 and HEVC go into MPEG-TS; what that can't carry (VP9, AV1, a turned picture) into fragmented MP4 with its own
initialisation, VP8 into WebM. Sound and all other streams are left out: nobody listens to them. The file is read once,
from front to back; only the segment that is being cut is in memory.

The one place beside sampling that knows PyAV. It reads a person's own file with that person's rights, so it isn't
jailed; still FFmpeg is kept from opening anything but that file.
"""

from __future__ import annotations

import io
from contextlib import contextmanager
from fractions import Fraction
from typing import IO, TYPE_CHECKING, Any

import av
from av.error import FFmpegError
from msgspec import Struct

from worker.errors import UsageError
from worker.records import ContentType

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream


FORMATS = "mov,mp4,matroska,webm,mpegts,mpeg,flv,avi,h264,hevc,obu,ivf,asf,ogg,mxf,gxf,nut"
"""Demuxers that read one file and open no other; playlists and session descriptions are not among them."""
TS_CODECS = frozenset({"h264", "hevc"})
CODECS = TS_CODECS | {"vp8", "vp9", "av1"}
PROBE_PACKETS = 1000
"""So many packets at most are read to find the first keyframe, which tells whether the picture is turned."""
LEAST_GAP_S = 0.0005
"""Keyframes this much nearer than asked still count: containers round their times."""
MALFORMED = (FFmpegError, ArithmeticError, LookupError, MemoryError, OSError, TypeError, ValueError)
_REWRITE = "rewrite it with: ffmpeg -i FILE -c copy OUT.mp4"
_FMP4 = {"movflags": "empty_moov+default_base_moof+frag_discont"}


class Cut(Struct, frozen=True, kw_only=True):
    """One segment of a file."""

    data: bytes
    content_type: ContentType
    media_time_s: float
    """Of its first keyframe, from the file's first keyframe on, seconds."""
    duration_s: float
    """Up to the next segment's first keyframe, or to the end of the last frame; seconds."""


class Clip:
    """An open file; made by ``open_clip``.

    Attributes:
        container: FFmpeg's name of the demuxer.
        codec: FFmpeg's name of the video codec.
        width: Pixels, as encoded.
        height: Pixels, as encoded.
        duration_s: As the file tells it, seconds; None where it doesn't.
        content_type: Of the segments.
        left_out: How many other streams (sound, subtitles, …) stay behind.
    """

    def __init__(self, name: str, container: InputContainer) -> None:
        self._name = name
        self._opened = container
        self._stream = self._video()
        context = self._stream.codec_context
        self.container = container.format.name
        self.codec = context.codec.canonical_name
        self.width, self.height = context.width, context.height
        self.duration_s = container.duration / av.time_base if container.duration else None
        self.left_out = len(container.streams) - 1
        self.content_type = self._content_type()

    def segments(self, *, segment_s: float, max_bytes: int) -> Iterator[Cut]:
        """Cut the file: a segment ends before the first keyframe that is ``segment_s`` or more after its own.

        Packets before the first keyframe show nothing and are left out.

        Raises:
            UsageError: The file can't be read on, has no keyframe or no times, or a segment is above ``max_bytes``.
        """
        cutter = _Cutter(self._name, self._stream, self.content_type, segment_s=segment_s, max_bytes=max_bytes)
        try:
            self._rewind()
            for packet in self._opened.demux(self._stream):
                if packet.size and (cut := cutter.add(packet)) is not None:
                    yield cut
            yield cutter.close()
        except MALFORMED as error:
            raise UsageError(f"{self._name}: {_said(error)}") from error

    def _rewind(self) -> None:
        try:
            self._opened.seek(0)
        except FFmpegError as error:  # bare streams have no places to go to, and no times either
            raise UsageError(f"{self._name}: is no container; {_REWRITE}") from error

    def _video(self) -> VideoStream:
        videos = [stream for stream in self._opened.streams.video if not stream.disposition & _COVER]
        if not videos:
            raise UsageError(f"{self._name}: there is no video in it")
        codec = videos[0].codec_context.codec.canonical_name
        if codec not in CODECS:
            raise UsageError(
                f"{self._name}: the video is {codec}, which the worker does not decode; "
                "make it H.264 with: ffmpeg -i FILE -c:v libx264 -an OUT.mp4"
            )
        return videos[0]

    def _content_type(self) -> ContentType:
        if self.codec == "vp8":
            return "video/webm"
        return "video/mp2t" if self.codec in TS_CODECS and not self._turned() else "video/mp4"

    def _turned(self) -> bool:
        """Whether a player turns the picture. MPEG-TS has no place to say so; and only a frame tells it."""
        context = self._stream.codec_context
        context.thread_count = 1
        for count, packet in enumerate(self._opened.demux(self._stream)):
            if count > PROBE_PACKETS:
                return False
            if packet.is_keyframe and packet.size:
                frames = context.decode(packet) or context.decode(None)
                context.flush_buffers()
                return bool(frames and frames[0].rotation)
        return False


_COVER = av.stream.Disposition.attached_pic


class _Nameless:
    """A file as FFmpeg may see it: to a thing with a name it would guess formats by that name."""

    def __init__(self, file: IO[bytes]) -> None:
        self.read = file.read
        self.seek = file.seek
        self.tell = file.tell


@contextmanager
def open_clip(path: Path) -> Iterator[Clip]:
    """Open a video file.

    Raises:
        UsageError: It isn't there, or is no video that can be cut.
    """
    options = {"format_whitelist": FORMATS, "protocol_whitelist": "none", "fflags": "+genpts"}
    try:
        with (
            path.open("rb") as file,
            av.open(_Nameless(file), "r", options=options, metadata_errors="replace") as opened,
        ):
            try:
                clip = Clip(path.name, opened)
            except MALFORMED as error:
                raise UsageError(f"{path.name}: {_said(error)}") from error
            yield clip
    except FFmpegError as error:
        raise UsageError(f"{path.name}: is no video that FFmpeg can read ({_said(error)})") from error
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or type(error).__name__}") from error


def _said(error: BaseException) -> str:
    said = error.strerror if isinstance(error, FFmpegError) else None
    return said or f"malformed media ({type(error).__name__})"


class _Cutter:
    """Packets in decoding order to segments, one at a time."""

    def __init__(
        self, name: str, stream: VideoStream, content_type: ContentType, *, segment_s: float, max_bytes: int
    ) -> None:
        self._name = name
        self._stream = stream
        self._content_type = content_type
        self._segment_s = segment_s
        self._max_bytes = max_bytes
        self._base: Fraction = stream.time_base or Fraction(1, av.time_base)
        self._first: int | None = None
        """Presentation time of the file's first keyframe, in ticks."""
        self._shift = 0
        """Added to all times, in ticks: muxers take none below zero."""
        self._starts = 0
        self._ends = 0
        self._last_dts: int | None = None
        self._size_bytes = 0
        self._muxer: _Muxer | None = None

    def add(self, packet: Packet[VideoStream]) -> Cut | None:
        """Take a packet; return the segment that it ends, if it ends one."""
        if self._muxer is None and not packet.is_keyframe:
            return None
        pts, dts = self._times(packet)
        cut = None
        if self._muxer is None:
            self._first, self._shift = pts, max(0, -dts, -pts)
            self._begin(pts)
        elif packet.is_keyframe and self._seconds(pts - self._starts) >= self._segment_s - LEAST_GAP_S:
            cut = self._finish(until=pts)
            self._begin(pts)
        self._put(packet, pts, dts)
        return cut

    def close(self) -> Cut:
        """Return the last segment."""
        return self._finish(until=self._ends)

    def _times(self, packet: Packet[VideoStream]) -> tuple[int, int]:
        pts = packet.pts if packet.pts is not None else packet.dts
        if pts is None:
            raise UsageError(f"{self._name}: its frames have no times; {_REWRITE}")
        return pts, packet.dts if packet.dts is not None else pts

    def _begin(self, pts: int) -> None:
        self._starts, self._ends, self._size_bytes = pts, pts, 0
        self._muxer = _Muxer(self._stream, self._content_type)

    def _put(self, packet: Packet[VideoStream], pts: int, dts: int) -> None:
        self._size_bytes += packet.size
        if self._size_bytes > self._max_bytes:
            raise self._too_large(pts)
        gap = max(dts - self._last_dts, 0) if self._last_dts is not None else 0
        self._last_dts = dts
        packet.duration = packet.duration or gap  # some containers don't say how long a frame is shown
        self._ends = max(self._ends, pts + packet.duration)
        packet.pts, packet.dts = pts + self._shift, dts + self._shift
        assert self._muxer is not None  # noqa: S101  # begun before anything is put
        self._muxer.put(packet)

    def _finish(self, *, until: int) -> Cut:
        if self._muxer is None or self._first is None:
            raise UsageError(f"{self._name}: there is no keyframe in it")
        data = self._muxer.close()
        if len(data) > self._max_bytes:
            raise self._too_large(until)
        return Cut(
            data=data,
            content_type=self._content_type,
            media_time_s=self._seconds(self._starts - self._first),
            duration_s=self._seconds(until - self._starts),
        )

    def _too_large(self, until: int) -> UsageError:
        return UsageError(
            f"{self._name}: a segment of {self._seconds(until - self._starts):.1f} s is above {self._max_bytes} bytes "
            "(kafka.max_message_bytes): ask for shorter ones, or encode with more keyframes or a lower bitrate"
        )

    def _seconds(self, ticks: int) -> float:
        return float(ticks * self._base)


class _Muxer:
    """One segment being written."""

    def __init__(self, stream: VideoStream, content_type: ContentType) -> None:
        self._bytes = io.BytesIO()
        name, options = _container(content_type)
        self._out = av.open(self._bytes, "w", format=name, options=options)
        self._stream: Any = self._out.add_stream_from_template(stream, opaque=True)

    def put(self, packet: Packet[VideoStream]) -> None:
        packet.stream = self._stream
        self._out.mux(packet)

    def close(self) -> bytes:
        self._out.close()
        return self._bytes.getvalue()


def _container(content_type: ContentType) -> tuple[str, dict[str, str]]:
    """FFmpeg's muxer and its options: times as they are, and the same bytes each time."""
    exact = {"fflags": "+bitexact", "avoid_negative_ts": "disabled"}
    if content_type == "video/mp2t":
        return "mpegts", {**exact, "mpegts_copyts": "1"}
    return ("webm", exact) if content_type == "video/webm" else ("mp4", {**exact, **_FMP4})

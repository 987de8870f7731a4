"""Small real segments, made by PyAV: the same arguments give the same bytes.

``make_segment`` makes one segment that stands alone, ``make_cmaf`` an initialisation segment and its media segments,
``make_audio`` a segment without video. Pictures are functions of time: ``textured`` moves and has PDQ quality 100,
``card`` is a bright card on a dark ground, ``gradient`` and ``flat`` have too little detail for a hash.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import lru_cache
from typing import Any, Literal

import av
import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]
"""Shape (height, width, 3), dtype uint8."""
PictureAt = Callable[[float], Rgb]
"""Seconds from the segment's first frame to the picture shown then."""
Container = Literal["mpegts", "mp4", "fmp4", "webm"]

ENCODERS = {
    "h264": "libx264",
    "hevc": "libx265",
    "vp9": "libvpx-vp9",
    "vp8": "libvpx",
    "av1": "libsvtav1",
    "mpeg2": "mpeg2video",
}
FRAGMENTS = "frag_keyframe+empty_moov+default_base_moof+frag_discont"
TICKS = 90_000


# --- pictures ---------------------------------------------------------------------------------------------------------


def textured(width: int, height: int, seed: int = 0) -> PictureAt:
    """Soft blobs of colour under fine grain, with a bright block that moves: natural enough for PDQ (quality 100)."""
    ground = _blobs(width, height, seed)

    def at(t_s: float) -> Rgb:
        picture = ground.copy()
        side = max(2, min(width, height) // 6)
        x, y = int((width - side) * (t_s * 0.31 % 1)), int((height - side) * (t_s * 0.17 % 1))
        picture[y : y + side, x : x + side] = (250, 240, 40)
        return picture

    return at


def card(width: int, height: int) -> PictureAt:
    """A magenta card with a white border on a dark, textured ground."""
    picture = _blobs(width, height, 7) // 4
    top, left = height // 5, width // 5
    picture[top : height - top, left : width - left] = (255, 255, 255)
    inset = max(1, min(width, height) // 20)
    picture[top + inset : height - top - inset, left + inset : width - left - inset] = (230, 20, 200)
    return lambda _t_s: picture


def gradient(width: int, height: int) -> PictureAt:
    """Dark to light, left to right: PDQ quality well below 50."""
    ramp = np.linspace(0, 255, width, dtype=np.float64).astype(np.uint8)
    picture = np.ascontiguousarray(np.broadcast_to(ramp[None, :, None], (height, width, 3)))
    return lambda _t_s: picture


def flat(width: int, height: int, colour: tuple[int, int, int] = (90, 90, 90)) -> PictureAt:
    """One colour: PDQ quality 0."""
    picture = np.full((height, width, 3), colour, np.uint8)
    return lambda _t_s: picture


@lru_cache(maxsize=16)
def _blobs(width: int, height: int, seed: int) -> Rgb:
    """Random colours on a coarse grid, smoothly enlarged, with a little grain."""
    rng = np.random.default_rng(seed)
    coarse = av.VideoFrame.from_ndarray(rng.integers(0, 256, (18, 32, 3), dtype=np.uint8), format="rgb24")
    smooth = coarse.reformat(width=width, height=height, format="rgb24", interpolation="BICUBIC", threads=1)
    grain = rng.integers(-6, 7, (height, width, 1))
    return np.clip(smooth.to_ndarray().astype(np.int16) + grain, 0, 255).astype(np.uint8)


# --- segments ---------------------------------------------------------------------------------------------------------


def make_segment(
    *,
    container: Container = "mpegts",
    codec: str = "h264",
    width: int = 320,
    height: int = 180,
    seconds: float = 2.0,
    fps: int = 25,
    gop: int | None = None,
    pix_fmt: str = "yuv420p",
    picture: PictureAt | None = None,
    start_s: float = 0.0,
    audio: bool = False,
    bframes: int = 0,
    open_gop: bool = False,
    full_range: bool = False,
    rotation: Literal[0, 90, 180, 270] = 0,
    crf: int = 23,
    mux: dict[str, str] | None = None,
    encoder: dict[str, str] | None = None,
) -> bytes:
    """One segment that stands alone.

    Args:
        container: ``mp4`` has its index at the end, ``fmp4`` is fragmented with its own initialisation.
        codec: One of ``h264``, ``hevc``, ``vp9``, ``vp8``, ``av1``, ``mpeg2``.
        width: Pixels, as encoded (before rotation).
        height: Pixels, as encoded.
        seconds: How long.
        fps: Frames per second.
        gop: Frames from keyframe to keyframe; None for one keyframe.
        pix_fmt: FFmpeg's name of the pixel format.
        picture: What is seen when; ``textured`` by default.
        start_s: Presentation time of the first frame; in MP4 as far as its edit list and decode time can say it.
        audio: Whether a tone goes along.
        bframes: How many B-frames between references; presentation order then differs from decoding order.
        open_gop: Whether later keyframes may have leading frames that refer to the group before.
        full_range: Luma from 0 to 255 instead of 16 to 235.
        rotation: Degrees counter-clockwise by which a player turns the picture; MP4 only.
        crf: The encoder's quality, lower is better; ignored by ``mpeg2``.
        mux: Further options of the muxer.
        encoder: Further options of the encoder.
    """
    packets = io.BytesIO()
    options = _muxer_options(container) | (mux or {})
    with av.open(packets, "w", format={"fmp4": "mp4"}.get(container, container), options=options) as out:
        frames = gop or 9999
        coding = _encoder_options(codec, frames, bframes, crf, open_gop=open_gop) | (encoder or {})
        video = _add_video(out, codec=codec, size=(width, height), fps=fps, gop=frames, pix_fmt=pix_fmt, options=coding)
        if full_range:
            video.codec_context.color_range = 2
        sound = _add_audio(out, container) if audio else None
        show = picture or textured(width, height)
        shown = ((start_s + number / fps, show(number / fps)) for number in range(round(seconds * fps)))
        _write_video(out, video, shown, full_range=full_range)
        if sound is not None:
            _write_audio(out, sound, seconds, start_s)
    data = packets.getvalue()
    return _rotated(data, rotation) if rotation else data


def make_cmaf(*, seconds: float = 6.0, fps: int = 25, gop: int = 50, **settings: Any) -> tuple[bytes, list[bytes]]:
    """A CMAF initialisation segment and its media segments, one a keyframe; settings as for ``make_segment``."""
    mux = {"movflags": FRAGMENTS + "+cmaf"} | settings.pop("mux", {})
    whole = make_segment(container="fmp4", seconds=seconds, fps=fps, gop=gop, mux=mux, **settings)
    return split_cmaf(whole)


def split_cmaf(whole: bytes) -> tuple[bytes, list[bytes]]:
    """Fragmented MP4 as its initialisation (up to and with ``moov``) and its fragments (``moof`` and ``mdat`` each)."""
    init, fragments, fragment = b"", [], b""
    for kind, box in boxes(whole):
        if kind in {b"ftyp", b"moov"}:
            init += box
        elif kind != b"mfra":
            fragment += box
            if kind == b"mdat":
                fragments.append(fragment)
                fragment = b""
    return init, fragments


def make_audio(*, container: Container = "mpegts", seconds: float = 2.0, start_s: float = 0.0) -> bytes:
    """A segment with a tone and no video."""
    packets = io.BytesIO()
    muxer = {"fmp4": "mp4"}.get(container, container)
    with av.open(packets, "w", format=muxer, options=_muxer_options(container)) as out:
        _write_audio(out, _add_audio(out, container), seconds, start_s)
    return packets.getvalue()


def without_keyframes(ts: bytes) -> bytes:
    """An MPEG-TS segment remuxed without its keyframes, as one that was cut in the middle of a group."""
    packets = io.BytesIO()
    with (
        av.open(io.BytesIO(ts), format="mpegts") as source,
        av.open(packets, "w", format="mpegts", options=_muxer_options("mpegts")) as out,
    ):
        video = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.size and not packet.is_keyframe:
                packet.stream = video
                out.mux(packet)
    return packets.getvalue()


def boxes(data: bytes) -> list[tuple[bytes, bytes]]:
    """Top-level ISO BMFF boxes: type, and the whole box with its header."""
    found, position = [], 0
    while position + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        found.append((kind, data[position : position + size]))
        position += size
    return found


def _muxer_options(container: str) -> dict[str, str]:
    """What makes muxers write times as they are, and the same bytes each time."""
    return {
        "mpegts": {"mpegts_copyts": "1", "fflags": "+bitexact"},
        "mp4": {"fflags": "+bitexact"},
        "fmp4": {"fflags": "+bitexact", "movflags": FRAGMENTS},
        "webm": {"fflags": "+bitexact"},
    }[container]


def _encoder_options(codec: str, gop: int, bframes: int, crf: int, *, open_gop: bool) -> dict[str, str]:
    """One thread, no scene cuts, keyframes where asked."""
    x264 = f"keyint={gop}:min-keyint={gop}:scenecut=0:open-gop={int(open_gop)}:b-pyramid=none:b-adapt=0"
    x265 = f"log-level=none:pools=none:frame-threads=1:keyint={gop}:min-keyint={gop}:scenecut=0:b-adapt=0"
    vpx = {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", "b": "0", "crf": str(crf)}
    return {
        "h264": {
            "preset": "ultrafast",
            "crf": str(crf),
            "bf": str(bframes),
            "x264-params": x264,
        },
        "hevc": {
            "preset": "ultrafast",
            "crf": str(crf),
            "x265-params": f"{x265}:bframes={bframes}:open-gop={int(open_gop)}",
        },
        "vp9": vpx,
        "vp8": vpx,
        "av1": {"preset": "12", "crf": str(crf), "svtav1-params": f"keyint={gop}:lp=1:irefresh-type=2"},
        "mpeg2": {"bf": str(bframes)},
    }[codec]


def _add_video(
    out: Any, *, codec: str, size: tuple[int, int], fps: int, gop: int, pix_fmt: str, options: dict[str, str]
) -> Any:
    """The video stream, its encoder set up."""
    video = out.add_stream(ENCODERS[codec], rate=fps, options=options)
    video.width, video.height = size
    video.pix_fmt = pix_fmt
    video.codec_context.gop_size = gop
    video.codec_context.thread_count = 1
    video.codec_context.time_base = Fraction(1, fps) if codec == "mpeg2" else Fraction(1, TICKS)
    return video


def _write_video(out: Any, video: Any, pictures: Iterable[tuple[float, Rgb]], *, full_range: bool) -> None:
    """Every picture, with its presentation time in seconds, through the encoder into the file."""
    for at_s, picture in pictures:
        shown = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        frame = shown.reformat(format=video.pix_fmt, dst_color_range="JPEG" if full_range else "MPEG", threads=1)
        frame.time_base = Fraction(1, TICKS)
        frame.pts = round(at_s * TICKS)
        out.mux(video.encode(frame))
    out.mux(video.encode(None))


def _add_audio(out: Any, container: str) -> Any:
    """A mono stream at 48 kHz: Opus in WebM, AAC elsewhere."""
    return out.add_stream("libopus" if container == "webm" else "aac", rate=48_000, layout="mono")


def _write_audio(out: Any, sound: Any, seconds: float, start_s: float) -> None:
    """A tone at 440 Hz."""
    samples = 960 if sound.codec_context.name == "libopus" else 1024
    tone = np.sin(np.arange(int(seconds * 48_000)) * (2 * np.pi * 440 / 48_000)) * 8000
    for first in range(0, len(tone) - samples, samples):
        block = tone[first : first + samples].astype(np.int16)[None, :]
        frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
        frame.sample_rate, frame.time_base = 48_000, Fraction(1, 48_000)
        frame.pts = round(start_s * 48_000) + first
        out.mux(sound.encode(frame))
    out.mux(sound.encode(None))


def _rotated(mp4: bytes, rotation: int) -> bytes:
    """The same file with another display matrix in its ``tkhd`` box (ISO/IEC 14496-12, 8.3.2)."""
    one = 1 << 16
    a, b, c, d = {90: (0, -one, one, 0), 180: (-one, 0, 0, -one), 270: (0, one, -one, 0)}[rotation]
    body = mp4.index(b"tkhd") + 4
    version = mp4[body]
    at = body + (52 if version == 1 else 40)
    packed = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    return mp4[:at] + packed + mp4[at + len(packed) :]

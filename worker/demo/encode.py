"""Harmless synthetic video: made once when the show starts, then played again and again with times that go on.

Every stream has pictures of its own: soft blobs of colour that a camera pans over. The test card is the one thing that
the demo model sees (its README says how it looks); the clip is the one thing on the demo's hash list. The list is made
of the clip's original, which is larger and better; what is broadcast is smaller, encoded again and has a logo on it.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av
import numpy as np
from msgspec import Struct

from worker.demo.streams import CLIP_SEGMENTS, SEGMENT_S
from worker.examine import examine
from worker.records import Ask, FrameHash, Picture

WIDTH, HEIGHT, FPS = 640, 360, 12
TICKS = 90_000
FRAMES = round(SEGMENT_S * FPS)
LOOP = 6
"""So many segments a stream has before it begins again: 12 s."""
ORIGINAL = (854, 480)
CLIP_SEED, CARD_SEED = 4711, 4712
HASHES_EVERY_S = 1.0
_TS = {"mpegts_copyts": "1", "fflags": "+bitexact"}
_FMP4 = {"movflags": "frag_keyframe+empty_moov+default_base_moof+frag_discont+cmaf", "fflags": "+bitexact"}

PictureAt = Callable[[float], Picture]
"""Seconds from the footage's start to the picture shown then."""


class Cmaf(Struct, frozen=True):
    """An initialisation segment and the media segments that it serves."""

    init: bytes
    segments: tuple[bytes, ...]


def harmless(seed: int) -> PictureAt:
    """Soft, muted blobs of colour that a camera pans over, once around in ``LOOP`` segments."""
    return _panned(_blobs(WIDTH * 3 // 2, HEIGHT * 3 // 2, seed), WIDTH, HEIGHT)


def card(t_s: float) -> Picture:
    """The demo model's test card with a small grey mark that moves along its lower edge."""
    row, column = np.mgrid[0:HEIGHT, 0:WIDTH]
    green = (row * 6 // HEIGHT + column * 8 // WIDTH) % 2 == 0
    picture = np.where(green[..., np.newaxis], [0, 255, 0], [255, 0, 255]).astype(np.uint8)
    x = int((WIDTH - 24) * (t_s / (LOOP * SEGMENT_S) % 1))
    picture[HEIGHT - 20 : HEIGHT - 8, x : x + 24] = 128
    return picture


def segment(picture_at: PictureAt, index: int) -> bytes:
    """Return MPEG-TS with H.264, one keyframe, its clock at 0: the footage's segment of this number."""
    return _encoded(picture_at, index * SEGMENT_S, FRAMES, container="mpegts", mux=_TS)


def clip_segment(index: int) -> bytes:
    """Return one segment of the clip as it is broadcast: smaller, worse, with a logo."""
    shown = _clip(WIDTH, HEIGHT)

    def at(t_s: float) -> Picture:
        picture = shown(t_s)
        picture[10:22, 10:40] //= 2
        picture[10:22, 10:40] += 90
        return picture

    return _encoded(at, index * SEGMENT_S, FRAMES, container="mpegts", mux=_TS, crf=31)


def clip_hashes() -> list[tuple[float, FrameHash]]:
    """Return when each keyframe of the clip's original is, in seconds, and its hash."""
    frames = round(CLIP_SEGMENTS * SEGMENT_S * FPS)
    original = _encoded(
        _clip(*ORIGINAL),
        0.0,
        frames,
        container="mp4",
        mux=_FMP4,
        crf=16,
        size=ORIGINAL,
        gop=round(HASHES_EVERY_S * FPS),
    )
    ask = Ask(content_type=None, interval_s=0.0, max_keyframes=64, view=None, max_pixels=2**24, max_streams=4)
    return [(frame.offset_s, frame.hash) for frame in examine(original, None, ask).frames]


def cmaf(picture_at: PictureAt) -> Cmaf:
    """Return a whole loop of footage as CMAF, its clock from 0 on."""
    whole = _encoded(picture_at, 0.0, FRAMES * LOOP, container="mp4", mux=_FMP4, gop=FRAMES)
    init, fragments, fragment = b"", [], b""
    for kind, box in _boxes(whole):
        if kind in {b"ftyp", b"moov"}:
            init += box
        elif kind != b"mfra":
            fragment += box
            if kind == b"mdat":
                fragments.append(fragment)
                fragment = b""
    return Cmaf(init, tuple(fragments))


def sound() -> bytes:
    """Return MPEG-TS with a quiet tone and no video, its clock at 0."""
    packets = io.BytesIO()
    tone = (np.sin(np.arange(int(SEGMENT_S * 48_000)) * (2 * np.pi * 220 / 48_000)) * 2000).astype(np.int16)
    with av.open(packets, "w", format="mpegts", options=_TS) as out:
        stream: Any = out.add_stream("aac", rate=48_000, layout="mono")
        for first in range(0, len(tone) - 1024, 1024):
            frame = av.AudioFrame.from_ndarray(tone[None, first : first + 1024], format="s16", layout="mono")
            frame.sample_rate, frame.time_base, frame.pts = 48_000, Fraction(1, 48_000), first
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return packets.getvalue()


# --- times that go on ------------------------------------------------------------------------------------------------


def later_ts(data: bytes, by_s: float) -> bytes:
    """Return the same MPEG-TS segment with a clock that is so many seconds ahead; nothing is encoded again."""
    packets = io.BytesIO()
    with (
        av.open(io.BytesIO(data), "r", format="mpegts") as source,
        av.open(packets, "w", format="mpegts", options=_TS) as out,
    ):
        stream: Any = source.streams[0]
        copy: Any = out.add_stream_from_template(stream)
        ticks = round(by_s / stream.time_base)
        for packet in source.demux(stream):
            if packet.pts is not None and packet.dts is not None:
                packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
                packet.stream = copy
                out.mux(packet)
    return packets.getvalue()


def later_cmaf(fragment: bytes, by_s: float) -> bytes:
    """Return the same fragment with a later decode time (ISO/IEC 14496-12, 8.8.12; version 1, 64 bits)."""
    at = fragment.index(b"tfdt") + 8
    (decode_time,) = struct.unpack_from(">Q", fragment, at)
    return fragment[:at] + struct.pack(">Q", decode_time + round(by_s * TICKS)) + fragment[at + 8 :]


# --- pictures and files ----------------------------------------------------------------------------------------------


def _clip(width: int, height: int) -> PictureAt:
    """The clip in any size: the same blobs, zoomed into as time goes on."""
    ground = av.VideoFrame.from_ndarray(_blobs(1280, 720, CLIP_SEED), format="rgb24")
    whole = ground.reformat(
        width=width * 5 // 4, height=height * 5 // 4, format="rgb24", interpolation="AREA", threads=1
    )
    return _panned(np.asarray(whole.to_ndarray(), np.uint8), width, height)


def _panned(ground: Picture, width: int, height: int) -> PictureAt:
    down, right = ground.shape[0] - height, ground.shape[1] - width

    def at(t_s: float) -> Picture:
        angle = 2 * np.pi * t_s / (LOOP * SEGMENT_S)
        top, left = round(down * (1 - np.cos(angle)) / 2), round(right * (1 + np.sin(angle)) / 2)
        return ground[top : top + height, left : left + width].copy()

    return at


def _blobs(width: int, height: int, seed: int) -> Picture:
    """Random muted colours on a coarse grid, smoothly enlarged."""
    random = np.random.default_rng(seed)
    coarse = av.VideoFrame.from_ndarray(random.integers(20, 236, (14, 24, 3), dtype=np.uint8), format="rgb24")
    smooth = coarse.reformat(width=width, height=height, format="rgb24", interpolation="BICUBIC", threads=1)
    return np.asarray(smooth.to_ndarray(), np.uint8)


def _encoded(
    picture_at: PictureAt,
    from_s: float,
    frames: int,
    *,
    container: str,
    mux: dict[str, str],
    crf: int = 27,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    gop: int = FRAMES,
) -> bytes:
    packets = io.BytesIO()
    # One thread: many segments are encoded side by side. No scene cuts: keyframes are where they are asked for.
    options = {
        "preset": "ultrafast",
        "crf": str(crf),
        "x264-params": f"keyint={gop}:min-keyint={gop}:scenecut=0:threads=1",
    }
    with av.open(packets, "w", format=container, options=mux) as out:
        video: Any = out.add_stream("libx264", rate=FPS, options=options)
        video.width, video.height, video.pix_fmt = *size, "yuv420p"
        video.codec_context.time_base = Fraction(1, TICKS)
        for number in range(frames):
            shown = av.VideoFrame.from_ndarray(picture_at(from_s + number / FPS), format="rgb24")
            frame = shown.reformat(format="yuv420p", threads=1)
            frame.time_base, frame.pts = Fraction(1, TICKS), round(number * TICKS / FPS)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    return packets.getvalue()


def _boxes(data: bytes) -> list[tuple[bytes, bytes]]:
    """Top-level boxes: type, and the whole box with its header."""
    found, position = [], 0
    while position + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        found.append((kind, data[position : position + size]))
        position += size
    return found

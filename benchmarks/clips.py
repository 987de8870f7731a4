"""Pinned segments: the same seed gives the same bytes with the same FFmpeg, whatever the machine.

Pictures are made as YUV planes with integers only, and encoded by one thread; by x264 and x265 without instructions
that differ between processors. ``heavy`` ones are textured and grainy, as a busy stream at a high bitrate is: their
first keyframe has 99 kB or more. ``light`` ones are smooth, as a talking head is.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import av
import numpy as np
from support.media import split_cmaf

from worker.records import ContentType

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


SEED = 20261122
SECONDS = 2
FPS = 25
TICKS = 90_000
CELLS = (128, 64, 32, 16, 8)
"""Sides of the blobs, pixels."""
GRAIN = {"heavy": 7, "light": 1}
"""Half the width of the noise on each sample of luma."""
QUANTISER = {"heavy": 26, "light": 30}
"""Of H.264 and HEVC; VP9 and AV1 have scales of their own, see ``_options``."""
ENCODERS = {"h264": "libx264", "hevc": "libx265", "vp9": "libvpx-vp9", "av1": "libsvtav1"}
FRAGMENTED = {"fflags": "+bitexact", "movflags": "frag_keyframe+empty_moov+default_base_moof+cmaf"}
TRANSPORT = {"fflags": "+bitexact", "mpegts_copyts": "1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What is encoded once, and in which containers it is measured."""

    height: int
    """Lines; the width follows from 16:9."""
    codec: str
    weight: str
    containers: tuple[str, ...]
    keyframes: int = 1
    seconds: float = SECONDS
    matrix: Literal["bt709", "smpte170m"] = "bt709"
    """What the stream says of its colours: BT.709 as HD has it, or BT.601."""

    @property
    def width(self) -> int:
        """Pixels."""
        return self.height * 16 // 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """One segment."""

    name: str
    data: bytes
    init: bytes | None
    content_type: ContentType
    heavy: bool
    idr_bytes: int
    """Size of the first keyframe's packet."""

    @property
    def sha256(self) -> str:
        """Digest of initialisation and segment, hex."""
        return hashlib.sha256((self.init or b"") + self.data).hexdigest()


FULL = (
    Recipe(height=720, codec="h264", weight="heavy", containers=("ts", "fmp4", "cmaf")),
    Recipe(height=720, codec="h264", weight="light", containers=("ts", "cmaf")),
    Recipe(height=720, codec="h264", weight="heavy", containers=("ts",), keyframes=2),
    Recipe(height=1080, codec="h264", weight="heavy", containers=("ts", "cmaf")),
    Recipe(height=1080, codec="h264", weight="light", containers=("ts",)),
    Recipe(height=720, codec="h264", weight="heavy", containers=("ts", "cmaf"), keyframes=3, seconds=6),
    Recipe(height=720, codec="hevc", weight="heavy", containers=("fmp4",)),
    Recipe(height=1080, codec="hevc", weight="heavy", containers=("fmp4",)),
    Recipe(height=720, codec="vp9", weight="heavy", containers=("webm",)),
    Recipe(height=720, codec="av1", weight="heavy", containers=("cmaf",)),
)
QUICK = (
    Recipe(height=720, codec="h264", weight="heavy", containers=("ts", "cmaf")),
    Recipe(height=720, codec="h264", weight="light", containers=("ts",)),
)

PINNED = {
    "720p h264 heavy ts": "1c20ddb93d95aa22",
    "720p h264 heavy fmp4": "a0959dbda9fedda4",
    "720p h264 heavy cmaf": "1e5c211f7e414169",
    "720p h264 light ts": "d765432fdf5f372d",
    "720p h264 light cmaf": "32cc9378a0c66bb3",
    "720p h264 heavy ts, 2 keyframes": "ba08cde38e00a451",
    "1080p h264 heavy ts": "a8167e24796c354b",
    "1080p h264 heavy cmaf": "daa624599a4b4127",
    "1080p h264 light ts": "6a13caa8b85e1aaa",
    "720p h264 heavy ts, 6 s, 3 keyframes": "6c44a3a0da805084",
    "720p h264 heavy cmaf, 6 s, 3 keyframes": "5cc2a0b9ffed918d",
    "720p hevc heavy fmp4": "2f8656d84adf7e41",
    "1080p hevc heavy fmp4": "4bf8d34ac332c25a",
    "720p vp9 heavy webm": "768f3b8ba8c45f41",
    "720p av1 heavy cmaf": "5e1aa0dfa7ef48d4",
}
"""Digests of the default seed's segments, their first 16 digits, as FFmpeg 8.1.2 of av 18.1.0 makes them."""


def same_as_pinned(made: list[Clip], seed: int) -> str:
    """Return in words whether these are the pinned segments: another build of x264 or x265 makes others."""
    if seed != SEED:
        return "not pinned: another seed"
    other = [clip.name for clip in made if clip.sha256[:16] != PINNED[clip.name]]
    return f"other bytes than pinned: {', '.join(other)}" if other else "the pinned ones, to the byte"


def make(recipes: tuple[Recipe, ...], seed: int, *, seconds: float | None = None) -> list[Clip]:
    """Encode each recipe once and put it into its containers, without encoding it again.

    ``seconds``: the length of all, instead of each recipe's own.
    """
    return [clip for recipe in recipes for clip in _clips(recipe, seed, seconds or recipe.seconds)]


def _clips(recipe: Recipe, seed: int, seconds: float) -> Iterator[Clip]:
    whole = encode(recipe, seed, frames=round(seconds * FPS))
    idr_bytes = _idr_bytes(whole)
    for container in recipe.containers:
        data, init, content_type = _contained(whole, container)
        yield Clip(
            name=f"{recipe.height}p {recipe.codec} {recipe.weight} {container}" + _several(recipe),
            data=data,
            init=init,
            content_type=content_type,
            heavy=recipe.weight == "heavy",
            idr_bytes=idr_bytes,
        )


def _several(recipe: Recipe) -> str:
    length = "" if recipe.seconds == SECONDS else f", {recipe.seconds:g} s"
    return f"{length}, {recipe.keyframes} keyframes" if recipe.keyframes > 1 else length


def _contained(whole: bytes, container: str) -> tuple[bytes, bytes | None, ContentType]:
    if container == "ts":
        return transport(whole), None, "video/mp2t"
    if container == "fmp4":
        return whole, None, "video/mp4"
    if container == "webm":
        return remux(whole, "webm", {"fflags": "+bitexact"}), None, "video/webm"
    init, fragments = split_cmaf(whole)
    return b"".join(fragments), init, "video/iso.segment"


def planes(recipe: Recipe, seed: int, frames: int) -> Iterator[NDArray[np.uint8]]:
    """Pictures as yuv420p, shape (height * 3 / 2, width): blobs that drift under grain that doesn't."""
    rng = np.random.default_rng(seed)
    height, width = recipe.height, recipe.width
    luma = octaves(rng, height, width + frames * 4)
    chroma = [smooth(rng, height // 2, width // 2 + frames * 2, CELLS[0] // 2) for _ in range(2)]
    reach = GRAIN[recipe.weight]
    grain = rng.integers(-reach, reach + 1, (height, width), dtype=np.int16)
    for number in range(frames):
        lit = luma[:, number * 4 : number * 4 + width].astype(np.int16) + grain
        colours = [plane[:, number * 2 : number * 2 + width // 2].ravel() for plane in chroma]
        parts = [np.clip(lit, 16, 235).astype(np.uint8).ravel(), *colours]
        yield np.concatenate(parts).reshape(height * 3 // 2, width)


def octaves(rng: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    """Blobs of all sizes, the smaller the fainter, as in most pictures; shape (height, width)."""
    layers = [smooth(rng, height, width, cell).astype(np.int32) * cell for cell in CELLS]
    return (sum(layers[1:], layers[0]) // sum(CELLS)).astype(np.uint8)


def smooth(rng: np.random.Generator, height: int, width: int, cell: int) -> NDArray[np.uint8]:
    """Random levels on a coarse grid, linear between; shape (height, width), 16 to 235, integers all the way."""
    levels = rng.integers(16, 236, (height // cell + 2, width // cell + 2), dtype=np.int32)
    y, x = np.arange(height)[:, None], np.arange(width)[None, :]
    row, down, column, right = y // cell, y % cell, x // cell, x % cell
    above = levels[row, column] * (cell - right) + levels[row, column + 1] * right
    below = levels[row + 1, column] * (cell - right) + levels[row + 1, column + 1] * right
    return ((above * (cell - down) + below * down) // (cell * cell)).astype(np.uint8)


@lru_cache(maxsize=4)
def encode(recipe: Recipe, seed: int, *, frames: int) -> bytes:
    """Closed groups of pictures as fragmented MP4, a fragment each."""
    written = io.BytesIO()
    with av.open(written, "w", format="mp4", options=FRAGMENTED) as out:
        video: Any = out.add_stream(ENCODERS[recipe.codec], rate=FPS, options=_options(recipe, frames))
        video.width, video.height, video.pix_fmt = recipe.width, recipe.height, "yuv420p"
        video.codec_context.thread_count = 1
        video.codec_context.time_base = Fraction(1, TICKS)
        for number, picture in enumerate(planes(recipe, seed, frames)):
            frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
            frame.time_base, frame.pts = Fraction(1, TICKS), number * TICKS // FPS
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    return written.getvalue()


def _options(recipe: Recipe, frames: int) -> dict[str, str]:
    quantiser, gop = QUANTISER[recipe.weight], -(-frames // recipe.keyframes)
    group = f"keyint={gop}:min-keyint={gop}:scenecut=0:qp={quantiser}"
    colours = f"colormatrix={recipe.matrix}:colorprim={recipe.matrix}:transfer={recipe.matrix}"
    if recipe.codec == "h264":
        return {"preset": "superfast", "x264-params": f"{group}:cabac=1:cpu-independent=1:{colours}"}
    if recipe.codec == "hevc":
        return {
            "preset": "ultrafast",
            "x265-params": f"{group}:log-level=none:pools=none:frame-threads=1:bframes=0:{colours}",
        }
    if recipe.codec == "vp9":
        return {"deadline": "realtime", "cpu-used": "8", "crf": "38", "b": "0", "g": str(gop), "lag-in-frames": "0"}
    return {"preset": "12", "svtav1-params": f"keyint={gop}:scd=0:rc=0:qp=40:lp=1:pred-struct=1:tune=1"}


def transport(whole: bytes, *, start_s: int = 0) -> bytes:
    """Fragmented MP4 as MPEG-TS, its first frame at so many seconds."""
    return remux(whole, "mpegts", TRANSPORT, start_s=start_s)


def remux(whole: bytes, muxer: str, options: dict[str, str], *, start_s: int = 0) -> bytes:
    """The same packets in another container, later by so many seconds."""
    written = io.BytesIO()
    with (
        av.open(io.BytesIO(whole), format="mov") as source,
        av.open(written, "w", format=muxer, options=options) as out,
    ):
        stream: Any = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                later = start_s * packet.time_base.denominator // packet.time_base.numerator
                packet.pts, packet.dts = packet.pts + later, packet.dts + later
                packet.stream = stream
                out.mux(packet)
    return written.getvalue()


def _idr_bytes(whole: bytes) -> int:
    with av.open(io.BytesIO(whole), format="mov") as source:
        return next(packet.size for packet in source.demux(source.streams.video[0]) if packet.is_keyframe)

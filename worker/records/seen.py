"""What is seen in a segment: its bytes, keyframes, hashes and scores."""

from __future__ import annotations

from typing import Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from worker.records.events import ContentType

Picture = NDArray[np.uint8]
"""One picture as RGB, shape (height, width, 3), dtype uint8."""
Plane = NDArray[np.uint8] | NDArray[np.uint16]
"""One channel of a picture, shape (height, width)."""


class Yuv(Struct, frozen=True, kw_only=True, eq=False):
    """A picture as its decoder leaves it, as displayed: nothing was converted or copied."""

    luma: Plane
    """The whole picture's size."""
    blue: Plane
    """How much bluer; each side as long as that of ``luma``, or half of it, rounded up."""
    red: Plane
    """How much redder; the size of ``blue``."""
    to_rgb: NDArray[np.float32]
    """Shape (3, 4): red, green and blue out of luma, blue, red and 1. What is not within 0 to 255 is then clipped."""


class Media(Struct, frozen=True, kw_only=True):
    """A segment's bytes, fetched and checked."""

    data: bytes
    init: bytes | None
    sha256: str
    """Our own digest of ``data``, hex."""


class View(Struct, frozen=True, kw_only=True):
    """How a classifier wants to see a picture."""

    height: int
    width: int
    fit: Literal["stretch", "crop"]
    """stretch: the whole picture; crop: shorter side to size, middle cut out."""


class Ask(Struct, frozen=True, kw_only=True):
    """What is asked of the decoder for one segment."""

    content_type: ContentType | None
    """What the publisher says it is; None where the container is to be told by content."""
    interval_s: float
    max_keyframes: int
    view: View | None
    """None where no classifier wants pictures."""
    max_pixels: int
    max_streams: int
    loop_filter: bool = True
    """False: H.264 and HEVC without their deblocking. Less to do, and not quite the picture that was sent."""


class FrameHash(Struct, frozen=True, kw_only=True):
    """PDQ of the picture as displayed: 32 bytes in ThreatExchange's order, or None where quality is below 50."""

    pdq: bytes | None
    quality: int
    """0 to 100."""


class Frame(Struct, frozen=True, kw_only=True, eq=False):
    """One keyframe as the sampler leaves it."""

    offset_s: float
    """Seconds from the segment's first video frame in presentation order."""
    width: int
    height: int
    """Pixels as displayed, rotation applied."""
    hash: FrameHash
    picture: Picture | None
    """The classifier's view at its input size; None where no classifier asked for one."""


class StepCosts(Struct, frozen=True, kw_only=True):
    """Seconds of CPU that the steps inside the decoder took for one segment."""

    open_s: float = 0.0
    decode_s: float = 0.0
    hash_s: float = 0.0
    resize_s: float = 0.0


CODECS = ("h264", "hevc", "vp9", "av1", "vp8")
"""FFmpeg's names of the video codecs that are decoded."""


class Sample(Struct, frozen=True, kw_only=True, eq=False):
    """What sampling makes of one segment."""

    container: str
    """FFmpeg's name of the demuxer: ``mpegts``, ``mov``, ``matroska``."""
    codec: str | None
    """FFmpeg's name of the video codec; None where the segment has no video."""
    start_s: float | None
    """Presentation time of the first video frame on the container's own clock, seconds."""
    wrap_s: float | None
    """After how many seconds that clock wraps (2^33/90000 for MPEG-TS); None where it does not."""
    duration_s: float | None
    """Measured from the video packets, seconds."""
    keyframes_seen: int
    frames: tuple[Frame, ...]
    damaged: bool
    """True when something after a whole keyframe could not be read."""
    costs: StepCosts = StepCosts()


class Score(Struct, frozen=True, kw_only=True):
    """What the classifier says of one label: its raw score and the calibrated probability, both 0 to 1."""

    score: float
    probability: float


FrameScore = dict[str, Score]
"""Label to score, harmless labels included."""

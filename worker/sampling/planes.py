"""A decoded frame's planes as they lie in memory, and how FFmpeg would make RGB of them."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from worker.records import Yuv

if TYPE_CHECKING:
    from av import VideoFrame
    from av.video.plane import VideoPlane
    from numpy.typing import NDArray

    from worker.records import Plane

DEPTHS = {
    f"{kind}{layout}p{suffix}": depth
    for layout in ("420", "422", "444")
    for kind, suffix, depth in (("yuv", "", 8), ("yuvj", "", 8), ("yuv", "10le", 10), ("yuv", "12le", 12))
}
"""FFmpeg's formats of three planes that are read as they are, and the bits of a sample."""
BYTE = 8
"""Bits of a sample that is one byte; longer ones are two."""
BT601 = (0.299, 0.114)
RED_AND_BLUE = {
    1: (0.2126, 0.0722),  # BT.709
    2: BT601,  # not said: FFmpeg takes BT.601 whatever the size
    4: (0.30, 0.11),  # FCC
    5: BT601,
    6: BT601,
    7: (0.212, 0.087),  # SMPTE 240M
    9: (0.2627, 0.0593),  # BT.2020
}
"""Share of red and blue in luma by FFmpeg's AVColorSpace; other ones are left to FFmpeg."""
FULL = 2
"""AVCOL_RANGE_JPEG: 0 to 255. Otherwise luma is 16 to 235 and colour 16 to 240."""


def yuv(frame: VideoFrame, turns: int) -> Yuv | None:
    """The frame without a conversion or a copy; it must not be changed as long as this is in use.

    Args:
        frame: What the decoder gave.
        turns: Quarter turns counter-clockwise to how it is displayed.

    Returns:
        None where its format or colours are none of those above, or where it is turned and of odd size: its colour
        would begin in the middle of a sample.
    """
    depth, shares = DEPTHS.get(frame.format.name), RED_AND_BLUE.get(frame.colorspace)
    if depth is None or shares is None or (turns and (frame.width % 2 or frame.height % 2)):
        return None
    full = frame.color_range == FULL or frame.format.name.startswith("yuvj")
    luma, blue, red = (_samples(plane, depth) for plane in frame.planes)
    if turns:
        luma, blue, red = (np.rot90(plane, turns) for plane in (luma, blue, red))
    return Yuv(luma=luma, blue=blue, red=red, to_rgb=_to_rgb(shares, depth, full=full))


def _samples(plane: VideoPlane, depth: int) -> Plane:
    """One plane, without what pads its rows."""
    whole = np.frombuffer(memoryview(plane), np.dtype(np.uint8 if depth == BYTE else np.uint16))
    return whole.reshape(plane.height, -1)[:, : plane.width]


@lru_cache(maxsize=32)
def _to_rgb(shares: tuple[float, float], depth: int, *, full: bool) -> NDArray[np.float32]:
    """``Yuv.to_rgb`` of ITU-R BT.601, BT.709 and BT.2020, which differ in the shares only."""
    red, blue = shares
    green = 1 - red - blue
    lit, coloured, black = (1.0, 1.0, 0) if full else (255 / 219, 255 / 224, 16)
    redder, bluer = 2 * (1 - red) * coloured, 2 * (1 - blue) * coloured
    matrix = np.array([
        [lit, 0, redder],
        [lit, -bluer * blue / green, -redder * red / green],
        [lit, bluer, 0],
    ])  # fmt: skip
    zero = -matrix @ (black, 128, 128)
    return np.column_stack([matrix / (1 << depth - BYTE), zero]).astype(np.float32)

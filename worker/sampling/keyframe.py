"""One decoded keyframe, whole or as a classifier wants it, as displayed."""

from __future__ import annotations

from threading import local
from typing import TYPE_CHECKING

import numpy as np
from av import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

from worker.sampling import planes

if TYPE_CHECKING:
    from worker.records import Picture, View, Yuv

EIGHT_BIT = {"yuv420p10le": "yuv420p", "yuv422p10le": "yuv422p"}
"""Through these, FFmpeg turns the usual 10-bit pictures into RGB three times as fast as directly."""
PLANES = "gbrp"
"""A plane for each of red, green and blue. Scaled into these, a pixel is the mean of what it covers to within rounding
(0.4 levels on average); scaled into interleaved RGB, neighbours share their colour, all is 2 levels darker, and it
takes longer."""
COLOURS = frozenset({0, *planes.RED_AND_BLUE})
"""Of FFmpeg's AVColorSpace what it makes RGB of: RGB itself, and those matrices."""
NOT_SAID = 2
RANGES = 3
"""AVColorRange: not said, limited, full."""
AREA = int(Interpolation.AREA)
LONGEST = 4
"""From this ratio of the sides on, the middle is cut out before scaling: a sliver would become a huge picture."""


class _Scaler(local):
    """FFmpeg's scaler, one for each thread; what it works out for one size it keeps until another size comes."""

    def __init__(self) -> None:
        self.reformatter = VideoReformatter()


_scaler = _Scaler()


class Keyframe:
    """A keyframe of an open video.

    Attributes:
        offset_s: Seconds from the segment's first video frame in presentation order.
        width: Pixels as displayed, rotation applied.
        height: Pixels as displayed, rotation applied.
    """

    def __init__(self, frame: VideoFrame, offset_s: float) -> None:
        self._frame = _with_known_colours(frame)
        self._turns = _quarter_turns(frame)
        self.offset_s = offset_s
        sides = (frame.width, frame.height)
        self.width, self.height = sides[::-1] if self._turns % 2 else sides

    def yuv(self) -> Yuv | None:
        """The whole picture as it was decoded; None where ``planes.yuv`` can't say what it is."""
        return planes.yuv(self._frame, self._turns)

    def rgb(self) -> Picture:
        """The whole picture, RGB, shape (height, width, 3), dtype uint8."""
        return np.rot90(_rgb(self._frame), self._turns)

    def picture(self, view: View) -> Picture:
        """The picture as a classifier wants it, RGB, shape (view.height, view.width, 3), dtype uint8."""
        height, width = (view.width, view.height) if self._turns % 2 else (view.height, view.width)
        upright = self._stretched(width, height) if view.fit == "stretch" else self._cropped(width, height)
        return np.ascontiguousarray(np.rot90(upright, self._turns))

    def _stretched(self, width: int, height: int) -> Picture:
        return _scale(self._frame, width, height)

    def _cropped(self, width: int, height: int) -> Picture:
        """Shorter side to size, middle cut out."""
        frame = self._frame
        if max(frame.width, frame.height) > LONGEST * min(frame.width, frame.height):
            frame = _middle(frame, max(width, height) / min(width, height))
        scale = max(width / frame.width, height / frame.height)
        wide, high = max(width, round(frame.width * scale)), max(height, round(frame.height * scale))
        scaled = _scale(frame, wide, high)
        top, left = (high - height) // 2, (wide - width) // 2
        return scaled[top : top + height, left : left + width]


def _with_known_colours(frame: VideoFrame) -> VideoFrame:
    """A frame marked with colours that FFmpeg can't convert, as if nothing was said of them: players show it, too.

    Else a byte in a header (YCgCo, ICtCp, BT.2020 with constant luminance, a number that means nothing) would be enough
    for a stream not to be looked at.
    """
    if frame.colorspace not in COLOURS:
        frame.colorspace = NOT_SAID
    if frame.color_range >= RANGES:
        frame.color_range = 0
    return frame


def _scale(frame: VideoFrame, width: int, height: int) -> Picture:
    if (frame.width, frame.height) == (width, height):
        # Where nothing is scaled, FFmpeg 8.1 leaves up to 8 columns of gbrp unwritten: what was in that memory before.
        return _rgb(frame)
    planes = _scaler.reformatter.reformat(frame, width, height, PLANES, interpolation=AREA, threads=1)
    return np.asarray(planes.to_ndarray(format="rgb24", threads=1), np.uint8)


def _middle(frame: VideoFrame, ratio: float) -> VideoFrame:
    """The middle of a sliver, its longer side at most ``ratio`` times the shorter one."""
    picture = _rgb(frame)
    longest = int(min(frame.width, frame.height) * ratio) + 1
    top, left = (max(0, (side - longest) // 2) for side in picture.shape[:2])
    return VideoFrame.from_ndarray(np.ascontiguousarray(picture[top : top + longest, left : left + longest]))


def _quarter_turns(frame: VideoFrame) -> int:
    """Quarter turns counter-clockwise that the container asks for; other angles count as none."""
    turns, rest = divmod(frame.rotation, 90)
    return turns % 4 if rest == 0 else 0


def _rgb(frame: VideoFrame) -> Picture:
    eight_bit = EIGHT_BIT.get(frame.format.name)
    if eight_bit is not None:
        frame = frame.reformat(format=eight_bit, threads=1)
    return np.asarray(frame.to_ndarray(format="rgb24", threads=1), np.uint8)

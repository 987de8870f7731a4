"""One decoded keyframe: its luma plane and its picture, both as displayed."""

from __future__ import annotations

from typing import Any

import numpy as np
from av import VideoFrame
from av.video.reformatter import ColorRange, VideoReformatter
from numpy.typing import NDArray

from worker.records import Picture, View

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of red, green and blue, as PDQ has them (ITU-R BT.601)."""
LONGEST = 4
"""From this ratio of the sides on, a middle is cut out before scaling: else a sliver would be scaled to a huge picture."""


class Keyframe:
    """A keyframe of an open video.

    Attributes:
        offset_s: Seconds from the segment's first video frame in presentation order.
        width: Pixels as displayed, rotation applied.
        height: Pixels as displayed, rotation applied.
        full_range: True where luma goes from 0 to 255, False where it goes from 16 to 235.
    """

    def __init__(self, frame: VideoFrame, offset_s: float, reformatter: VideoReformatter) -> None:
        self._frame = frame
        self._reformatter = reformatter
        self._turns = _quarter_turns(frame)
        self.offset_s = offset_s
        sides = (frame.width, frame.height)
        self.width, self.height = sides[::-1] if self._turns % 2 else sides
        self.full_range = _is_full_range(frame)

    def luma(self) -> NDArray[np.uint8]:
        """The luma plane as displayed, shape (height, width), dtype uint8, deeper ones cut to their upper 8 bits.

        A view of the decoder's memory where it can be: use it before the video is closed.
        """
        plane = _rgb_luma(self._frame) if _is_rgb(self._frame) else _luma_plane(self._frame)
        # Turned planes are copied: PDQ reads rows, and reads them twice as fast in a row.
        return np.ascontiguousarray(np.rot90(plane, self._turns)) if self._turns else plane

    def picture(self, view: View) -> Picture:
        """The picture as a classifier wants it, RGB, shape (view.height, view.width, 3), dtype uint8."""
        height, width = (view.width, view.height) if self._turns % 2 else (view.height, view.width)
        upright = self._stretched(width, height) if view.fit == "stretch" else self._cropped(width, height)
        return np.ascontiguousarray(np.rot90(upright, self._turns))

    def _stretched(self, width: int, height: int) -> Picture:
        return _scale(self._reformatter, self._frame, width, height)

    def _cropped(self, width: int, height: int) -> Picture:
        """Shorter side to size, middle cut out."""
        frame = self._frame
        if max(frame.width, frame.height) > LONGEST * min(frame.width, frame.height):
            frame = _middle(frame, max(width, height) / min(width, height))
        scale = max(width / frame.width, height / frame.height)
        wide, high = max(width, round(frame.width * scale)), max(height, round(frame.height * scale))
        scaled = _scale(self._reformatter, frame, wide, high)
        top, left = (high - height) // 2, (wide - width) // 2
        return scaled[top : top + height, left : left + width]


def _scale(reformatter: VideoReformatter, frame: VideoFrame, width: int, height: int) -> Picture:
    scaled = reformatter.reformat(frame, width, height, "rgb24", interpolation="AREA", threads=1)
    return np.asarray(scaled.to_ndarray(), np.uint8)


def _middle(frame: VideoFrame, ratio: float) -> VideoFrame:
    """The middle of a sliver, its longer side at most ``ratio`` times the shorter one."""
    picture = frame.to_ndarray(format="rgb24", threads=1)
    longest = int(min(frame.width, frame.height) * ratio) + 1
    top, left = (max(0, (side - longest) // 2) for side in picture.shape[:2])
    return VideoFrame.from_ndarray(np.ascontiguousarray(picture[top : top + longest, left : left + longest]))


def _quarter_turns(frame: VideoFrame) -> int:
    """Quarter turns counter-clockwise that the container asks for; a matrix that turns by no such angle asks for none."""
    turns, rest = divmod(frame.rotation, 90)
    return turns % 4 if rest == 0 else 0


def _is_rgb(frame: VideoFrame) -> bool:
    return frame.format.is_rgb or frame.format.has_palette


def _is_full_range(frame: VideoFrame) -> bool:
    if _is_rgb(frame):
        return True
    # The yuvj formats are FFmpeg's older way to say full range.
    return frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj")


def _rgb_luma(frame: VideoFrame) -> NDArray[np.uint8]:
    rgb = frame.to_ndarray(format="rgb24", threads=1)
    return np.rint(rgb @ LUMA).astype(np.uint8)


def _luma_plane(frame: VideoFrame) -> NDArray[np.uint8]:
    plane, bits = frame.planes[0], frame.format.components[0].bits
    shape = (plane.height, plane.width)
    buffer: Any = plane  # a plane is a buffer; PyAV's stubs say so only from Python 3.12 on
    if bits == 8:  # noqa: PLR2004 - a byte
        return np.ndarray(shape, np.uint8, buffer, strides=(plane.line_size, 1))
    deep = np.ndarray(shape, np.dtype("<u2"), buffer, strides=(plane.line_size, 2))
    return (deep >> (bits - 8)).astype(np.uint8)

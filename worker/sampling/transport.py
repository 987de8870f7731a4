"""What MPEG-TS packets tell about damage (ISO/IEC 13818-1, 2.4.3).

FFmpeg marks damage too, but on the frame before the damaged one, and not at all at a segment's end; HEVC then decodes
half a keyframe without a word. So the packets that carry a keyframe are looked at here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SYNC = 0x47
PLAIN = 188
SIZES = (PLAIN, 192, 204)
"""Bytes of a packet: plain, with a time code before it (M2TS), with error correction after it."""
VIDEO_PES = 0xE0
"""Upper half of a video frame's PES stream id."""
PROOF = 5
"""Packets in a row that have to start with the sync byte."""


class Transport:
    """The packets of one MPEG-TS segment.

    Attributes:
        truncated: The last packet is not whole.
    """

    def __init__(self, view: memoryview, offset: int, size: int) -> None:
        # What is between two packets (M2TS's time code) is not there after the last one.
        count, rest = divmod(len(view) - offset, size)
        self.truncated = rest not in {0, PLAIN}
        self._offset, self._size = offset, size
        self._packets = np.ndarray((count + (rest == PLAIN), PLAIN), np.uint8, view, offset, (size, 1))
        heads = self._packets
        self._broken_of: dict[int, NDArray[np.intp]] = {}
        self._pids = ((heads[:, 1] & 0x1F).astype(np.uint16) << 8) | heads[:, 2]

    def scrambled(self) -> bool:
        """Whether most packets are scrambled (``transport_scrambling_control``)."""
        return bool(np.mean(self._packets[:, 3] & 0x80 != 0) > 1 / 2)

    def carries_video(self) -> bool:
        """Whether a video frame starts anywhere (a PES packet of video), announced or not."""
        starts = self._packets[(self._packets[:, 1] & 0x40 != 0) & (self._packets[:, 3] & 0x10 != 0)]
        at = 4 + np.where(starts[:, 3] & 0x20 != 0, 1 + starts[:, 4].astype(np.intp), 0)
        starts, at = starts[at < PLAIN - 3], at[at < PLAIN - 3]
        heads = np.take_along_axis(starts, at[:, None] + np.arange(4), axis=1)
        return bool(((heads[:, :3] == (0, 0, 1)).all(axis=1) & (heads[:, 3] & 0xF0 == VIDEO_PES)).any())

    def is_whole(self, pid: int, start: int, stop: int | None) -> bool:
        """Whether every packet of a frame is there.

        Args:
            pid: The stream's packet identifier.
            start: Byte position where the frame starts.
            stop: Byte position where the next one starts; None for the last one.
        """
        if stop is None and (self.truncated or self._last_is_full(pid)):
            return False
        last = len(self._packets) if stop is None else self._number(stop)
        broken = self._broken(pid)
        return not ((broken >= self._number(start)) & (broken < last)).any()

    def damaged(self, pid: int) -> bool:
        """Whether anything of these packets is broken, or missing between the first and the last."""
        return self.truncated or len(self._broken(pid)) > 0

    def _number(self, position: int) -> int:
        return (position - self._offset) // self._size

    def _broken(self, pid: int) -> NDArray[np.intp]:
        """What is broken of a stream, looked for once: a segment may have thousands of keyframes."""
        if pid not in self._broken_of:
            self._broken_of[pid] = self._find_broken(pid)
        return self._broken_of[pid]

    def _find_broken(self, pid: int) -> NDArray[np.intp]:
        """Numbers of the packets that are out of step, marked as broken, or followed by a gap in the counter."""
        unsynced = np.flatnonzero(self._packets[:, 0] != SYNC)
        mine = self._with_payload(pid)
        heads = self._packets[mine]
        marked = mine[heads[:, 1] & 0x80 != 0]
        counters = heads[:, 3].astype(np.int16)
        steps = (counters[1:] - counters[:-1]) & 0x0F
        announced = (heads[1:, 3] & 0x20 != 0) & (heads[1:, 4] > 0) & (heads[1:, 5] & 0x80 != 0)
        # A packet may be sent twice: the same counter is no gap.
        gaps = mine[:-1][(steps > 1) & ~announced]
        return np.concatenate([unsynced, marked, gaps])

    def _last_is_full(self, pid: int) -> bool:
        """Whether the last packet has no stuffing. Where a frame really ends, 183 of 184 have some."""
        mine = self._with_payload(pid)
        return len(mine) > 0 and not self._packets[mine[-1], 3] & 0x20

    def _with_payload(self, pid: int) -> NDArray[np.intp]:
        heads = self._packets
        return np.flatnonzero((heads[:, 0] == SYNC) & (self._pids == pid) & (heads[:, 3] & 0x10 != 0))


def transport(view: memoryview) -> Transport | None:
    """The segment as transport packets, or None where it has none.

    A segment may start inside a packet; so the first sync byte may be anywhere in the first packet's length.
    """
    head = np.frombuffer(view[: (PROOF + 1) * max(SIZES)], np.uint8)
    for size in SIZES:
        for offset in np.flatnonzero(head[:size] == SYNC):
            marks = head[offset::size][:PROOF]
            whole = len(head) - offset >= size
            if whole and (marks == SYNC).all() and (len(marks) > 1 or offset == 0):
                return Transport(view, int(offset), size)
    return None

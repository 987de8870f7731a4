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
HEAD = ">u4"
"""A packet's first four bytes as one number: sync byte, three flags, identifier (13 bits), and a byte more of flags and
the counter."""
MARKED, UNIT_START, ADAPTED, PAYLOAD, COUNTER = 0x80_0000, 0x40_0000, 0x20, 0x10, 0x0F
"""``transport_error_indicator``, ``payload_unit_start_indicator``, both bits of ``adaptation_field_control``,
``continuity_counter``."""
CARRIED = 0xFF << 24 | 0x1FFF << 8 | PAYLOAD
"""What says of which stream a packet carries something."""


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
        packets = count + (rest == PLAIN)
        self._packets = np.ndarray((packets, PLAIN), np.uint8, view, offset, (size, 1))
        # Copied once, all questions are asked of four bytes that lie side by side instead of one in each cache line.
        self._heads = np.ndarray(packets, HEAD, view, offset, (size,)).astype(np.uint32)
        self._carried: dict[int, NDArray[np.intp]] = {}
        self._broken: dict[int, NDArray[np.intp]] = {}

    def scrambled(self) -> bool:
        """Whether most packets are scrambled (``transport_scrambling_control``)."""
        return bool(np.mean(self._heads & 0x80 != 0) > 1 / 2)

    def carries_video(self) -> bool:
        """Whether a video frame starts anywhere (a PES packet of video), announced or not."""
        starts = self._packets[self._heads & (UNIT_START | PAYLOAD) == UNIT_START | PAYLOAD]
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
        broken = self._broken_of(pid)
        if not len(broken):
            return True
        last = len(self._heads) if stop is None else self._number(stop)
        return not ((broken >= self._number(start)) & (broken < last)).any()

    def damaged(self, pid: int) -> bool:
        """Whether anything of these packets is broken, or missing between the first and the last."""
        return self.truncated or len(self._broken_of(pid)) > 0

    def _number(self, position: int) -> int:
        return (position - self._offset) // self._size

    def _broken_of(self, pid: int) -> NDArray[np.intp]:
        """What is broken of a stream, looked for once: a segment may have thousands of keyframes."""
        if pid not in self._broken:
            self._broken[pid] = self._find_broken(pid)
        return self._broken[pid]

    def _find_broken(self, pid: int) -> NDArray[np.intp]:
        """Numbers of the packets that are out of step, marked as broken, or followed by a gap in the counter."""
        odd = np.flatnonzero(self._heads & (0xFF << 24 | MARKED) != SYNC << 24)
        if len(odd):  # of other streams' packets, a mark says nothing
            odd = odd[(self._heads[odd] >> 24 != SYNC) | (self._heads[odd] & CARRIED == _carrying(pid))]
        mine = self._with_payload(pid)
        heads = self._heads[mine]
        # A packet may be sent twice: the same counter is no gap.
        jumps = np.flatnonzero((heads[1:] - heads[:-1]) & COUNTER > 1)
        if len(jumps):
            jumps = jumps[~self._announced(mine[jumps + 1])]
        return np.concatenate([odd, mine[jumps]])

    def _announced(self, numbers: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Which of these packets say themselves that their counter jumps (``discontinuity_indicator``)."""
        packets = self._packets[numbers, :6]
        said = (packets[:, 3] & 0x20 != 0) & (packets[:, 4] > 0) & (packets[:, 5] & 0x80 != 0)
        return np.asarray(said, np.bool_)

    def _last_is_full(self, pid: int) -> bool:
        """Whether the last packet has no stuffing. Where a frame really ends, 183 of 184 have some."""
        mine = self._with_payload(pid)
        return len(mine) > 0 and not int(self._heads[mine[-1]]) & ADAPTED

    def _with_payload(self, pid: int) -> NDArray[np.intp]:
        """Numbers of the packets that carry something of a stream."""
        if pid not in self._carried:
            self._carried[pid] = np.flatnonzero(self._heads & CARRIED == _carrying(pid))
        return self._carried[pid]


def _carrying(pid: int) -> int:
    """The bits of ``CARRIED`` in a packet that carries something of a stream."""
    return SYNC << 24 | pid << 8 | PAYLOAD


def transport(view: memoryview) -> Transport | None:
    """The segment as transport packets, or None where it has none.

    A segment may start inside a packet; so the first sync byte may be anywhere in the first packet's length.
    """
    head = bytes(view[: (PROOF + 1) * max(SIZES)])
    for size in SIZES:
        offset = head.find(SYNC, 0, size)
        while 0 <= offset <= len(head) - size:
            marks = head[offset::size][:PROOF]
            if marks.count(SYNC) == len(marks) and (len(marks) > 1 or offset == 0):
                return Transport(view, offset, size)
            offset = head.find(SYNC, offset + 1, size)
    return None

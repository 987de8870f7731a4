"""When a segment's frames are shown and whether they are whole, from its packets alone."""

from __future__ import annotations

from bisect import bisect_right
from operator import itemgetter
from typing import TYPE_CHECKING

from worker.errors import SegmentError
from worker.sampling.limits import LONGEST_S, MOST_PACKETS

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

    from worker.sampling.transport import Transport

WRAP_TICKS = 1 << 33
"""MPEG-TS counts 33 bits of a 90 kHz clock (ISO/IEC 13818-1, 2.4.3.7)."""
TS_CLOCK_HZ = 90_000


Tick = tuple[int, int]
"""One frame's presentation time and duration, in the stream's time base."""


class Timeline:
    """The frames of one segment in presentation order; ``add`` every packet, ``close``, then read.

    Frames that an edit list hides count for nothing. Only where it hides every keyframe, hidden ones are taken, at the
    moment nearest to them: else an edit list could keep a whole segment unseen. Leading frames of an open group at the
    start (they refer to the group before) belong to the duration; the first frame is the keyframe, as decoders have it.

    Attributes:
        keyframes: Packet and offset from the first frame, seconds, in decoding order.
        start_s: Presentation time of the first frame, seconds; None without frames.
        duration_s: From the first frame to the end of the last, seconds; None where nothing tells when that is.
        wrap_s: After how many seconds the clock wraps; None where it does not.
        packets: How many there are.
        full: There are more packets, or more bytes in them, than a segment can have: the rest is not to be read.
        damaged: The container shows that not all of their bytes are there.
        is_cut_off: There is one packet, and not all of it.
    """

    def __init__(self, packets: Transport | None, most_bytes: int) -> None:
        """``most_bytes``: how large all packets together can be where the container does not lie."""
        self._transport = packets
        self._bytes_left = most_bytes
        self._wraps = packets is not None
        self.wrap_s = WRAP_TICKS / TS_CLOCK_HZ if self._wraps else None
        self.keyframes: list[tuple[Packet[VideoStream], float]] = []
        self.start_s: float | None = None
        self.duration_s: float | None = None
        self.packets = 0
        self.full = False
        self.damaged = False
        self.is_cut_off = False
        self._last: Packet[VideoStream] | None = None
        self._shown: list[Tick] = []
        self._hidden: list[Tick] = []
        self._keys: list[tuple[Packet[VideoStream], int]] = []
        self._hidden_keys: list[tuple[Packet[VideoStream], int]] = []
        self._leading: set[int] = set()
        self._positions: list[int] = []

    def add(self, packet: Packet[VideoStream]) -> None:
        """One packet, in decoding order; the one that is too much is left out. There are hundreds of them."""
        self._bytes_left -= packet.size
        if self.packets >= MOST_PACKETS or self._bytes_left < 0:
            self.full = self.damaged = True
            return
        self.packets += 1
        self._last = packet
        if packet.is_corrupt:
            self.damaged = True
        position, pts, hidden = packet.pos, packet.pts, packet.is_discard
        if position is not None:
            self._positions.append(position)
        ticks = self._hidden if hidden else self._shown
        if pts is None:
            pts = _placed(packet, ticks)
        ticks.append((pts, packet.duration or 0))
        keys = self._hidden_keys if hidden else self._keys
        if packet.is_keyframe:
            keys.append((packet, pts))
        elif keys and pts < keys[0][1]:
            self._leading.add(pts)

    def close(self) -> None:
        """All packets are there: work out the times. Raises SegmentError where they are absurd."""
        if self._last is None:
            return
        self.damaged |= self._is_damaged(self._last.stream.id)
        self.is_cut_off = self.packets == 1 and not self.is_whole(self._last)
        ticks = sorted(self._shown or self._hidden, key=itemgetter(0))
        seconds = float(self._last.time_base)
        first = next((pts for pts, _ in ticks if pts not in self._leading), ticks[0][0])
        self.start_s = self._on_the_clock(first) * seconds
        length = _last_duration(ticks, measured=self._wraps)
        self.duration_s = None if length is None else (ticks[-1][0] - ticks[0][0] + length) * seconds
        self.keyframes = [(packet, max(0, pts - first) * seconds) for packet, pts in self._keys or self._hidden_keys]
        times_s = (self.start_s, self.duration_s or 0.0, *(offset_s for _, offset_s in self.keyframes))
        if not all(abs(time_s) <= LONGEST_S for time_s in times_s):
            raise SegmentError("decode", "corrupt", "the segment's times are absurd")

    def is_whole(self, packet: Packet[VideoStream]) -> bool:
        """Whether all of a packet's bytes are there, as far as the container can tell."""
        if self._transport is None:
            return not packet.is_corrupt
        if packet.pos is None:
            return False
        following = bisect_right(self._positions, packet.pos)
        stop = self._positions[following] if following < len(self._positions) else None
        return self._transport.is_whole(packet.stream.id, packet.pos, stop)

    def _is_damaged(self, pid: int) -> bool:
        return self._transport is not None and self._transport.damaged(pid)

    def _on_the_clock(self, pts: int) -> int:
        return pts % WRAP_TICKS if self._wraps else pts


def _placed(packet: Packet[VideoStream], before: list[Tick]) -> int:
    """When a packet without a presentation time is shown: at its decoding time, or else when the one before ends."""
    if packet.dts is not None:
        return packet.dts
    return sum(before[-1]) if before else 0


def _last_duration(ticks: list[Tick], *, measured: bool) -> int | None:
    """How long the last frame is shown: MPEG-TS doesn't say, so there the distance of the last two goes first."""
    gap = ticks[-1][0] - ticks[-2][0] if len(ticks) > 1 else 0
    stated = ticks[-1][1]
    return (gap or stated if measured else stated or gap) or None

"""When a segment's frames are shown and whether they are whole, from its packets alone."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction
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


@dataclass(frozen=True, slots=True)
class _Tick:
    """One frame's presentation time and duration, in the stream's time base."""

    pts: int
    duration: int


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
        self._time_base = Fraction(1, TS_CLOCK_HZ)
        self._shown: list[_Tick] = []
        self._hidden: list[_Tick] = []
        self._keys: list[tuple[Packet[VideoStream], int]] = []
        self._hidden_keys: list[tuple[Packet[VideoStream], int]] = []
        self._leading: set[int] = set()
        self._positions: list[int] = []

    def add(self, packet: Packet[VideoStream]) -> None:
        """One packet, in decoding order; the one that is too much is left out."""
        self._bytes_left -= packet.size
        if self.packets >= MOST_PACKETS or self._bytes_left < 0:
            self.full = self.damaged = True
            return
        self._time_base = packet.time_base
        self.packets += 1
        self.damaged |= packet.is_corrupt or (self.packets == 1 and self._is_damaged(packet.stream.id))
        self.is_cut_off = self.packets == 1 and not self.is_whole(packet)
        if packet.pos is not None:
            self._positions.append(packet.pos)
        tick = _Tick(self._placed(packet), packet.duration or 0)
        shown, keys = (self._hidden, self._hidden_keys) if packet.is_discard else (self._shown, self._keys)
        shown.append(tick)
        if packet.is_keyframe:
            keys.append((packet, tick.pts))
        elif keys and tick.pts < keys[0][1]:
            self._leading.add(tick.pts)

    def close(self) -> None:
        """All packets are there: work out the times. Raises SegmentError where they are absurd."""
        ticks = sorted(self._shown or self._hidden, key=lambda tick: tick.pts)
        if not ticks:
            return
        seconds = float(self._time_base)
        first = next((tick.pts for tick in ticks if tick.pts not in self._leading), ticks[0].pts)
        self.start_s = self._on_the_clock(first) * seconds
        length = _last_duration(ticks, measured=self._wraps)
        self.duration_s = None if length is None else (ticks[-1].pts - ticks[0].pts + length) * seconds
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

    def _placed(self, packet: Packet[VideoStream]) -> int:
        """A packet's presentation time, which FFmpeg has unwrapped; where it has none, the last one's end."""
        pts = packet.pts if packet.pts is not None else packet.dts
        if pts is None:
            ticks = self._hidden if packet.is_discard else self._shown
            return ticks[-1].pts + ticks[-1].duration if ticks else 0
        return pts

    def _on_the_clock(self, pts: int) -> int:
        return pts % WRAP_TICKS if self._wraps else pts


def _last_duration(ticks: list[_Tick], *, measured: bool) -> int | None:
    """How long the last frame is shown: MPEG-TS doesn't say, so there the distance of the last two goes first."""
    gap = ticks[-1].pts - ticks[-2].pts if len(ticks) > 1 else 0
    stated = ticks[-1].duration
    return (gap or stated if measured else stated or gap) or None

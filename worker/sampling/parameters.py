"""How large the pictures are that H.264 and HEVC parameter sets announce, before any decoder believes them.

FFmpeg holds its limit against the picture as cropped, and only once its tables are there: 16000x16000 cropped to 16x16
passes, and takes 3.3 s and 680 MiB; uncropped, in MP4, it takes 67 ms and 85 MiB to be refused. So the coded size is
read here: ITU-T H.264 7.3.2.1.1, H.265 7.3.2.2 and 7.3.3.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from worker.sampling.limits import MOST_UNITS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NalCodec = Literal["h264", "hevc"]
Bytes = bytes | memoryview

START = re.compile(b"\0\0\1")
"""A start code; looked for so, a packet need not be copied out of the container's memory first."""

BLOCK = 64
"""The coded size is the picture's, rounded up to whole blocks, which have at most so many pixels a side."""
SET_BYTES = 1024
"""So much of a parameter set is read; the size stands at its beginning."""
WITH_CHROMA_FORMAT = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 144, 244})
"""Profiles of H.264 whose parameter sets tell of the chroma format (7.3.2.1.1)."""
SEPARATE_PLANES = 3
MOST_CYCLE = 255
"""``num_ref_frames_in_pic_order_cnt_cycle`` (7.4.2.1.1)."""
HEVC_SUB_LAYERS = 8


class _Bits:
    """Bits read from the front, zeros after the end."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = len(data) * 8

    def take(self, count: int) -> int:
        """An unsigned number of so many bits."""
        self._left -= count
        value = self._value >> self._left if self._left >= 0 else self._value << -self._left
        return value & ((1 << count) - 1)

    def exp_golomb(self) -> int:
        """An unsigned Exp-Golomb code (9.1); raises ValueError where it is longer than 32 bits."""
        for zeros in range(32):
            if self.take(1):
                return (1 << zeros) - 1 + self.take(zeros)
        raise ValueError("no such code")

    def signed(self) -> int:
        """A signed Exp-Golomb code (9.1.1)."""
        code = self.exp_golomb()
        return (code + 1) // 2 if code & 1 else -(code // 2)


def coded_sizes(codec: str, packet: Bytes, extradata: bytes) -> Iterator[tuple[int, int]]:
    """Width and height, in pixels as coded, of every parameter set before a packet's first slice.

    Args:
        codec: FFmpeg's name; there are no parameter sets in others than H.264 and HEVC.
        packet: A keyframe as it came out of the container, with start codes or lengths.
        extradata: The decoder's configuration as it stands in the container; empty where there is none.

    Yields:
        Each size that could be read. Sets that make no sense are left to the decoder.
    """
    kind = _KINDS.get(codec)
    if kind is None:
        return
    length_bytes = _length_bytes(kind, extradata)
    for unit in (*_configured(kind, extradata), *_units(kind, packet, length_bytes)):
        try:
            yield _SIZES[kind](_Bits(unit.replace(b"\0\0\3", b"\0\0")))
        except ValueError:
            continue


def _length_bytes(codec: NalCodec, extradata: bytes) -> int:
    """How long the lengths before NAL units are; 0 where start codes stand there (ISO/IEC 14496-15, 5.3.3, 8.3.3)."""
    at = 4 if codec == "h264" else 21
    # Both as FFmpeg tells them from start codes.
    configured = extradata[:1] == b"\1" if codec == "h264" else extradata[:3] > b"\0\0\1"
    return (extradata[at] & 3) + 1 if configured and len(extradata) > at else 0


def _configured(codec: NalCodec, extradata: bytes) -> Iterator[bytes]:
    """The parameter sets in a decoder's configuration."""
    if _length_bytes(codec, extradata) == 0:
        yield from _units(codec, extradata, 0)
        return
    arrays, at = (1, 5) if codec == "h264" else (extradata[22] if len(extradata) > 22 else 0, 23)  # noqa: PLR2004
    for _ in range(arrays):
        counted = 1 if codec == "h264" else 3
        head = extradata[at : at + counted]
        if len(head) < counted:
            return
        count = head[0] & 31 if codec == "h264" else int.from_bytes(head[1:], "big")
        at += counted
        for _ in range(min(count, MOST_UNITS)):
            size = int.from_bytes(extradata[at : at + 2], "big")
            unit = extradata[at + 2 : at + 2 + min(size, SET_BYTES)]
            at += 2 + size
            if _is_set(codec, unit):
                yield _body(codec, unit)


def _units(codec: NalCodec, data: Bytes, length_bytes: int) -> Iterator[bytes]:
    """The parameter sets before the first slice."""
    at = 0 if length_bytes else _after_start(data, 0)
    for _ in range(MOST_UNITS):
        start = at + length_bytes
        if start >= len(data):
            return
        unit = bytes(data[start : start + SET_BYTES])
        if _is_slice(codec, unit):
            return
        if _is_set(codec, unit):
            yield _body(codec, unit)
        at = start + int.from_bytes(data[at:start], "big") if length_bytes else _after_start(data, start)


def _after_start(data: Bytes, at: int) -> int:
    """Where the next unit begins; the end where none does."""
    found = START.search(data, at)
    return len(data) if found is None else found.end()


def _is_set(codec: NalCodec, unit: bytes) -> bool:
    """A sequence parameter set, of HEVC's base layer."""
    if codec == "h264":
        return unit[:1] != b"" and unit[0] & 0x1F == 7  # noqa: PLR2004  # 7.4.1
    return len(unit) > 1 and unit[0] >> 1 == 33 and not unit[0] & 1 and unit[1] >> 3 == 0  # noqa: PLR2004  # 7.4.2.2


def _is_slice(codec: NalCodec, unit: bytes) -> bool:
    if codec == "h264":
        return 1 <= unit[0] & 0x1F <= 5  # noqa: PLR2004  # 7.4.1
    return unit[0] >> 1 < 32  # noqa: PLR2004  # 7.4.2.2


def _body(codec: NalCodec, unit: bytes) -> bytes:
    return unit[1:] if codec == "h264" else unit[2:]


def _h264_size(bits: _Bits) -> tuple[int, int]:
    profile = bits.take(8)
    bits.take(16)
    bits.exp_golomb()
    if profile in WITH_CHROMA_FORMAT:
        _skip_formats(bits)
    bits.exp_golomb()
    order = bits.exp_golomb()
    if order == 0:
        bits.exp_golomb()
    elif order == 1:
        bits.take(1)
        bits.signed()
        bits.signed()
        for _ in range(min(bits.exp_golomb(), MOST_CYCLE)):
            bits.signed()
    bits.exp_golomb()
    bits.take(1)
    wide, high = bits.exp_golomb() + 1, bits.exp_golomb() + 1
    fields = 1 if bits.take(1) else 2
    return wide * 16, high * 16 * fields


def _skip_formats(bits: _Bits) -> None:
    """Chroma format, bit depths and scaling lists of H.264 (7.3.2.1.1)."""
    chroma = bits.exp_golomb()
    if chroma == SEPARATE_PLANES:
        bits.take(1)
    bits.exp_golomb()
    bits.exp_golomb()
    bits.take(1)
    if bits.take(1):
        for number in range(12 if chroma == SEPARATE_PLANES else 8):
            if bits.take(1):
                _skip_scaling_list(bits, 16 if number < 6 else 64)  # noqa: PLR2004  # 7.3.2.1.1.1


def _skip_scaling_list(bits: _Bits, length: int) -> None:
    last = 8
    for _ in range(length):
        last = (last + bits.signed()) % 256
        if last == 0:
            return


def _hevc_size(bits: _Bits) -> tuple[int, int]:
    bits.take(4)
    sub_layers = bits.take(3)
    bits.take(1)
    bits.take(96)
    present = [bits.take(2) for _ in range(sub_layers)]
    if sub_layers:
        bits.take(2 * (HEVC_SUB_LAYERS - sub_layers))
    for flags in present:
        bits.take((88 if flags & 2 else 0) + (8 if flags & 1 else 0))
    bits.exp_golomb()
    if bits.exp_golomb() == SEPARATE_PLANES:
        bits.take(1)
    return bits.exp_golomb(), bits.exp_golomb()


_SIZES: dict[NalCodec, Callable[[_Bits], tuple[int, int]]] = {"h264": _h264_size, "hevc": _hevc_size}
_KINDS: dict[str, NalCodec] = {"h264": "h264", "hevc": "hevc"}

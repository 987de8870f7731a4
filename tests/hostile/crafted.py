"""Containers by hand: what no honest muxer writes, a few bytes at a time.

Formats: ISO/IEC 13818-1 (transport packets, PES, tables), ISO/IEC 14496-12 (boxes), RFC 8794 and RFC 9559 (Matroska),
ITU-T H.264 7.3.2.1 (sequence parameter sets).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from support.media import boxes

if TYPE_CHECKING:
    from collections.abc import Iterable

PACKET = 188
VIDEO_PID = 0x100
PMT_PID = 0x1000
H264, HEVC, AAC = 0x1B, 0x24, 0x0F


# --- transport packets ------------------------------------------------------------------------------------------------


def packets(pid: int, payload: bytes, first: int = 0) -> bytes:
    """One unit (a PES packet or a table) as transport packets, the last one stuffed; ``first`` is their counter."""
    out = bytearray()
    for counter, at in enumerate(range(0, max(1, len(payload)), 184), first):
        part = payload[at : at + 184]
        stuffing = 184 - len(part)
        field = bytes([stuffing - 1]) + b"\0" * (stuffing > 1) + b"\xff" * (stuffing - 2) if stuffing else b""
        flags = (0x30 if stuffing else 0x10) | counter & 15
        out += bytes([0x47, (0 if at else 0x40) | pid >> 8, pid & 0xFF, flags]) + field + part
    return bytes(out)


def table(pid: int, table_id: int, number: int, body: bytes) -> bytes:
    """One section of a table: programme association, programme map, service description."""
    length = 5 + len(body) + 4
    section = struct.pack(">BHHBBB", table_id, 0xB000 | length, number, 0xC1, 0, 0) + body
    return packets(pid, b"\0" + section + struct.pack(">I", crc32_mpeg(section)))


def programmes(pmt_pids: Iterable[int]) -> bytes:
    """The programme association table."""
    return table(0, 0, 1, b"".join(struct.pack(">HH", at + 1, 0xE000 | pid) for at, pid in enumerate(pmt_pids)))


def programme(pid: int, number: int, streams: Iterable[tuple[int, int]]) -> bytes:
    """A programme map table of stream types and their packet identifiers."""
    entries = b"".join(struct.pack(">BHH", kind, 0xE000 | at, 0xF000) for kind, at in streams)
    return table(pid, 2, number, struct.pack(">HH", 0xE000 | VIDEO_PID, 0xF000) + entries)


def pes(payload: bytes, pts: int = 90_000, length: int | None = 0) -> bytes:
    """A video PES packet; ``length`` 0 says nothing, None tells the truth, anything else may be a lie."""
    stamp = bytes(
        [0x21 | pts >> 29 & 0x0E, pts >> 22 & 0xFF, pts >> 14 & 0xFE | 1, pts >> 7 & 0xFF, pts << 1 & 0xFE | 1]
    )
    told = len(payload) + 8 if length is None else length
    return b"\0\0\1\xe0" + struct.pack(">H", told) + b"\x80\x80\x05" + stamp + payload


def ts(*units: bytes, kind: int = H264) -> bytes:
    """One video stream of the given PES packets."""
    head = programmes([PMT_PID]) + programme(PMT_PID, 1, [(kind, VIDEO_PID)])
    out, counter = [head], 0
    for unit in units:
        out.append(packets(VIDEO_PID, unit, counter))
        counter += len(out[-1]) // PACKET
    return b"".join(out)


def crc32_mpeg(data: bytes) -> int:
    """The CRC of tables: polynomial 0x04C11DB7, not reflected (ISO/IEC 13818-1, Annex A)."""
    crc = 0xFFFF_FFFF
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C1_1DB7 if crc & 0x8000_0000 else 0)) & 0xFFFF_FFFF
    return crc


# --- boxes ------------------------------------------------------------------------------------------------------------


def box(kind: bytes, *parts: bytes) -> bytes:
    """A box that tells the truth of its size."""
    body = b"".join(parts)
    return struct.pack(">I4s", len(body) + 8, kind) + body


def full(kind: bytes, *parts: bytes, flags: int = 0, version: int = 0) -> bytes:
    """A box with version and flags."""
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def replaced(mp4: bytes, path: tuple[bytes, ...], new: bytes) -> bytes:
    """The MP4 with the first box at ``path`` replaced, all sizes around it mended; chunk offsets are left alone."""
    out, done = b"", False
    for kind, whole in boxes(mp4):
        if kind == path[0] and not done:
            done = True
            out += new if len(path) == 1 else box(kind, replaced(whole[8:], path[1:], new))
        else:
            out += whole
    if not done:
        raise LookupError(path[0])
    return out


def inside(mp4: bytes, path: tuple[bytes, ...]) -> bytes:
    """The whole first box at ``path``."""
    whole = next(whole for kind, whole in boxes(mp4) if kind == path[0])
    return whole if len(path) == 1 else inside(whole[8:], path[1:])


TABLES = (b"moov", b"trak", b"mdia", b"minf", b"stbl")


# --- Matroska ---------------------------------------------------------------------------------------------------------

UNKNOWN = b"\x01" + b"\xff" * 7
EBML = bytes.fromhex("1a45dfa3")
SEGMENT, CLUSTER, TRACKS = bytes.fromhex("18538067"), bytes.fromhex("1f43b675"), bytes.fromhex("1654ae6b")
TRACK, BLOCK, TIMECODE = b"\xae", b"\xa3", b"\xe7"
TAGS, ATTACHMENTS = bytes.fromhex("1254c367"), bytes.fromhex("1941a469")


def element(name: bytes, *parts: bytes, size: bytes | None = None) -> bytes:
    """An element; ``size`` is what it says instead of the truth."""
    body = b"".join(parts)
    return name + (size if size is not None else b"\x01" + len(body).to_bytes(7, "big")) + body


def webm(*children: bytes, size: bytes | None = UNKNOWN) -> bytes:
    """A WebM file of the given children of its Segment."""
    head = element(EBML, element(b"\x42\x86", b"\1"), element(b"\x42\x82", b"webm"), element(b"\x42\x87", b"\4"))
    return head + element(SEGMENT, *children, size=size)


def track(number: int = 1, codec: bytes = b"V_VP8", *more: bytes, width: int = 64, height: int = 48) -> bytes:
    """A video track's entry."""
    size = element(b"\xe0", element(b"\xb0", width.to_bytes(4, "big")), element(b"\xba", height.to_bytes(4, "big")))
    names = element(b"\xd7", number.to_bytes(2, "big")), element(b"\x73\xc5", number.to_bytes(2, "big"))
    return element(TRACK, *names, element(b"\x83", b"\1"), element(b"\x86", codec), size, *more)


def cluster(*blocks: bytes, size: bytes | None = None) -> bytes:
    """A cluster that starts at 0."""
    return element(CLUSTER, element(TIMECODE, b"\0"), *blocks, size=size)


def block(frame: bytes, at_ms: int = 0, *, lacing: int = 0) -> bytes:
    """A SimpleBlock of track 1, marked as a keyframe."""
    return element(BLOCK, b"\x81" + struct.pack(">hB", at_ms, 0x80 | lacing << 1), frame)


# --- parameter sets ---------------------------------------------------------------------------------------------------


def unsigned(value: int) -> str:
    """An Exp-Golomb code, as bits."""
    bits = f"{value + 1:b}"
    return "0" * (len(bits) - 1) + bits


def nal(kind: int, bits: str) -> bytes:
    """A NAL unit of H.264 with emulation prevention, without start code."""
    bits += "1"
    bits += "0" * (-len(bits) % 8)
    raw = int(bits, 2).to_bytes(len(bits) // 8, "big")
    out = bytearray([0x60 | kind])
    zeros = 0
    for byte in raw:
        if zeros == 2 and byte <= 3:
            out.append(3)
            zeros = 0
        out.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(out)


def sps(width: int, height: int, *, crop: tuple[int, int] | None = None, references: int = 1, vui: str = "0") -> bytes:
    """A sequence parameter set of the Baseline profile for a picture of so many pixels.

    ``crop`` is what is cut off at the right and at the bottom, in pixels; ``vui`` its bits, the flag before them.
    """
    bits = f"{66:08b}{0:08b}{62:08b}" + unsigned(0) + unsigned(0) + unsigned(2) + unsigned(references) + "0"
    bits += unsigned(-(-width // 16) - 1) + unsigned(-(-height // 16) - 1) + "11"
    bits += "0" if crop is None else "1" + unsigned(0) + unsigned(crop[0] // 2) + unsigned(0) + unsigned(crop[1] // 2)
    return nal(7, bits + vui)


PPS = nal(8, unsigned(0) + unsigned(0) + "00" + unsigned(0) * 3 + "000" + unsigned(0) * 3 + "000")


def grey_idr(macroblocks: int = 0) -> bytes:
    """An IDR slice whose first macroblocks are plain; the decoder conceals the rest."""
    head = unsigned(0) + unsigned(7) + unsigned(0) + "0000" + unsigned(0) + "00" + unsigned(0)
    return nal(5, head + (unsigned(3) + unsigned(0) + unsigned(0) + "1") * macroblocks)


def annex_b(*units: bytes) -> bytes:
    """NAL units with their start codes."""
    return b"".join(b"\0\0\0\1" + unit for unit in units)

"""Real segments, broken on purpose: the same seed gives the same mutant.

Small generated segments of every container and codec; each mutant is one of them after one to four changes: bits
flipped, runs overwritten, cut, moved or repeated, spliced with another file, sizes and lengths that lie, packets that
come twice or in another order. Half of the changes aim at where decisions are made (heads, tables, parameter sets).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from hostile import crafted
from support.media import make_audio, make_cmaf, make_segment

from worker.records import ContentType

if TYPE_CHECKING:
    from collections.abc import Callable

Random = np.random.Generator
T = TypeVar("T")

INTERESTING = (0, 1, 7, 8, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF)
MOST_BYTES = 256 * 1024
"""No mutant is larger: doubling again and again would fill the run with copying."""
BOX_NAMES = tuple(
    name.encode()
    for line in (
        "ftyp moov mvhd trak tkhd edts elst mdia mdhd minf dinf dref stbl stsd avc1 hvc1 hev1 av01 vp09 avcC hvcC av1C",
        "vpcC stts ctts stsc stsz stco co64 stss mvex trex moof mfhd traf tfhd tfdt trun mdat sidx udta meta",
    )
    for name in line.split()
)
ELEMENTS = tuple(
    bytes.fromhex(name)
    for name in (
        *("1a45dfa3", "18538067", "1549a966", "1654ae6b", "ae", "e0", "63a2"),
        *("1f43b675", "e7", "a3", "a1", "1c53bb6b", "1254c367"),
    )
)
PARAMETER_SETS = (
    *(b"\0\0\1" + bytes([kind]) for kind in (0x67, 0x27, 0x68, 0x40, 0x42, 0x44, 0x65, 0x26)),
    *(b"avcC", b"hvcC", b"av1C", b"vpcC"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """A segment as it should be."""

    name: str
    data: bytes
    init: bytes | None
    content_type: ContentType


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A segment as it should not be."""

    seed: int
    origin: str
    """Name of the original and of its changes."""
    data: bytes
    init: bytes | None
    content_type: ContentType | None


@cache
def originals() -> tuple[Original, ...]:
    """Every container with every codec that it is used with."""
    small = {"width": 64, "height": 48, "seconds": 0.48, "gop": 4}
    made: list[Original] = []

    def add(name: str, data: bytes, content_type: ContentType, init: bytes | None = None) -> None:
        made.append(Original(name=name, data=data, init=init, content_type=content_type))

    for codec in ("h264", "hevc"):
        add(f"ts-{codec}", make_segment(codec=codec, bframes=2, audio=codec == "h264", **small), "video/mp2t")
        init, fragments = make_cmaf(codec=codec, bframes=2, **small)
        add(f"cmaf-{codec}", fragments[0] + fragments[1], "video/iso.segment", init)
    for codec in ("h264", "hevc", "vp9", "av1"):
        more = {"audio": codec == "h264", "bframes": 2 if codec in {"h264", "hevc"} else 0}
        add(f"mp4-{codec}", make_segment(container="mp4", codec=codec, **more, **small), "video/mp4")
        add(f"fmp4-{codec}", make_segment(container="fmp4", codec=codec, **small), "video/mp4")
    for codec in ("vp8", "vp9", "av1"):
        add(f"webm-{codec}", make_segment(container="webm", codec=codec, audio=codec == "vp9", **small), "video/webm")
    add("ts-m2ts", make_segment(mux={"mpegts_m2ts_mode": "1"}, **small), "video/mp2t")
    add("mp4-turned", make_segment(container="mp4", rotation=90, pix_fmt="yuv444p", **small), "video/mp4")
    add("ts-audio", make_audio(seconds=0.5), "video/mp2t")
    return tuple(made)


def mutant(seed: int) -> Mutant:
    """The mutant of a seed."""
    random = np.random.default_rng(seed)
    origin = _one(random, originals())
    data, init, told = bytearray(origin.data), origin.init, [origin.name]
    for _ in range(int(random.integers(1, 5))):
        change = _one(random, CHANGES)
        told.append(change.__name__.strip("_"))
        if init is not None and random.random() < 0.3:
            init = bytes(change(bytearray(init), random))
        else:
            data = change(data, random)[:MOST_BYTES]
    said = origin.content_type if random.random() < 0.8 else None
    return Mutant(seed=seed, origin=" ".join(told), data=bytes(data), init=init, content_type=said)


def minimised(data: bytes, still: Callable[[bytes], bool], tries: int = 200) -> bytes:
    """The shortest of the pieces of ``data`` that still do what it does, as far as so many tries find it."""
    size = len(data) // 2
    while size >= 1 and tries > 0:
        at = 0
        while at < len(data) and tries > 0:
            tries -= 1
            shorter = data[:at] + data[at + size :]
            if still(shorter):
                data = shorter
            else:
                at += size
        size //= 2
    return data


# --- changes ----------------------------------------------------------------------------------------------------------


def flipped_bits(data: bytearray, random: Random) -> bytearray:
    """One to sixteen bits, anywhere or close together."""
    at = _place(data, random)
    spread = int(random.choice([8, 64, len(data)]))
    for _ in range(int(random.integers(1, 17))):
        place = min(len(data) - 1, at + int(random.integers(0, spread)))
        if place >= 0:
            data[place] ^= 1 << int(random.integers(0, 8))
    return data


def overwritten(data: bytearray, random: Random) -> bytearray:
    """A run of zeros, ones or anything."""
    at, length = _place(data, random), _length(random)
    fill = bytes([int(random.choice([0, 0xFF, 0x47]))]) * length if random.random() < 0.5 else random.bytes(length)
    data[at : at + length] = fill[: max(0, len(data) - at)]
    return data


def removed(data: bytearray, random: Random) -> bytearray:
    """A run is not there."""
    at = _place(data, random)
    del data[at : at + _length(random)]
    return data


def inserted(data: bytearray, random: Random) -> bytearray:
    """A run too much."""
    at = _place(data, random)
    data[at:at] = random.bytes(_length(random))
    return data


def repeated(data: bytearray, random: Random) -> bytearray:
    """A run twice or many times."""
    at, length = _place(data, random), _length(random)
    data[at:at] = data[at : at + length] * int(random.choice([1, 2, 40]))
    return data


def cut_off(data: bytearray, random: Random) -> bytearray:
    """The end is missing, or the beginning."""
    at = _place(data, random)
    return data[:at] if random.random() < 0.8 else data[at:]


def spliced(data: bytearray, random: Random) -> bytearray:
    """The beginning of this and the end of another, also of another kind."""
    other = _one(random, originals()).data
    return data[: _place(data, random)] + other[_place(bytearray(other), random) :]


def interesting_number(data: bytearray, random: Random) -> bytearray:
    """A number at the edge of its range, of one to eight bytes."""
    at, width = _place(data, random), int(random.choice([1, 2, 4, 8]))
    number = int(random.choice(INTERESTING)) & ((1 << 8 * width) - 1)
    data[at : at + width] = number.to_bytes(width, "big")[: max(0, len(data) - at)]
    return data


def box_size_lie(data: bytearray, random: Random) -> bytearray:
    """A box says another size than it has; or its first numbers (version, count) lie."""
    at = _find(data, random, BOX_NAMES)
    if at is None or at < 4:
        return interesting_number(data, random)
    if random.random() < 0.5:
        true = struct.unpack_from(">I", data, at - 4)[0]
        lie = _one(random, (*INTERESTING, true - 1, true + 1, true - 8, true + 8, true * 2, len(data)))
        data[at - 4 : at] = (lie & 0xFFFF_FFFF).to_bytes(4, "big")
    else:
        place = at + 4 + 4 * int(random.integers(0, 6))
        data[place : place + 4] = _one(random, INTERESTING).to_bytes(4, "big")[: max(0, len(data) - place)]
    return data


def element_size_lie(data: bytearray, random: Random) -> bytearray:
    """An element says another size than it has, or none."""
    at = _find(data, random, ELEMENTS)
    if at is None:
        return interesting_number(data, random)
    name = next(name for name in ELEMENTS if data[at : at + len(name)] == name)
    lies = (
        b"\x80",
        b"\xff",
        b"\x01" + b"\xff" * 7,
        b"\x01" + b"\xff" * 6 + b"\xfe",
        b"\x40\x01",
        b"\x00",
        random.bytes(2),
    )
    lie = _one(random, lies)
    place = at + len(name)
    data[place : place + len(lie)] = lie
    return data


def pes_length_lie(data: bytearray, random: Random) -> bytearray:
    """A PES packet says another length, other flags, another time."""
    at = _find(data, random, (b"\0\0\1\xe0", b"\0\0\1\xc0"))
    if at is None:
        return interesting_number(data, random)
    place = at + 4 + int(random.integers(0, 10))
    data[place : place + 2] = (_one(random, INTERESTING) & 0xFFFF).to_bytes(2, "big")
    return data


def parameters_bent(data: bytearray, random: Random) -> bytearray:
    """A few bits of a parameter set, a slice's head or a decoder's configuration."""
    at = _find(data, random, PARAMETER_SETS)
    if at is None:
        return flipped_bits(data, random)
    for _ in range(int(random.integers(1, 5))):
        place = at + 4 + int(random.integers(0, 40))
        if place < len(data):
            data[place] ^= 1 << int(random.integers(0, 8))
    return data


def reordered(data: bytearray, random: Random) -> bytearray:
    """Two parts (transport packets, boxes, or blocks of bytes) change places, or one comes twice or not at all."""
    parts = _parts(bytes(data))
    if len(parts) < 2:
        return repeated(data, random)
    one, other = (int(random.integers(0, len(parts))) for _ in range(2))
    kind = random.random()
    if kind < 0.4:
        parts[one], parts[other] = parts[other], parts[one]
    elif kind < 0.7:
        parts.insert(other, parts[one])
    else:
        del parts[one]
    return bytearray(b"".join(parts))


def transport_head(data: bytearray, random: Random) -> bytearray:
    """A transport packet's head: identifier, flags, counter, adaptation field."""
    count = len(data) // crafted.PACKET
    if count == 0 or data[0] != 0x47:
        return interesting_number(data, random)
    for _ in range(int(random.integers(1, 6))):
        place = int(random.integers(0, count)) * crafted.PACKET + int(random.integers(0, 12))
        data[place] = int(random.integers(0, 256))
    return data


CHANGES = (
    flipped_bits,
    overwritten,
    removed,
    inserted,
    repeated,
    cut_off,
    spliced,
    interesting_number,
    box_size_lie,
    element_size_lie,
    pes_length_lie,
    parameters_bent,
    parameters_bent,
    reordered,
    transport_head,
)


def _one(random: Random, of: tuple[T, ...]) -> T:
    return of[int(random.integers(0, len(of)))]


def _place(data: bytearray, random: Random) -> int:
    """Anywhere; half of the time near the beginning, where heads and tables are, or near the end, where MP4's are."""
    if not data:
        return 0
    near = min(len(data), 1024)
    kind = random.random()
    if kind < 0.3:
        return int(random.integers(0, near))
    if kind < 0.5:
        return len(data) - 1 - int(random.integers(0, near))
    return int(random.integers(0, len(data)))


def _length(random: Random) -> int:
    return int(2 ** random.uniform(0, 12))


def _find(data: bytearray, random: Random, names: tuple[bytes, ...]) -> int | None:
    """Where one of the names stands: one of those that are there, at one of its places."""
    there = [name for name in names if name in data]
    if not there:
        return None
    name = there[int(random.integers(0, len(there)))]
    found = data.find(name, int(random.integers(0, len(data))))
    return found if found >= 0 else data.find(name)


def _parts(data: bytes) -> list[bytes]:
    if data[:1] == b"\x47":
        return [data[at : at + crafted.PACKET] for at in range(0, len(data), crafted.PACKET)]
    if data[4:8] in {b"ftyp", b"moof"} and all(struct.unpack_from(">I", box)[0] >= 8 for _, box in _boxes(data)):
        return [box for _, box in _boxes(data)]
    return [data[at : at + 512] for at in range(0, len(data), 512)]


def _boxes(data: bytes) -> list[tuple[bytes, bytes]]:
    """The boxes up to the first that would not end."""
    found, at = [], 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        size = size if size >= 8 else len(data) - at
        found.append((kind, data[at : at + size]))
        at += size
    return found

"""Bombs of size, time and memory: each a segment that asks a decoder for far more than it is worth."""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from functools import partial
from typing import TYPE_CHECKING

import av
import numpy as np
from hostile import crafted
from hostile.crafted import TABLES, box, element, full, inside, replaced
from support.media import make_segment

if TYPE_CHECKING:
    from collections.abc import Callable

MANY = 0xFFFF_FFFF
HUGE = 16_000


def small(container: str = "mp4", codec: str = "h264", **more: object) -> bytes:
    """A small honest segment to start from."""
    return make_segment(container=container, codec=codec, width=64, height=48, **({"seconds": 0.4, "gop": 5} | more))


def stbl(mp4: bytes, kind: bytes, new: bytes) -> bytes:
    """The MP4 with another sample table of that kind."""
    return replaced(mp4, (*TABLES, kind), new)


# --- size -------------------------------------------------------------------------------------------------------------


def pixels_ts(side: int = HUGE) -> bytes:
    """H.264 in MPEG-TS whose parameter set tells of 16000x16000."""
    unit = crafted.annex_b(crafted.sps(side, side), crafted.PPS, crafted.grey_idr(16))
    return crafted.ts(crafted.pes(unit), crafted.pes(unit, pts=180_000))


def pixels_cropped() -> bytes:
    """The same, with all but 16x16 cut off again: what is shown is small, what is decoded is not."""
    sps = crafted.sps(HUGE, HUGE, crop=(HUGE - 16, HUGE - 16))
    return crafted.ts(crafted.pes(crafted.annex_b(sps, crafted.PPS, crafted.grey_idr(16))))


def pixels_mp4() -> bytes:
    """H.264 in MP4: the container says 64x48, the parameter set 16000x16000."""
    mp4, sps = small(), crafted.sps(HUGE, HUGE)
    avcc = b"\1" + sps[1:4] + b"\xff\xe1" + struct.pack(">H", len(sps)) + sps
    avcc += b"\1" + struct.pack(">H", len(crafted.PPS)) + crafted.PPS
    entry = inside(mp4, (*TABLES, b"stsd"))[16:]
    return stbl(mp4, b"stsd", full(b"stsd", b"\0\0\0\1", box(b"avc1", entry[8:86], box(b"avcC", avcc))))


def pixels_vp8() -> bytes:
    """VP8 in WebM: the container says 64x48, the frame 16383x16383."""
    frame = b"\x10\0\0\x9d\x01\x2a" + struct.pack("<HH", 16_383, 16_383) + bytes(200)
    return crafted.webm(element(crafted.TRACKS, crafted.track()), crafted.cluster(crafted.block(frame)))


def pixels_vp9() -> bytes:
    """VP9 in WebM: the container says 64x48, the frame 65536x65536."""
    bits = "10000010" + f"{0x498342:024b}" + "0010" + "1" * 32 + "0" * 300
    frame = int(bits[: len(bits) // 8 * 8], 2).to_bytes(len(bits) // 8, "big")
    tracks = element(crafted.TRACKS, crafted.track(codec=b"V_VP9"))
    return crafted.webm(tracks, crafted.cluster(crafted.block(frame)))


# --- streams ----------------------------------------------------------------------------------------------------------


def streams_ts() -> bytes:
    """MPEG-TS with 40 programmes of 195 streams each, and a packet of each."""
    pmts = [0x20 + number for number in range(40)]
    pids = iter(range(0x100, 0x1FFE))
    out, used = crafted.programmes(pmts), list[int]()
    for number, pmt in enumerate(pmts):
        streams = [(crafted.AAC if at else crafted.H264, next(pids)) for at in range(195)]
        used += [pid for _, pid in streams]
        out += crafted.programme(pmt, number + 1, streams)
    return out + b"".join(crafted.packets(pid, crafted.pes(b"\0\0\0\1\x09\xf0")) for pid in used)


def streams_unannounced() -> bytes:
    """MPEG-TS without any table: 7,900 packet identifiers that all carry video."""
    return b"".join(crafted.packets(pid, crafted.pes(b"\0\0\0\1\x09\xf0")) for pid in range(0x20, 0x1F00))


def streams_mp4() -> bytes:
    """MP4 with 5,000 tracks."""
    mp4 = small()
    trak = inside(mp4, (b"moov", b"trak"))
    return replaced(mp4, (b"moov", b"trak"), trak * 5000)


def streams_webm() -> bytes:
    """WebM with 5,000 tracks."""
    return crafted.webm(element(crafted.TRACKS, *(crafted.track(number + 1) for number in range(5000))))


# --- counts and times of MP4 ------------------------------------------------------------------------------------------


def table_counts(kind: bytes, count: int = MANY) -> bytes:
    """MP4 whose table says that it has 2^32-1 entries."""
    mp4 = small(bframes=2)
    whole = inside(mp4, (*TABLES, kind))
    at = 16 if kind == b"stsz" else 12
    return stbl(mp4, kind, whole[:at] + struct.pack(">I", count) + whole[at + 4 :])


def one_byte_samples(count: int = 50_000_000) -> bytes:
    """MP4 with millions of samples of one byte each, all keyframes, in a table of 20 bytes."""
    mp4 = stbl(small(), b"stsz", full(b"stsz", struct.pack(">II", 1, count)))
    mp4 = stbl(mp4, b"stsc", full(b"stsc", struct.pack(">IIII", 1, 1, count, 1)))
    mp4 = stbl(mp4, b"stss", box(b"free"))
    return stbl(mp4, b"stts", full(b"stts", struct.pack(">III", 1, count, 1)))


def overlapping_samples(count: int = 100_000, size: int = 4 * 1024 * 1024) -> bytes:
    """MP4 with 100,000 keyframes of 4 MiB each, all of them the same bytes."""
    data, ftyp = bytes(range(256)) * (size // 256), inside(small(), (b"ftyp",))
    mp4 = stbl(small(), b"stsz", full(b"stsz", struct.pack(">II", size, count)))
    mp4 = stbl(mp4, b"stsc", full(b"stsc", struct.pack(">IIII", 1, 1, 1, 1)))
    mp4 = stbl(mp4, b"stss", box(b"free"))
    mp4 = stbl(mp4, b"stts", full(b"stts", struct.pack(">III", 1, count, 1)))
    mp4 = stbl(mp4, b"stco", full(b"stco", struct.pack(">I", count) + struct.pack(">I", len(ftyp) + 8) * count))
    return ftyp + box(b"mdat", data) + inside(mp4, (b"moov",))


def edits(count: int = 300_000) -> bytes:
    """MP4 with an edit list of so many entries, each showing everything again."""
    entry = struct.pack(">IiI", 36_000, 0, 1 << 16)
    elst = full(b"elst", struct.pack(">I", count), entry * count)
    return replaced(small(gop=10), (b"moov", b"trak", b"edts"), box(b"edts", elst))


def absurd_run(count: int) -> bytes:
    """A fragment whose run tells of so many samples without saying anything of each."""
    trun = full(b"trun", struct.pack(">II", count, 200), flags=1)
    return replaced(small("fmp4"), (b"moof", b"traf", b"trun"), trun)


def absurd_matrix() -> bytes:
    """A track header with the largest numbers there are in its matrix and its size."""
    mp4 = small()
    tkhd = inside(mp4, (b"moov", b"trak", b"tkhd"))
    return replaced(mp4, (b"moov", b"trak", b"tkhd"), tkhd[:48] + b"\x7f\xff\xff\xff" * 11)


def absurd_clock(timescale: int, duration: int) -> bytes:
    """A track whose clock ticks so often in a second, and whose frames last so many ticks."""
    mp4 = small()
    mdhd = full(b"mdhd", struct.pack(">QQIQHH", 0, 0, timescale, 2**63 - 1, 0, 0), version=1)
    mp4 = replaced(mp4, (b"moov", b"trak", b"mdia", b"mdhd"), mdhd)
    return stbl(mp4, b"stts", full(b"stts", struct.pack(">III", 1, 10, duration)))


def late_fragment(timescale: int = 1) -> bytes:
    """A fragment that starts at the end of time."""
    fmp4 = small("fmp4")
    mdhd = full(b"mdhd", struct.pack(">IIIIHH", 0, 0, timescale, 0, 0, 0))
    fmp4 = replaced(fmp4, (b"moov", b"trak", b"mdia", b"mdhd"), mdhd)
    tfdt = full(b"tfdt", struct.pack(">Q", 2**63 - 2**40), version=1)
    return replaced(fmp4, (b"moof", b"traf", b"tfdt"), tfdt)


def nested(kind: bytes = b"udta", depth: int = 10_000) -> bytes:
    """Boxes in boxes in boxes."""
    inner = b""
    for _ in range(depth):
        inner = box(kind, inner)
    mp4 = small()
    return replaced(mp4, (b"moov",), box(b"moov", inside(mp4, (b"moov",))[8:], inner))


def metadata_mp4(entries: int = 100_000) -> bytes:
    """MP4 with a great many names that are no UTF-8."""

    def name(at: int) -> bytes:
        text = b"\xff\xfe%d" % at
        return struct.pack(">I4sHH", 12 + len(text), b"\xa9" + b"%03d" % (at % 1000), len(text), 0) + text

    mp4 = small()
    udta = box(b"udta", *(name(at) for at in range(entries)))
    return replaced(mp4, (b"moov",), box(b"moov", inside(mp4, (b"moov",))[8:], udta))


def keys(count: int = 30_000) -> bytes:
    """MP4 with so many keys of QuickTime's metadata, each another."""
    names = full(b"keys", struct.pack(">I", count), *(box(b"mdta", b"k%d" % at) for at in range(count)))
    datum = box(b"data", struct.pack(">II", 1, 0), b"v")
    values = box(b"ilst", *(box(struct.pack(">I", at + 1), datum) for at in range(count)))
    meta = box(b"meta", full(b"hdlr", bytes(4), b"mdta", bytes(13)), names, values)
    mp4 = small()
    return replaced(mp4, (b"moov",), box(b"moov", inside(mp4, (b"moov",))[8:], meta))


def misnamed(container: str) -> bytes:
    """A good segment with a name in its metadata that is no UTF-8."""
    codec, out = "vp9" if container == "webm" else "h264", io.BytesIO()
    with (
        av.open(io.BytesIO(small(container, codec))) as source,
        av.open(out, "w", format=container, container_options={"fflags": "+bitexact"}) as named,
    ):
        named.metadata.update({"title": "NAMENAME", "service_name": "NAMENAME"})
        video = named.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = video
                named.mux(packet)
    return out.getvalue().replace(b"NAMENAME", b"\xff\xfe\xfdNAMES")


# --- Matroska ---------------------------------------------------------------------------------------------------------


def tags(count: int = 100_000) -> bytes:
    """WebM with so many tags, each of another name and no UTF-8."""
    simple = (
        element(b"\x67\xc8", element(b"\x45\xa3", b"N%d" % at), element(b"\x44\x87", b"\xff\xfe"))
        for at in range(count)
    )
    head = element(crafted.TAGS, element(b"\x73\x73", element(b"\x63\xc0"), *simple))
    return crafted.webm(head, element(crafted.TRACKS, crafted.track()), crafted.cluster(crafted.block(bytes(50))))


def squeezed(frames: int = 300) -> bytes:
    """WebM whose frames are compressed with zlib, 9 MB from 9 kB each."""
    encoding = element(b"\x50\x34", element(b"\x42\x54", b"\0"))
    entry = element(
        b"\x62\x40", element(b"\x50\x31", b"\0"), element(b"\x50\x32", b"\1"), element(b"\x50\x33", b"\0"), encoding
    )
    tracks = element(crafted.TRACKS, crafted.track(1, b"V_VP8", element(b"\x6d\x80", entry)))
    frame = zlib.compress(bytes(9_000_000), 9)
    return crafted.webm(tracks, crafted.cluster(*(crafted.block(frame, at) for at in range(frames))))


def endless_sizes() -> bytes:
    """Elements in elements, all of unknown size."""
    inner = crafted.cluster(crafted.block(bytes(50)), size=crafted.UNKNOWN)
    for _ in range(3000):
        inner = element(crafted.CLUSTER, inner, size=crafted.UNKNOWN)
    return crafted.webm(element(crafted.TRACKS, crafted.track(), size=crafted.UNKNOWN), inner)


def lying_sizes() -> bytes:
    """A block that says that it is 2^56-2 bytes long."""
    block = element(crafted.BLOCK, b"\x81\0\0\x80" + bytes(50), size=b"\x01" + b"\xff" * 6 + b"\xfe")
    return crafted.webm(element(crafted.TRACKS, crafted.track()), crafted.cluster(block))


def lacing(kind: int) -> bytes:
    """Blocks that hold 256 frames, says their lacing, whose sizes don't add up."""
    frames = b"\xff" + b"\xff" * 300 + bytes(40)
    blocks = (crafted.block(frames, at, lacing=kind) for at in range(500))
    return crafted.webm(element(crafted.TRACKS, crafted.track()), crafted.cluster(*blocks))


# --- MPEG-TS ----------------------------------------------------------------------------------------------------------


def endless_pes(mib: int = 12) -> bytes:
    """One PES packet without an end: a start, then nothing but payload."""
    return crafted.ts(crafted.pes(crafted.annex_b(crafted.sps(64, 48), crafted.PPS) + b"\x5a" * (mib << 20)))


def start_codes(mib: int = 4) -> bytes:
    """A frame of nothing but start codes: a million NAL units."""
    return crafted.ts(crafted.pes(crafted.annex_b(crafted.sps(64, 48), crafted.PPS) + b"\0\0\1\x65" * (mib << 18)))


def tiny_frames(count: int = 110_000) -> bytes:
    """As many keyframes as there are transport packets."""
    unit = crafted.annex_b(crafted.sps(16, 16), crafted.PPS, crafted.grey_idr(1))
    return crafted.ts(*(crafted.pes(unit, pts=90 * at) for at in range(count)))


def absurd_sps(vui: str) -> bytes:
    """A parameter set with absurd side information."""
    unit = crafted.annex_b(crafted.sps(64, 48, vui="1" + vui, references=16), crafted.PPS, crafted.grey_idr(12))
    return crafted.ts(crafted.pes(unit), crafted.pes(unit, pts=93_600))


REORDER = "0" * 4 + "0" + "0" * 2 + "0" + "1" + "1" + "".join(crafted.unsigned(2**31 - 2) for _ in range(6))
TICKS = "0" * 4 + "1" + f"{0:032b}" + f"{MANY:032b}" + "1" + "0" * 3 + "0"


def many_slices() -> bytes:
    """HEVC in as many slices as its coder makes, with wavefronts."""
    return small(
        "mpegts", "hevc", encoder={"x265-params": "log-level=none:pools=none:ctu=16:min-cu-size=8:slices=3:wpp=1"}
    )


def superframe_lies() -> bytes:
    """A VP9 frame that ends with an index of 8 frames of 4 GiB each."""
    index = b"\xdf" + b"\xff" * 32 + b"\xdf"
    tracks = element(crafted.TRACKS, crafted.track(codec=b"V_VP9"))
    return crafted.webm(tracks, crafted.cluster(*(crafted.block(bytes(100) + index, at) for at in range(200))))


def unit_lies() -> bytes:
    """AV1 whose units tell of sizes of 2^32 and more."""
    lie = b"\x0a\xff\xff\xff\xff\xff\xff\xff\x7f" + b"\x32\xff\xff\xff\xff\x0f" + bytes(80)
    tracks = element(crafted.TRACKS, crafted.track(codec=b"V_AV1"))
    return crafted.webm(tracks, crafted.cluster(*(crafted.block(lie, at) for at in range(200))))


def film_grain() -> bytes:
    """AV1 with film grain."""
    return small("fmp4", "av1", encoder={"svtav1-params": "keyint=5:lp=1:film-grain=50"})


# --- no container -----------------------------------------------------------------------------------------------------


def zero_boxes() -> bytes:
    """A box that says that it has no size, again and again."""
    return box(b"ftyp", b"isom\0\0\0\0") + struct.pack(">I4s", 0, b"moov") + struct.pack(">I4s", 0, b"trak") * 100_000


BOMBS: dict[str, Callable[[], bytes]] = {
    "pixels in MPEG-TS": pixels_ts,
    "pixels cut off again": pixels_cropped,
    "pixels in MP4": pixels_mp4,
    "pixels in VP8": pixels_vp8,
    "pixels in VP9": pixels_vp9,
    "thousands of streams in MPEG-TS": streams_ts,
    "thousands of streams without a table": streams_unannounced,
    "thousands of streams in MP4": streams_mp4,
    "thousands of streams in WebM": streams_webm,
    **{
        f"2^32-1 entries in {kind.decode()}": partial(table_counts, kind)
        for kind in (b"stts", b"ctts", b"stsz", b"stsc", b"stco", b"stss", b"stsd")
    },
    "millions of samples of one byte": one_byte_samples,
    "one sample, 100,000 times": overlapping_samples,
    "huge edit list": edits,
    "a run of 16 million samples": partial(absurd_run, 1 << 24),
    "a run of 2^32-1 samples": partial(absurd_run, MANY),
    "absurd matrix": absurd_matrix,
    "a clock that stands": partial(absurd_clock, 0, 1),
    "a frame of 2^32 seconds": partial(absurd_clock, 1, MANY),
    "a clock of 4 GHz": partial(absurd_clock, MANY, 1),
    "the end of time": late_fragment,
    "the end of time, nearly": partial(late_fragment, 1 << 20),
    "boxes 10,000 deep": nested,
    "moov in moov": partial(nested, b"moov", 2000),
    "names without end": metadata_mp4,
    "keys without end": keys,
    "tags without end": tags,
    "frames compressed a thousandfold": squeezed,
    "elements of unknown size": endless_sizes,
    "a block of 2^56 bytes": lying_sizes,
    **{f"lacing {kind}": partial(lacing, kind) for kind in (1, 2, 3)},
    "endless PES": endless_pes,
    "a million NAL units": start_codes,
    "110,000 keyframes": tiny_frames,
    "absurd reordering": partial(absurd_sps, REORDER),
    "absurd ticks": partial(absurd_sps, TICKS),
    "slices": many_slices,
    "VP9's index lies": superframe_lies,
    "AV1's sizes lie": unit_lies,
    "film grain": film_grain,
    "boxes without size": zero_boxes,
    "gzip": lambda: gzip.compress(small(), mtime=0),
    "gzip of 64 MiB": lambda: gzip.compress(bytes(64 << 20), mtime=0),
    "64 MiB of 0x47": lambda: b"\x47" * (64 << 20),
    "64 MiB of nothing": lambda: bytes(64 << 20),
    "16 MiB of noise": lambda: np.random.default_rng(1).bytes(16 << 20),
    "16 MiB of noise behind 0x47": lambda: b"\x47".join(np.random.default_rng(at).bytes(187) for at in range(20_000)),
}

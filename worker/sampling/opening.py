"""A recognised segment as an open container, and what FFmpeg says against it as one line.

The options keep FFmpeg from decoding while it probes, from opening anything but the bytes it was given, and from
threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import numpy as np
from av.error import FFmpegError

from worker.errors import SegmentError
from worker.sampling.limits import MOST_NAMES
from worker.sampling.recognise import Reader

if TYPE_CHECKING:
    from av.container import InputContainer

    from worker.records import Ask
    from worker.sampling.recognise import Demuxer, Source

PROBE_BYTES = 65_536
MALFORMED = (
    FFmpegError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    OSError,
    TypeError,
    UnicodeError,
    ValueError,
)
"""What PyAV has been seen to raise, or may raise, on malformed media."""
NAME_MARKS: dict[Demuxer, bytes] = {"mov": b"mdt", "matroska": b"\x67\xc8"}
"""Bytes that each entry of metadata has: of ``mdta`` (QuickTime's keys), and the SimpleTag element (RFC 9559)."""
PAIR = "<u2"
CHANCE = 16_384
"""Two given bytes are seen once in 65,536 of any others; four times as often is still taken for chance."""


def open_container(source: Source, ask: Ask) -> InputContainer:
    """Open the container, streams and metadata within their limits.

    Raises:
        SegmentError: Stage ``decode``: ``corrupt``, ``encrypted``, ``too_many_streams``, ``out_of_memory``.
    """
    _check_names(source)
    options = {
        "codec_whitelist": "none",
        "probesize": str(PROBE_BYTES),
        "analyzeduration": "100000",
        "fpsprobesize": "0",
        "format_whitelist": "mpegts,mov,matroska",
        "protocol_whitelist": "none",
        "max_pixels": str(ask.max_pixels),
    }
    try:
        container = av.open(Reader(source.parts), "r", source.demuxer, options, metadata_errors="replace")
    except MALFORMED as error:
        if _has_too_many_tracks(source, ask.max_streams):
            raise _too_many_streams(ask) from None
        raise corrupt(error, source) from None
    streams = len(container.streams)
    if not 0 < streams <= ask.max_streams:
        container.close()
        if not streams:
            raise SegmentError("decode", "corrupt", "the container has no stream")
        raise _too_many_streams(ask)
    return container


def _check_names(source: Source) -> None:
    mark = NAME_MARKS.get(source.demuxer)
    if mark is None:
        return
    for part in source.parts:
        if _pairs(part, mark) > MOST_NAMES and _marks(part, mark) > MOST_NAMES + len(part) // CHANCE:
            raise SegmentError("decode", "corrupt", f"more than {MOST_NAMES} entries of metadata")


def _pairs(part: memoryview, mark: bytes) -> int:
    """How often a mark's first two bytes stand anywhere: no less often than the mark, and twice as quick to count."""
    even = np.frombuffer(part[: len(part) & ~1], PAIR)
    odd = np.frombuffer(part[1 : 1 + (len(part) - 1 & ~1)], PAIR)
    pair = int.from_bytes(mark[:2], "little")
    return int(np.count_nonzero(even == pair) + np.count_nonzero(odd == pair))


def _marks(part: memoryview, mark: bytes) -> int:
    data = np.frombuffer(part, np.uint8)
    places = len(data) - len(mark) + 1
    marked = data[:places] == mark[0]
    for at, byte in enumerate(mark[1:], 1):
        marked &= data[at : at + places] == byte
    return int(np.count_nonzero(marked))


def _has_too_many_tracks(source: Source, most: int) -> bool:
    """Whether that is why an MP4 could not be opened: FFmpeg says that it has no memory."""
    return source.demuxer == "mov" and any(bytes(part).count(b"trak") > most for part in source.parts)


def _too_many_streams(ask: Ask) -> SegmentError:
    return SegmentError("decode", "too_many_streams", f"more than {ask.max_streams} streams in one container")


def corrupt(error: BaseException, source: Source) -> SegmentError:
    """What FFmpeg or PyAV raised, as one line that holds nothing of the media."""
    if is_scrambled(source) or is_protected(source):
        return SegmentError("decode", "encrypted", "the segment can't be read and is marked as encrypted")
    if isinstance(error, MemoryError):
        return SegmentError("decode", "out_of_memory", "the decoder asked for more memory than it may have")
    said = error.strerror if isinstance(error, FFmpegError) else None
    return SegmentError("decode", "corrupt", said or f"malformed media ({type(error).__name__})")


def is_scrambled(source: Source) -> bool:
    """Whether the transport packets say that they are scrambled."""
    return source.packets is not None and source.packets.scrambled()


def is_protected(source: Source) -> bool:
    """Whether the MP4's header speaks of an encrypted sample entry (ISO/IEC 23001-7)."""
    return source.demuxer == "mov" and b"encv" in bytes(source.parts[0][:PROBE_BYTES])

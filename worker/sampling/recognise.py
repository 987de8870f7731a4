"""Bytes to a container that FFmpeg may open: told by content, held against what the publisher says.

FFmpeg's own probing is never used: its guesses include playlists and session descriptions, which open further files.
Formats: ISO/IEC 14496-12 (boxes), RFC 8794 (EBML); transport packets have a module of their own.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from worker.errors import SegmentError
from worker.sampling.limits import MOST_BOXES
from worker.sampling.transport import Transport, transport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.records import ContentType

Demuxer = Literal["mpegts", "mov", "matroska"]
Bytes = bytes | memoryview

EBML_MAGIC = b"\x1a\x45\xdf\xa3"
BOXES = frozenset(
    [
        b"ftyp",
        b"styp",
        b"moov",
        b"moof",
        b"mdat",
        b"sidx",
        b"ssix",
        b"emsg",
        b"prft",
        b"free",
        b"skip",
        b"pdin",
        b"uuid",
        b"wide",
        b"mfra",
        b"meta",
        b"imda",
    ]
)

DEMUXER: dict[ContentType, Demuxer] = {
    "video/mp2t": "mpegts",
    "video/mp4": "mov",
    "video/iso.segment": "mov",
    "video/webm": "matroska",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A segment whose container is known."""

    demuxer: Demuxer
    parts: tuple[memoryview, ...]
    """What to read, one after the other: the initialisation, if one is needed, and the segment."""
    truncated: bool
    """The container itself shows that its end is missing."""
    packets: Transport | None = None
    """Of MPEG-TS."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """What the top-level boxes of an MP4 tell."""

    kinds: frozenset[bytes]
    whole: bool


class Reader:
    """Parts read as one file, without joining them. Has no ``name`` and can't be written."""

    def __init__(self, parts: tuple[memoryview, ...]) -> None:
        self._parts = parts
        self._size = sum(len(part) for part in parts)
        self._position = 0

    def read(self, size: int) -> bytes:
        """At most so many bytes from here on; empty at the end."""
        start = self._position
        for part in self._parts:
            if start < len(part):
                chunk = bytes(part[start : start + size])
                self._position += len(chunk)
                return chunk
            start -= len(part)
        return b""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a position, as files do.

        Raises:
            ValueError: The position is before the start.
        """
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError("no position before the start")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        """The position."""
        return self._position


def recognise(data: Bytes, init: bytes | None, content_type: ContentType | None) -> Source:
    """Tell the container by content and hold it against the content type.

    Raises:
        SegmentError: ``decode/corrupt`` where no known container is seen, ``decode/container_mismatch`` where it is
            another than the content type says, ``fetch/no_init`` where fragments of MP4 come without an initialisation.
    """
    view = memoryview(data)
    packets = transport(view) if bytes(view[4:8]) not in BOXES else None
    demuxer = _sniff(view, packets)
    if content_type is not None and DEMUXER[content_type] != demuxer:
        raise SegmentError(
            "decode", "container_mismatch", f"the content type is {content_type}, the bytes are {demuxer}"
        )
    if demuxer == "mov":
        return _mp4(view, init)
    truncated = _ebml_truncated(view) if packets is None else packets.truncated
    return Source(demuxer=demuxer, parts=(view,), truncated=truncated, packets=packets)


def _sniff(view: memoryview, packets: Transport | None) -> Demuxer:
    if bytes(view[:4]) == EBML_MAGIC:
        return "matroska"
    if bytes(view[4:8]) in BOXES:
        return "mov"
    if packets is not None:
        return "mpegts"
    raise SegmentError("decode", "corrupt", "the bytes are neither MPEG-TS nor MP4 nor WebM")


def _mp4(view: memoryview, init: bytes | None) -> Source:
    layout = _layout(view)
    if b"moov" in layout.kinds:
        return Source(demuxer="mov", parts=(view,), truncated=not layout.whole)
    if b"moof" not in layout.kinds:
        raise SegmentError("decode", "corrupt", "the MP4 has neither an index (moov) nor a fragment (moof)")
    if init is None:
        raise SegmentError("fetch", "no_init", "a CMAF media segment came without its initialisation segment")
    if b"moov" not in _layout(memoryview(init)).kinds:
        raise SegmentError("fetch", "no_init", "the initialisation segment holds no moov box")
    return Source(demuxer="mov", parts=(memoryview(init), view), truncated=not layout.whole)


def _layout(view: memoryview) -> _Layout:
    kinds, position = set[bytes](), 0
    for kind, size in _boxes(view):
        kinds.add(kind)
        position += size
    return _Layout(frozenset(kinds), whole=position == len(view))


def _boxes(view: memoryview) -> Iterator[tuple[bytes, int]]:
    """Type and size of the top-level boxes, up to the first that makes no sense."""
    position = 0
    for _ in range(MOST_BOXES):
        if position + 8 > len(view):
            return
        size, kind = struct.unpack_from(">I4s", view, position)
        if size == 1 and position + 16 <= len(view):
            (size,) = struct.unpack_from(">Q", view, position + 8)
        elif size == 0:
            size = len(view) - position
        if size < 8:  # noqa: PLR2004 - a box is at least its own header
            return
        yield kind, size
        position += size


def _ebml_truncated(view: memoryview) -> bool:
    """Whether the Segment element says that it is longer than what is there; live ones say nothing."""
    header = _ebml_size(view, len(EBML_MAGIC))
    if header is None:
        return True
    start = header[0] + (header[1] or 0)
    if bytes(view[start : start + 4]) != b"\x18\x53\x80\x67":
        return False
    segment = _ebml_size(view, start + 4)
    return segment is None or (segment[1] is not None and segment[0] + segment[1] > len(view))


def _ebml_size(view: memoryview, at: int) -> tuple[int, int | None] | None:
    """Where an element's content starts, and its size (None where the size is unknown); None past the end."""
    if at >= len(view) or view[at] == 0:
        return None
    length = 9 - view[at].bit_length()
    if at + length > len(view):
        return None
    value = int.from_bytes(view[at : at + length], "big") & ((1 << 7 * length) - 1)
    return at + length, None if value == (1 << 7 * length) - 1 else value

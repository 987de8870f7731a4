"""What is played: a file that is cut, or a folder that somebody has cut already."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from worker.errors import SegmentError, UsageError
from worker.records import Ask, ContentType, Reference
from worker.sampling.recognise import recognise
from worker.sampling.video import open_video
from worker.segmenting import open_clip

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

CONTENT_TYPES: dict[str, ContentType] = {
    ".ts": "video/mp2t",
    ".m2ts": "video/mp2t",
    ".mts": "video/mp2t",
    ".m4s": "video/mp4",
    ".m4v": "video/mp4",
    ".mp4": "video/mp4",
    ".cmfv": "video/mp4",
    ".webm": "video/webm",
}
"""By suffix. What is ``video/mp4`` and has no initialisation of its own becomes ``video/iso.segment``."""
INIT_SUFFIXES = frozenset({".mp4", ".m4s", ".m4i", ".m4v", ".cmfi", ".cmfv", ".init"})
INIT_MAX_BYTES = 256 * 1024
_INIT_NAME = re.compile(r"(?:^|[^a-z])init(?:[^a-z]|$)", re.IGNORECASE)
_NUMBER = re.compile(r"(\d+)")
_ONLY_TIMES = Ask(content_type=None, interval_s=0.0, max_keyframes=0, view=None, max_pixels=2**31 - 1, max_streams=1000)


class Piece(Struct, frozen=True, kw_only=True):
    """One segment as it is to be published."""

    payload: bytes | Reference
    content_type: ContentType
    size_bytes: int
    media_time_s: float
    """Of its first frame, from the start of the source on, seconds."""
    duration_s: float


class Source(Protocol):
    """What can be played, again and again."""

    @property
    def init(self) -> bytes | Reference | None:
        """The CMAF initialisation segment that goes first; None where the segments need none."""

    @property
    def description(self) -> str:
        """What it is, in a line for a person."""

    @property
    def total_s(self) -> float | None:
        """How long it is, seconds; None where nobody has measured."""

    def pieces(self) -> Generator[Piece]:
        """Its segments in order. Raises UsageError where it can't be read on."""


class ClipSource:
    """A video file, cut while it plays."""

    init = None

    def __init__(self, path: Path, *, segment_s: float, max_bytes: int) -> None:
        """Open the file once, to see what it is. Raises UsageError."""
        self._path = path
        self._segment_s = segment_s
        self._max_bytes = max_bytes
        with open_clip(path) as clip:
            self.total_s = clip.duration_s
            left_out = "; its other streams (sound, …) are left out" if clip.left_out else ""
            video = f"{clip.codec} {clip.width}x{clip.height}"
            self.description = f"{path.name}: {video}, cut at keyframes into {clip.content_type}{left_out}"

    def pieces(self) -> Generator[Piece]:
        """The file's segments."""
        with open_clip(self._path) as clip:
            for cut in clip.segments(segment_s=self._segment_s, max_bytes=self._max_bytes):
                yield Piece(
                    payload=cut.data,
                    content_type=cut.content_type,
                    size_bytes=len(cut.data),
                    media_time_s=cut.media_time_s,
                    duration_s=cut.duration_s,
                )


class FolderSource:
    """A folder of segments, in the natural order of their names; published as they are, broken ones included."""

    total_s = None

    def __init__(self, folder: Path, *, segment_s: float, max_bytes: int, by_reference: bool) -> None:
        """List the folder.

        Args:
            folder: Segments (``.ts``, ``.m4s``, ``.mp4``, ``.webm``, …) of one rendition, perhaps their initialisation.
            segment_s: How long a segment counts that can't be measured.
            max_bytes: Largest one that goes as bytes.
            by_reference: Publish claim checks (``file://``, digest and size) instead of the bytes.

        Raises:
            UsageError: There are no segments, several initialisations, or segments that miss theirs.
        """
        self._segment_s = segment_s
        self._max_bytes = max_bytes
        self._by_reference = by_reference
        inits, self._paths = _listed(folder)
        self._init_bytes = _read(inits[0]) if inits else None
        if self._init_bytes is None:
            _demand_none_needs_init(self._paths)
        elif len(self._init_bytes) > INIT_MAX_BYTES:
            raise UsageError(f"{inits[0]}: an initialisation segment of more than {INIT_MAX_BYTES} bytes")
        self.init = self._payload(inits[0], self._init_bytes) if self._init_bytes is not None else None
        first = f", first {inits[0].name}" if inits else ""
        self.description = f"{folder}: {len(self._paths)} segments{first}{' by reference' if by_reference else ''}"

    def pieces(self) -> Generator[Piece]:
        """The folder's segments; one file in memory at a time."""
        media_time_s = 0.0
        for path in self._paths:
            data = _read(path)
            duration_s = self._duration_s(data)
            yield Piece(
                payload=self._payload(path, data),
                content_type=_content_type(path, data),
                size_bytes=len(data),
                media_time_s=media_time_s,
                duration_s=duration_s,
            )
            media_time_s += duration_s

    def _payload(self, path: Path, data: bytes) -> bytes | Reference:
        if self._by_reference:
            digest = hashlib.sha256(data).hexdigest()
            return Reference(uri=path.resolve().as_uri(), sha256=digest, size_bytes=len(data))
        if len(data) > self._max_bytes:
            raise UsageError(
                f"{path}: {len(data)} bytes are above {self._max_bytes} (kafka.max_message_bytes); try --by-reference"
            )
        return data

    def _duration_s(self, data: bytes) -> float:
        """Measured from its packets; what can't be measured counts as usual, since broken ones are played as well."""
        try:
            with open_video(data, self._init_bytes, _ONLY_TIMES) as video:
                return video.duration_s or self._segment_s
        except SegmentError:
            return self._segment_s


def natural(path: Path) -> tuple[tuple[int, int | str], ...]:
    """Sort key by which ``2.ts`` comes before ``10.ts``."""
    parts = _NUMBER.split(path.name.lower())
    return tuple((0, int(part)) if part.isdecimal() and part.isascii() else (1, part) for part in parts if part)


def _listed(folder: Path) -> tuple[list[Path], list[Path]]:
    """Initialisations and segments, each in order; files that start with a dot and other suffixes are not looked at."""
    try:
        files = sorted((each for each in folder.iterdir() if each.is_file() and each.name[0] != "."), key=natural)
    except OSError as error:
        raise UsageError(f"{folder}: {error.strerror}") from error
    inits = [each for each in files if each.suffix.lower() in INIT_SUFFIXES and _INIT_NAME.search(each.stem)]
    segments = [each for each in files if each.suffix.lower() in CONTENT_TYPES and each not in inits]
    if not segments:
        raise UsageError(f"{folder}: no segments in it ({', '.join(sorted(CONTENT_TYPES))})")
    if len(inits) > 1:
        raise UsageError(f"{folder}: {len(inits)} initialisation segments in it; a stream is one rendition")
    return inits, segments


def _demand_none_needs_init(paths: list[Path]) -> None:
    """Without an initialisation the first segment has to bring its own."""
    if _content_type(paths[0], _read(paths[0])) == "video/iso.segment":
        raise UsageError(f"{paths[0]}: needs an initialisation segment, and the folder has none (init.mp4, *init*.mp4)")


def _content_type(path: Path, data: bytes) -> ContentType:
    told = CONTENT_TYPES[path.suffix.lower()]
    if told != "video/mp4":
        return told
    try:
        recognise(data, None, None)
    except SegmentError as error:
        return "video/iso.segment" if error.error == "no_init" else told
    return told


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error

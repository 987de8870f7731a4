"""Known material: hash lists, and matches with them."""

from __future__ import annotations

from typing import Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

ListKind = Literal["block", "review", "allow"]


Severity = Literal["critical", "high", "medium", "low"]


class Match(Struct, frozen=True, kw_only=True):
    """A frame within the radius of an entry of a hash list. Never the entry's hash."""

    list: str
    list_kind: ListKind
    list_version: str
    entry: str
    distance: int
    radius: int
    severity: Severity
    algorithm: str = "pdq"
    category: str | None = None
    at_s: float | None = None
    """When in the known video this frame is, seconds; None for a still."""
    video: bool = False
    """True when frames aligned in time with a known video, not a lone frame."""


class HashFile(Struct, frozen=True, kw_only=True, eq=False):
    """What one file of a hash list says of its rows beside their hashes, in the order of the rows."""

    stem: str
    """The file's name without its suffix."""
    lines: NDArray[np.int32]
    """Line in the file, shape (rows,), counted from 1."""
    entries: tuple[str, ...] | None
    """Entry of each row; None where the file names none: each line is its own, ``stem:line``."""
    categories: tuple[str | None, ...] | None
    """Category of each row; None where the file has none."""
    times_s: NDArray[np.float64] | None
    """When in its known video each row is, shape (rows,), seconds; None where the file holds stills."""


class HashList(Struct, frozen=True, kw_only=True, eq=False):
    """A hash list, read and checked. Its hashes never leave memory."""

    name: str
    version: str
    algorithm: Literal["pdq"]
    radius: int
    """Bits, inclusive."""
    kind: ListKind
    severity: Severity
    source: str | None
    sha256: str
    """Digest of the list's files, hex."""
    hashes: NDArray[np.uint8]
    """Shape (rows, 32), dtype uint8: the files' rows one after the other."""
    files: tuple[HashFile, ...]
    ignored: int
    """Rows left out because their quality is below 50."""


class Sighting(Struct, frozen=True, kw_only=True):
    """A frame of a known video seen in a stream, remembered to find the next one aligned with it."""

    list: str
    entry: str
    media_time_s: float
    """Where on the stream's own clock."""
    at_s: float
    """Where in the known video."""

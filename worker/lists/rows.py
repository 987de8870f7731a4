"""The files of a hash list: ``*.txt`` with 64 hex digits a line, ``*.csv`` with a header."""

from __future__ import annotations

import csv
import io
import itertools
import re
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from worker.records import HashFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from worker.lists.mistakes import Mistakes

T = TypeVar("T")

HEX_DIGITS = 64
LEAST_QUALITY = 50
MOST_QUALITY = 100
LONGEST_VIDEO_S = 10_000_000
BLOCK_ROWS = 2048
"""Larger blocks take twice the time: Python's garbage collector then walks all their rows again and again."""
LONGEST_TEXT = 256
COLUMNS = ("hash", "quality", "category", "entry", "time_s")
_HASH = re.compile(r"[0-9a-fA-F]{64}")
_BAD_HASH = "the hash must be 64 hex digits"


class Rows(Struct, frozen=True, kw_only=True, eq=False):
    """One file of a hash list."""

    file: HashFile
    hashes: NDArray[np.uint8]
    """Shape (rows, 32), dtype uint8."""
    ignored: int
    """Rows left out because their quality is below 50."""


def read_rows(path: Path, data: bytes, mistakes: Mistakes) -> Rows | None:
    """Return a file's rows, or None after adding its mistakes with their lines."""
    before = mistakes.count
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        mistakes.add(path, data.count(b"\n", 0, error.start) + 1, "is not UTF-8")
        return None
    rows = (_read_csv if path.suffix == ".csv" else _read_txt)(path, text, mistakes)
    return rows if mistakes.count == before else None


def _read_txt(path: Path, text: str, mistakes: Mistakes) -> Rows:
    stripped = [line.strip() for line in text.split("\n")]
    lines = np.flatnonzero(np.fromiter(map(len, stripped), np.int64, len(stripped))) + 1
    hashes = _hashes(path, lines.tolist(), [line for line in stripped if line], mistakes)
    file = HashFile(stem=path.stem, lines=lines.astype(np.int32), entries=None, categories=None, times_s=None)
    return Rows(file=file, hashes=hashes, ignored=0)


def _hashes(path: Path, lines: Sequence[int], digits: Sequence[str], mistakes: Mistakes) -> NDArray[np.uint8]:
    """All at once, since a list may have millions; one by one only to tell which are wrong."""
    joined = "".join(digits)
    if all(len(each) == HEX_DIGITS for each in digits) and (joined.isalnum() or not digits):
        try:
            return np.frombuffer(bytes.fromhex(joined), np.uint8).reshape(-1, HEX_DIGITS // 2)
        except ValueError:
            pass  # which of them it is comes out below
    for line, each in zip(lines, digits, strict=True):
        if not _HASH.fullmatch(each):
            mistakes.add(path, line, f"{_BAD_HASH}; these are {len(each)} characters")
    return np.zeros((len(digits), HEX_DIGITS // 2), np.uint8)


def _read_csv(path: Path, text: str, mistakes: Mistakes) -> Rows | None:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        if not _check_header(path, header, mistakes):
            return None
        table = _Table(path, header, mistakes)
        numbered = ((reader.line_num, row) for row in reader if row)
        while block := list(itertools.islice(numbered, BLOCK_ROWS)):
            table.take(block)
    except csv.Error as error:
        mistakes.add(path, reader.line_num, f"is not CSV: {error}")
        return None
    return table.rows()


def _check_header(path: Path, header: list[str], mistakes: Mistakes) -> bool:
    """Without a header the first line is a hash: so an unknown name is told only if it can't be one."""
    before = mistakes.count
    if "hash" not in header:
        mistakes.add(path, 1, "the first line must be a header with the column hash")
        return False
    for number, name in enumerate(header, 1):
        if name not in COLUMNS:
            shown = name if re.fullmatch(r"\w{1,32}", name) else f"column {number}"
            mistakes.add(path, 1, f"{shown} is not known; known are {', '.join(COLUMNS)}")
    if len(set(header)) < len(header):
        mistakes.add(path, 1, "a column is there twice")
    return mistakes.count == before


class _Table:
    """A CSV's rows, checked and packed block by block: as strings, millions of them would fill the memory."""

    def __init__(self, path: Path, header: list[str], mistakes: Mistakes) -> None:
        self._path = path
        self._header = header
        self._mistakes = mistakes
        self._one: dict[str, str] = {}
        self._last_s: dict[str, float] = {}
        self._blocks: list[Rows] = []

    def take(self, numbered: list[tuple[int, list[str]]]) -> None:
        """Check and pack one block of rows with their line numbers."""
        width = len(self._header)
        wrong = [(line, len(row)) for line, row in numbered if len(row) != width]
        for line, found in wrong:
            self._mistakes.add(self._path, line, f"has {found} columns, the header has {width}")
        if not wrong:
            columns = zip(*(row for _, row in numbered), strict=True)
            self._pack([line for line, _ in numbered], dict(zip(self._header, columns, strict=True)))

    def rows(self) -> Rows:
        """Return what was taken. Of no use where there were mistakes."""
        files = [block.file for block in self._blocks]
        file = HashFile(
            stem=self._path.stem,
            lines=np.concatenate([np.empty(0, np.int32), *(each.lines for each in files)]),
            entries=_chained(each.entries for each in files),
            categories=_chained(each.categories for each in files),
            times_s=np.concatenate(times) if (times := [t for f in files if (t := f.times_s) is not None]) else None,
        )
        hashes = np.concatenate([np.empty((0, HEX_DIGITS // 2), np.uint8), *(each.hashes for each in self._blocks)])
        return Rows(file=file, hashes=hashes, ignored=sum(each.ignored for each in self._blocks))

    def _pack(self, lines: list[int], columns: dict[str, tuple[str, ...]]) -> None:
        hashes = _hashes(self._path, lines, [cell.strip() for cell in columns["hash"]], self._mistakes)
        quality = self._numbers("quality", lines, columns, most=MOST_QUALITY)
        times_s = self._numbers("time_s", lines, columns, most=LONGEST_VIDEO_S)
        entries = self._entries(lines, columns, videos=times_s is not None)
        if times_s is not None:
            self._check_order(lines, entries or (), times_s)
        keep = np.ones(len(lines), np.bool_) if quality is None else quality >= LEAST_QUALITY
        file = HashFile(
            stem=self._path.stem,
            lines=np.array(lines, np.int32)[keep],
            entries=_kept(entries, keep),
            categories=_kept(self._texts("category", lines, columns), keep),
            times_s=None if times_s is None else times_s[keep],
        )
        self._blocks.append(Rows(file=file, hashes=hashes[keep], ignored=int(np.count_nonzero(~keep))))

    def _numbers(
        self, name: str, lines: list[int], columns: dict[str, tuple[str, ...]], *, most: float
    ) -> NDArray[np.float64] | None:
        if name not in columns:
            return None
        values = [_number(cell, most) for cell in columns[name]]
        for line, value in zip(lines, values, strict=True):
            if value is None:
                self._mistakes.add(self._path, line, f"{name} must be a number from 0 to {most}")
        return np.array([value or 0.0 for value in values], np.float64)

    def _texts(self, name: str, lines: list[int], columns: dict[str, tuple[str, ...]]) -> tuple[str | None, ...] | None:
        """Equal texts become one object: a list of videos names each entry once a frame."""
        if name not in columns:
            return None
        one = self._one
        texts = [one.setdefault(text, text) for text in map(str.strip, columns[name])]
        bad = {text: what for text in set(texts) if (what := _text_mistake(text))}
        for line, text in zip(lines, texts, strict=True) if bad else ():
            if text in bad:
                self._mistakes.add(self._path, line, f"{name} {bad[text]}")
        return tuple(text or None for text in texts)

    def _entries(
        self, lines: list[int], columns: dict[str, tuple[str, ...]], *, videos: bool
    ) -> tuple[str, ...] | None:
        """A file of known videos that names no entry is one video, called like the file."""
        told = self._texts("entry", lines, columns)
        stem = self._path.stem
        if videos:
            return tuple(text or stem for text in told) if told else (stem,) * len(lines)
        if told is None:
            return None
        return tuple(text or f"{stem}:{line}" for text, line in zip(told, lines, strict=True))

    def _check_order(self, lines: list[int], entries: Sequence[str], times_s: NDArray[np.float64]) -> None:
        last = self._last_s
        for line, entry, time_s in zip(lines, entries, times_s.tolist(), strict=True):
            if time_s < last.get(entry, 0.0):
                self._mistakes.add(self._path, line, "time_s goes back: the rows of an entry are in order of time")
            last[entry] = time_s


def _chained(parts: Iterable[tuple[T, ...] | None]) -> tuple[T, ...] | None:
    told = [part for part in parts if part is not None]
    return tuple(itertools.chain.from_iterable(told)) if told else None


def _kept(values: Sequence[T] | None, keep: NDArray[np.bool_]) -> tuple[T, ...] | None:
    if values is None or keep.all():
        return None if values is None else tuple(values)
    return tuple(value for value, kept in zip(values, keep.tolist(), strict=True) if kept)


def _number(cell: str, most: float) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if 0 <= value <= most else None


def _text_mistake(text: str) -> str | None:
    if len(text) > LONGEST_TEXT or not text.isprintable():
        return f"must be at most {LONGEST_TEXT} printable characters"
    if _HASH.fullmatch(text):
        return "must not be a hash: it is told to people and written to topics"
    return None

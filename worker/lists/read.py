"""Reads hash lists from folders and files, and tells every mistake in them at once."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct

from worker.lists.head import DEFAULT_RADIUS, Head, read_head
from worker.lists.mistakes import Mistakes
from worker.lists.rows import Rows, read_rows
from worker.records import HashList, ListKind, Severity

if TYPE_CHECKING:
    from collections.abc import Sequence

HEAD_FILE = "list.toml"
SUFFIXES = (".csv", ".txt")
SHORT_DIGEST = 12
BARE_FILE: tuple[ListKind, Severity] = ("block", "high")
"""How a file without a ``list.toml`` is used. ``block``, because an operator who hands over hashes wants their matches
seen: a match that opened nothing would be a silent miss, one too many costs a look. Only ``high``, because nobody has
said that the list is good enough to act on at once."""


class Limits(Struct, frozen=True, kw_only=True):
    """How large a list may be: it is held in memory."""

    file_bytes: int = 2 * 1024**3
    rows: int = 20_000_000


DEFAULT_LIMITS = Limits()


def read_list(path: str | Path, *, limits: Limits = DEFAULT_LIMITS) -> HashList:
    """Read one hash list: a folder with ``list.toml``, or a single ``.txt`` or ``.csv`` file.

    Raises:
        UsageError: Something is wrong with it; one line a mistake with file and line, the first 20. No hash in it.
    """
    return read_lists([path], limits=limits)[0]


def read_lists(paths: Sequence[str | Path], *, limits: Limits = DEFAULT_LIMITS) -> tuple[HashList, ...]:
    """Read all hash lists, in the order given. No two may have the same name.

    Raises:
        UsageError: As of ``read_list``, for all lists together.
    """
    mistakes = Mistakes()
    lists = [_read(Path(path), limits, mistakes) for path in paths]
    names = Counter(each.name for each in lists if each is not None)
    for path, each in zip(paths, lists, strict=True):
        if each is not None and names[each.name] > 1:
            mistakes.add(path, None, f"another list is called {each.name} too")
    mistakes.raise_any()
    return tuple(each for each in lists if each is not None)


def _read(path: Path, limits: Limits, mistakes: Mistakes) -> HashList | None:
    before = mistakes.count
    paths = _files_of(path, mistakes)
    contents = {each: data for each in paths if (data := _content(each, limits, mistakes)) is not None}
    digest = _digest(contents)
    head_path = path / HEAD_FILE
    head_data = contents.pop(head_path, None)
    head = read_head(head_path, head_data, mistakes) if head_data is not None else _bare_head(path, digest)
    parts = [rows for each, data in contents.items() if (rows := read_rows(each, data, mistakes)) is not None]
    if mistakes.count == before:
        _check_rows(path, parts, limits, mistakes)
    if mistakes.count > before or head is None:
        return None
    return _joined(head, digest, parts)


def _files_of(path: Path, mistakes: Mistakes) -> list[Path]:
    """Files whose name starts with a dot are not part of a list, as in a shell's ``*.txt``."""
    if not path.is_dir():
        if path.exists() and path.suffix not in SUFFIXES:
            mistakes.add(path, None, "a hash list is a folder with list.toml, or one .txt or .csv file")
            return []
        return [path]
    try:
        rows = sorted(each for each in path.iterdir() if each.suffix in SUFFIXES and not each.name.startswith("."))
    except OSError as error:
        mistakes.add(path, None, f"can't be read: {error.strerror}")
        return []
    if not (path / HEAD_FILE).is_file():
        mistakes.add(path, None, f"has no {HEAD_FILE}")
        return rows
    if not rows:
        mistakes.add(path, None, "has no *.txt or *.csv beside list.toml")
    return [path / HEAD_FILE, *rows]


def _content(path: Path, limits: Limits, mistakes: Mistakes) -> bytes | None:
    try:
        if not path.is_file():
            mistakes.add(path, None, "is not there" if not path.exists() else "is not a file")
        elif (size := path.stat().st_size) > limits.file_bytes:
            mistakes.add(path, None, f"is {size} bytes large; at most {limits.file_bytes} are read")
        else:
            return path.read_bytes()
    except OSError as error:
        mistakes.add(path, None, f"can't be read: {error.strerror}")
    return None


def _digest(contents: dict[Path, bytes]) -> str:
    """Each file with its name, sizes included, so that no two lists share one by moving bytes about."""
    digest = hashlib.sha256()
    for path, data in contents.items():
        digest.update(f"{len(path.name.encode())} {len(data)} {path.name}\n".encode())
        digest.update(data)
    return digest.hexdigest()


def _bare_head(path: Path, digest: str) -> Head:
    kind, severity = BARE_FILE
    return Head(name=path.stem, version=digest[:SHORT_DIGEST], kind=kind, severity=severity, radius=DEFAULT_RADIUS)


def _check_rows(path: Path, parts: Sequence[Rows], limits: Limits, mistakes: Mistakes) -> None:
    """An empty list is a mistake: it looks like protection and is none."""
    rows = sum(len(part.hashes) for part in parts)
    if rows > limits.rows:
        mistakes.add(path, None, f"has {rows} rows; at most {limits.rows} are read")
    elif rows == 0:
        ignored = sum(part.ignored for part in parts)
        mistakes.add(path, None, "holds no hash" + (f" of quality 50 or more ({ignored} below)" if ignored else ""))


def _joined(head: Head, digest: str, parts: Sequence[Rows]) -> HashList:
    return HashList(
        name=head.name,
        version=head.version,
        algorithm=head.algorithm,
        radius=head.radius,
        kind=head.kind,
        severity=head.severity,
        source=head.source,
        sha256=digest,
        hashes=np.concatenate([part.hashes for part in parts]),
        files=tuple(part.file for part in parts),
        ignored=sum(part.ignored for part in parts),
    )

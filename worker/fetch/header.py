"""A root's ``header_file``: one line, ``name: value``, sent to its host with every request."""

from __future__ import annotations

import re
from pathlib import Path

LARGEST_BYTES = 16 * 1024
_LINE = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}):[ \t]*([!-~](?:[ \t!-~]*[!-~])?)[ \t]*(?:\r?\n)?")
"""RFC 9110, 5.1 and 5.5; without the octets beyond ASCII."""
_OURS = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "cookie2",
        "expect",
        "host",
        "if-match",
        "keep-alive",
        "range",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that the request itself has, or that would make another request of it."""


class UnreadableHeaderError(Exception):
    """The file can't be used. Its text is for people and repeats nothing of the file."""


class SecretHeader:
    """Reads the file again when it has changed, so that credentials can be renewed under a running worker."""

    def __init__(self, path: str) -> None:
        """Nothing is read yet."""
        self._path = Path(path)
        self._state: tuple[int, int, int] | None = None
        self._header: tuple[str, str] | None = None

    def read(self) -> tuple[str, str]:
        """Return name and value. Raises UnreadableHeaderError."""
        try:
            about = self._path.stat()
            state = (about.st_mtime_ns, about.st_size, about.st_ino)
            if self._header is None or state != self._state:
                self._header, self._state = _parsed(self._path), state
        except OSError as error:
            raise UnreadableHeaderError(f"{self._path} can't be read: {error.strerror}") from None
        return self._header

    def mistakes(self) -> list[str]:
        """Return what is wrong with the file, for the start."""
        try:
            self.read()
        except UnreadableHeaderError as error:
            return [str(error)]
        return []


def _parsed(path: Path) -> tuple[str, str]:
    with path.open("rb") as file:
        data = file.read(LARGEST_BYTES + 1)
    found = _LINE.fullmatch(data.decode("ascii", errors="replace"))
    if len(data) > LARGEST_BYTES or found is None:
        raise UnreadableHeaderError(f"{path} must be one line, name: value")
    if found[1].lower() in _OURS:
        raise UnreadableHeaderError(f"{path} sets a header that is not yours to set")
    return found[1], found[2]

"""Where a URI points, once nothing in it can mean two things any more."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from msgspec import Struct

LONGEST_URI = 4096
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


class UnclearPlaceError(ValueError):
    """The URI has no one meaning that could be held against the roots. Its text is for people and repeats no URI."""


class Place(Struct, frozen=True, kw_only=True):
    """A URI taken apart and normalised."""

    scheme: str
    authority: str
    """The bucket or container; empty for files."""
    path: str
    """Percent-decoded, no ``.``, ``..``, empty segments or slashes at its ends: ``a/b.ts``."""


def scheme_of(uri: str) -> str | None:
    """Return the scheme in lower case, or None where there is none."""
    found = re.match(r"([A-Za-z][A-Za-z0-9+.\-]*)://", uri)
    return found[1].lower() if found else None


def place_of(uri: str) -> Place:
    """Take a URI apart. Percent-encoding is decoded once, before ``..`` is resolved: ``%2e%2e%2f`` hides nothing.

    A path is normalised as a file's would be, in stores too: ``a//b`` and ``a/x/../b`` are ``a/b``. What is fetched is
    the normalised place, never the text as it came. A ``..`` above the root of the bucket or file system is an error.

    Raises:
        UnclearPlaceError: Control characters, user or port, query or fragment, bad percent-encoding, too long, no URI.
    """
    if len(uri) > LONGEST_URI:
        raise UnclearPlaceError(f"the URI is longer than {LONGEST_URI} characters")
    if _CONTROL.search(uri) or uri != uri.strip():
        raise UnclearPlaceError("the URI has control characters in it or spaces around it")
    try:
        parts = urlsplit(uri)
        path = unquote(parts.path, errors="strict")
    except ValueError:
        raise UnclearPlaceError("the URI is malformed") from None
    if not parts.scheme or "://" not in uri:
        raise UnclearPlaceError("it is no URI with a scheme")
    if "?" in uri or "#" in uri:
        raise UnclearPlaceError("the URI has a query or a fragment (in a path, ? is %3F and # is %23)")
    if "@" in parts.netloc or ":" in parts.netloc or "%" in parts.netloc:
        raise UnclearPlaceError("the URI has a user, a port or an escape before its path")
    if _CONTROL.search(path):
        raise UnclearPlaceError("the URI has control characters in it")
    return Place(scheme=parts.scheme.lower(), authority=parts.netloc, path=_normal(path))


def _normal(path: str) -> str:
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            if not kept:
                raise UnclearPlaceError("the URI goes up above its root")
            kept.pop()
        elif segment not in ("", "."):
            kept.append(segment)
    return "/".join(kept)

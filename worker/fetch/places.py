"""Where a URI points, once nothing in it can mean two things any more."""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import quote, unquote, urlsplit

from msgspec import Struct

LONGEST_URI = 4096
WEB = {"https": 443, "http": 80}
"""Schemes whose authority is a host, and their usual ports."""
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_LOOKS_NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_HIGHEST_PORT = 65_535
_LONGEST_HOST = 253
_QUERY = re.compile(r"[!-~]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


class UnclearPlaceError(ValueError):
    """The URI has no one meaning that could be held against the roots. Its text is for people and repeats no URI."""


class Place(Struct, frozen=True, kw_only=True):
    """A URI taken apart and normalised."""

    scheme: str
    authority: str
    """The bucket or container; empty for files; on the web host and port in their one spelling, no usual port."""
    path: str
    """Percent-decoded, no ``.``, ``..``, empty segments or slashes at its ends: ``a/b.ts``."""
    query: str = ""
    """As it came, for the web only: a signed URL's signature. It is secret."""

    @property
    def host(self) -> str:
        """The web's host, without port and brackets."""
        return urlsplit(f"//{self.authority}").hostname or ""

    @property
    def url(self) -> str:
        """The one spelling in which the web is asked for it. Secret, like its query."""
        asked = f"?{self.query}" if self.query else ""
        return f"{self.scheme}://{self.authority}/{quote(self.path, safe='/')}{asked}"


def scheme_of(uri: str) -> str | None:
    """Return the scheme in lower case, or None where there is none."""
    found = re.match(r"([A-Za-z][A-Za-z0-9+.\-]*)://", uri)
    return found[1].lower() if found else None


def place_of(uri: str) -> Place:
    """Take a URI apart. Percent-encoding is decoded once, before ``..`` is resolved: ``%2e%2e%2f`` hides nothing.

    A path is normalised as a file's would be, in stores too: ``a//b`` and ``a/x/../b`` are ``a/b``. What is fetched is
    the normalised place, never the text as it came. A ``..`` above the root of the bucket or file system is an error.

    On the web a host and a port have one spelling too: other forms of numbers than the usual ones, zones, escapes,
    letters beyond ASCII (publishers write ``xn--``) and dots at the end are errors. So is a path that would go up if
    somebody behind it decoded it again. A query is kept as it came.

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
    if _CONTROL.search(path):
        raise UnclearPlaceError("the URI has control characters in it")
    if parts.scheme.lower() in WEB:
        return _web_place(uri, parts.scheme.lower(), parts.netloc, path)
    if "?" in uri or "#" in uri:
        raise UnclearPlaceError("the URI has a query or a fragment (in a path, ? is %3F and # is %23)")
    if "@" in parts.netloc or ":" in parts.netloc or "%" in parts.netloc:
        raise UnclearPlaceError("the URI has a user, a port or an escape before its path")
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


# --- the web ----------------------------------------------------------------------------------------------------------


def _web_place(uri: str, scheme: str, netloc: str, path: str) -> Place:
    query = uri.partition("?")[2]
    if "#" in uri:
        raise UnclearPlaceError("the URI has a fragment (in a path # is %23)")
    if not _QUERY.fullmatch(query):
        raise UnclearPlaceError("the URI's query has characters that must be percent-encoded")
    normal = _normal(path)
    for segment in normal.split("/"):
        _check_plain(segment)
    return Place(scheme=scheme, authority=_authority(scheme, netloc), path=normal, query=query)


def _authority(scheme: str, netloc: str) -> str:
    """Return host and port as they are looked up, connected to and held against the certificate."""
    if not netloc.isascii():
        raise UnclearPlaceError("the URI's host has letters beyond ASCII (write it as xn--)")
    text = netloc.lower()
    host, bracket, port = text.rpartition("]") if text.startswith("[") else text.partition(":")
    if bracket == "]":
        host, (nothing, bracket, port) = _address_in(host[1:]), port.partition(":")
        if nothing:
            raise UnclearPlaceError("the URI's host is malformed")
    else:
        _check_name(host)
    if not bracket:
        return host
    if not _PORT.fullmatch(port) or int(port) > _HIGHEST_PORT:
        raise UnclearPlaceError("the URI's port is no number from 1 to 65535")
    return host if int(port) == WEB[scheme] else f"{host}:{port}"


def _address_in(brackets: str) -> str:
    try:
        address = ip_address(brackets)
    except ValueError:
        raise UnclearPlaceError("the URI's host is no IPv6 address") from None
    if ":" not in brackets or "%" in brackets:
        raise UnclearPlaceError("the URI's host is no IPv6 address without a zone")
    return f"[{address}]"


def _check_name(host: str) -> None:
    """A name whose last label is a number is an IPv4 address to somebody (WHATWG's URL standard says so too)."""
    labels = host.split(".")
    if len(host) > _LONGEST_HOST or not all(map(_LABEL.fullmatch, labels)):
        raise UnclearPlaceError("the URI's host is no plain name or address (no user, escape, dot at its end)")
    if _LOOKS_NUMERIC.fullmatch(labels[-1]) and not _is_plain_ipv4(host):
        raise UnclearPlaceError("the URI's host is a number, but no plain IPv4 address")


def _is_plain_ipv4(host: str) -> bool:
    try:
        return str(ip_address(host)) == host
    except ValueError:
        return False


def _check_plain(segment: str) -> None:
    """Some servers decode twice, take a backslash for a slash, or cut a segment at its semicolon."""
    while (decoded := unquote(segment, errors="replace")) != segment:
        segment = decoded
    if _CONTROL.search(segment) or "/" in segment or "\\" in segment or segment.partition(";")[0] in (".", ".."):
        raise UnclearPlaceError("the URI's path means another one to servers that decode it again")

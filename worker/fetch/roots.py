"""The places that claim checks may point below, as the operator allows them."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msgspec import Struct

from worker.fetch.places import Place, UnclearPlaceError, place_of
from worker.settings.tree import Root
from worker.uris import public_uri

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

UNSERVED = {"https": "https:// is not served by this version"}
"""Schemes of the contract that have no service yet."""
FIELDS_OF = {
    "file": frozenset[str](),
    "s3": frozenset({"endpoint", "region", "private", "plaintext", "credentials_file"}),
    "gs": frozenset({"endpoint", "private", "plaintext", "credentials_file"}),
    "az": frozenset({"endpoint", "private", "plaintext", "credentials_file"}),
}
"""What of a root's table means something for each scheme."""


class AllowedRoot(Struct, frozen=True, kw_only=True):
    """One of ``fetch.roots``, checked."""

    setting: str
    """How messages call it: ``fetch.roots[0]``."""
    place: Place
    options: Root

    @property
    def uri(self) -> str:
        """As people may see it."""
        return public_uri(self.options.uri)

    def holds(self, place: Place) -> bool:
        """Tell whether a place lies below this root; the root itself does not."""
        mine = self.place
        if (mine.scheme, mine.authority) != (place.scheme, place.authority):
            return False
        return bool(place.path) and (not mine.path or place.path.startswith(mine.path + "/"))


def allowed_roots(roots: Sequence[Root | str], served: Collection[str], mistakes: list[str]) -> list[AllowedRoot]:
    """Return the roots that are right, and add a line to ``mistakes`` for everything that is wrong."""
    good: list[AllowedRoot] = []
    for number, each in enumerate(roots):
        setting = f"fetch.roots[{number}]"
        options = Root(uri=each) if isinstance(each, str) else each
        wrong = list(_mistakes(options, served))
        mistakes += [f"{setting}: {what}" for what in wrong]
        if wrong:
            continue
        root = AllowedRoot(setting=setting, place=place_of(options.uri), options=options)
        if any(root.place == other.place for other in good):
            mistakes.append(f"{setting}: {root.uri} is there twice")
        good.append(root)
    return good


def exceptions(root: Root | str) -> tuple[str, ...]:
    """Return what the operator allows for this root only, a line each, for ``check`` to print."""
    if isinstance(root, str):
        return ()
    told = {
        "private addresses are allowed": root.private,
        "http:// is allowed": root.plaintext,
        "its own credentials are used": root.credentials_file is not None or root.header_file is not None,
    }
    return tuple(f"{public_uri(root.uri)}: {what}" for what, is_so in told.items() if is_so)


def _mistakes(root: Root, served: Collection[str]) -> Iterator[str]:
    try:
        place = place_of(root.uri)
    except UnclearPlaceError as error:
        yield f"{public_uri(root.uri)!r}: {error}"
        return
    if place.scheme not in served:
        known = ", ".join(f"{scheme}://" for scheme in sorted(served))
        yield UNSERVED.get(place.scheme, f"its scheme must be one of {known}")
        return
    if not root.uri.endswith("/"):
        yield f"{public_uri(root.uri)} must end in a slash"
    if place.scheme == "file":
        yield from _file_mistakes(root, place)
    elif not place.authority:
        yield f"{public_uri(root.uri)} names no bucket"
    yield from _field_mistakes(root, place.scheme)
    if root.endpoint is not None:
        yield from _endpoint_mistakes(root, root.endpoint)


def _file_mistakes(root: Root, place: Place) -> Iterator[str]:
    if place.authority not in ("", "localhost"):
        yield f"{public_uri(root.uri)} names a host; a folder of this machine has three slashes: file:///folder/"
    if not place.path:
        yield f"{public_uri(root.uri)} would allow every file of this machine"


def _field_mistakes(root: Root, scheme: str) -> Iterator[str]:
    told = {
        "endpoint": root.endpoint is not None,
        "region": root.region is not None,
        "private": root.private,
        "plaintext": root.plaintext,
        "header_file": root.header_file is not None,
        "credentials_file": root.credentials_file is not None,
    }
    meant = FIELDS_OF.get(scheme, frozenset(told))
    for name, is_there in told.items():
        if is_there and name not in meant:
            yield f"{name} means nothing for {scheme}://"


def _endpoint_mistakes(root: Root, endpoint: str) -> Iterator[str]:
    """Only an address can be told to be private here; a name is the operator's own choice."""
    try:
        parts = urlsplit(endpoint)
        host, _ = parts.hostname, parts.port
    except ValueError:
        yield "endpoint is malformed"
        return
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc or parts.query or parts.fragment:
        yield "endpoint must be http(s)://host[:port], without user, query and fragment"
        return
    if parts.scheme == "http" and not root.plaintext:
        yield "endpoint is http://: that needs plaintext = true"
    if _is_private(host) and not root.private:
        yield "endpoint is a private address: that needs private = true"


def _is_private(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")

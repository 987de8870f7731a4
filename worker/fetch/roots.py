"""The places that claim checks may point below, as the operator allows them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msgspec import Struct

from worker.fetch.addresses import is_allowed, parsed
from worker.fetch.places import WEB, Place, UnclearPlaceError, place_of
from worker.settings.tree import Root
from worker.uris import public_uri

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

FIELDS_OF = {
    "file": frozenset[str](),
    "s3": frozenset({"endpoint", "region", "private", "plaintext", "credentials_file"}),
    "gs": frozenset({"endpoint", "private", "plaintext", "credentials_file"}),
    "az": frozenset({"endpoint", "private", "plaintext", "credentials_file"}),
    "https": frozenset({"private", "plaintext", "header_file"}),
    "http": frozenset({"private", "plaintext", "header_file"}),
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

    @property
    def schemes(self) -> frozenset[str]:
        """Of the references that it may hold. ``plaintext`` opens ``http://`` for the host of an ``https://`` root."""
        also = {"http"} if self.place.scheme == "https" and self.options.plaintext else set()
        return frozenset({self.place.scheme, *also})

    def holds(self, place: Place) -> bool:
        """Tell whether a place lies below this root; the root itself does not."""
        mine = self.place
        if place.scheme not in self.schemes or mine.authority != place.authority:
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
        yield f"its scheme must be one of {known}"
        return
    if not root.uri.endswith("/"):
        yield f"{public_uri(root.uri)} must end in a slash"
    if place.scheme == "file":
        yield from _file_mistakes(root, place)
    elif place.scheme in WEB:
        yield from _web_mistakes(root, place)
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


def _web_mistakes(root: Root, place: Place) -> Iterator[str]:
    """Names are looked up, and their addresses checked, when they are needed; only an address can be told now."""
    if place.query:
        yield f"{public_uri(root.uri)} has a query"
    if place.scheme == "http" and not root.plaintext:
        yield "it is http://: that needs plaintext = true"
    if place.scheme == "https" and root.plaintext and root.header_file is not None:
        yield "header_file would go over http:// too: leave plaintext away, or if that is meant, write http://"
    if parsed(place.host) is None:
        if _is_local(place.host) and not root.private:
            yield "its host is this machine: that needs private = true"
    elif not is_allowed(place.host, private=root.private):
        yield f"its host is {_kind(place.host)}"


def _kind(address: str) -> str:
    if is_allowed(address, private=True):
        return "a private address: that needs private = true"
    return "an address that nothing may be fetched from"


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
    return _is_local(host) if parsed(host) is None else not is_allowed(host, private=False)


def _is_local(host: str) -> bool:
    """Tell whether a name means this machine, whatever a name server says (RFC 6761)."""
    return host == "localhost" or host.endswith(".localhost")

"""What a service of a scheme promises to the fetcher, and what all of them check alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from worker.errors import SegmentError
from worker.fetch.places import UnclearPlaceError, place_of
from worker.uris import public_uri

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from worker.fetch.roots import AllowedRoot
    from worker.records import Reference
    from worker.settings.tree import Fetch

LONGEST_SHOWN = 200


class AwayError(Exception):
    """This try failed for a reason that may pass. Its text is for people and holds no URL and no credential."""


class ThrottledError(AwayError):
    """The store has no time for us, whatever we ask for."""


class RefusedUsError(Exception):
    """The store doesn't let us in, or not to this object: it may not say which. Its text is as of AwayError."""


class Service(Protocol):
    """Serves the references of one scheme. One ``read`` is one try; the fetcher has the clock and the patience."""

    async def read(self, reference: Reference, max_bytes: int) -> bytes:
        """Return the bytes that the reference names, of the size that it names, at most ``max_bytes``.

        Raises:
            SegmentError: It can never succeed: outside the roots, not there, too large, of another size or etag.
            Held: Something of the root's own is wrong: its credentials can't be read, its host is at a wrong address.
            RefusedUsError: The store doesn't let us in, or not to this object.
            AwayError: It may succeed later.
        """

    def root_of(self, reference: Reference) -> AllowedRoot | None:
        """Return the root that answers for a reference, as far as its text tells; asks nobody."""

    async def answers(self, root: AllowedRoot) -> bool:
        """Tell whether the root's store is there at all, whatever it says. Raises nothing but for a defect of ours."""

    async def close(self) -> None:
        """Let go of threads and connections."""


class Opener(Protocol):
    """What makes a scheme's service for all of its roots."""

    def __call__(self, roots: Sequence[AllowedRoot], settings: Fetch, mistakes: list[str]) -> Service:
        """Return the service, after adding a line to ``mistakes`` for everything wrong with a root's options."""


def longest_first(roots: Iterable[AllowedRoot]) -> list[AllowedRoot]:
    """Return roots in the order in which they answer for a place: of several, the longest."""
    return sorted(roots, key=lambda root: len(root.place.path), reverse=True)


def root_below(roots: Sequence[AllowedRoot], reference: Reference) -> AllowedRoot | None:
    """Return the first root that a reference's text lies below."""
    try:
        place = place_of(reference.uri)
    except UnclearPlaceError:
        return None
    return next((root for root in roots if root.holds(place)), None)


def quoted(etag: str) -> str:
    """Return an etag as HTTP has it; publishers give it with its quotes or without."""
    return etag if etag.startswith(('"', 'W/"')) else f'"{etag}"'


def shown(reference: Reference) -> str:
    """Return a reference's URI as people may see it, on one line and of bounded length."""
    uri = public_uri(reference.uri)
    uri = uri if len(uri) <= LONGEST_SHOWN else uri[:LONGEST_SHOWN] + "…"
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in uri)


def failed(error: str, reference: Reference, why: str) -> SegmentError:
    """Return the error that dead-letters a reference's segment."""
    return SegmentError("fetch", error, f"{shown(reference)}: {why}")


def claimed(reference: Reference, object_bytes: int, max_bytes: int) -> tuple[int, int]:
    """Return the first byte and the number of bytes to read of an object that is ``object_bytes`` large.

    A reference's size and digest are of what it names: with a byte range, of the range.

    Raises:
        SegmentError: ``bad_size`` or ``too_large``.
    """
    first, count = 0, object_bytes
    if reference.byterange is not None:
        first, last = reference.byterange
        count = last - first + 1
        if not 0 <= first <= last < object_bytes:
            raise failed("bad_size", reference, f"bytes {first}-{last} of an object of {object_bytes} bytes")
    if count > max_bytes:
        raise failed("too_large", reference, f"{count} bytes; at most {max_bytes} are fetched")
    if reference.size_bytes not in (None, count):
        raise failed("bad_size", reference, f"{count} bytes; the reference says {reference.size_bytes}")
    return first, count

"""Redeems claim checks: the tries, the limits and the digest are here, the stores' ways are the services'."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING

from worker.errors import UsageError
from worker.fetch.files import open_files
from worker.fetch.inits import Inits
from worker.fetch.patience import Patience
from worker.fetch.places import UnclearPlaceError, place_of, scheme_of
from worker.fetch.roots import allowed_roots
from worker.fetch.services import failed
from worker.fetch.shares import Share
from worker.fetch.stores import open_stores
from worker.fetch.web import open_web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from worker.fetch.services import Opener, Service
    from worker.records import Reference
    from worker.settings.tree import Fetch

INIT_MAX_BYTES = 256 * 1024
OFF_LOOP_BYTES = 1024 * 1024
"""A digest of more than this is taken in a thread."""

OPENERS: Mapping[str, Opener] = MappingProxyType(
    {
        "file": open_files,
        "s3": open_stores,
        "gs": open_stores,
        "az": open_stores,
        "https": open_web,
        "http": open_web,
    }
)
"""Each scheme and what makes its service. A new scheme is a new row."""


class Fetcher:
    """Fetches what references name, from below ``fetch.roots`` only."""

    def __init__(
        self,
        settings: Fetch,
        *,
        openers: Mapping[str, Opener] = OPENERS,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Check the roots and open their services; nothing is connected yet.

        Raises:
            UsageError: Mistakes in the roots, all at once, one a line.
        """
        mistakes: list[str] = []
        roots = allowed_roots(settings.roots, openers.keys(), mistakes)
        self._services: dict[str, Service] = {}
        for scheme, opener in openers.items():
            its_roots = [root for root in roots if scheme in root.schemes]
            if its_roots:
                self._services[scheme] = opener(its_roots, settings, mistakes)
        if mistakes:
            raise UsageError("\n".join(mistakes))
        places = {root.place.authority for root in roots}
        self._shares = {place: Share(settings.in_work_bytes // len(places)) for place in places}
        self._patience = Patience(settings, sleep)
        self._inits = Inits(self._fetch_init, monotonic)

    @asynccontextmanager
    async def fetched(self, reference: Reference, *, max_bytes: int) -> AsyncIterator[bytes]:
        """Give what a reference names; until the context ends, its bytes count in its place's share.

        It waits while the share is taken. An object of unknown size counts as ``max_bytes`` until it is here.

        Raises:
            SegmentError, Held: As of ``fetch``.
        """
        _check_asked(reference, max_bytes)
        share = self._share(reference)
        if share is None:  # below no root: refused before a byte is read
            yield await self.fetch(reference, max_bytes=max_bytes)
            return
        hold = await share.hold(_most_bytes(reference, max_bytes))
        with hold.until_done():
            data = await self.fetch(reference, max_bytes=max_bytes)
            hold.shrink(len(data))
            yield data

    async def fetch(self, reference: Reference, *, max_bytes: int) -> bytes:
        """Return what a reference names, checked against its size, digest, etag and version.

        A reference's size and digest are of the bytes that it names: of its byte range, if it has one.

        Raises:
            SegmentError: It can never succeed: ``outside_roots``, ``not_found``, ``refused``, ``bad_digest``,
                ``bad_size``, ``too_large``. The reason names the URI without user, password, query and fragment.
            Held: The store is away after all tries, or refuses us whatever we ask for: nothing is wrong with the
                segment.
        """
        service = self._service(reference)
        _check_asked(reference, max_bytes)
        data = await self._patience.read(service, reference, max_bytes)
        if reference.sha256 is not None and not hmac.compare_digest(await _digest(data), reference.sha256.lower()):
            raise failed("bad_digest", reference, "its bytes have another SHA-256 than the reference says")
        return data

    async def fetch_init(self, reference: Reference) -> bytes:
        """Return an initialisation segment of at most 256 KiB, perhaps from memory.

        One that a digest, etag or version pins is kept until 63 others have been used since; one without serves for
        30 s before it is fetched anew.

        Raises:
            SegmentError, Held: As of ``fetch``.
        """
        return await self._inits.get(reference)

    async def close(self) -> None:
        """Stop what is being fetched for memory, and let the services' threads and connections go."""
        self._inits.close()
        for service in self._services.values():
            await service.close()

    async def _fetch_init(self, reference: Reference) -> bytes:
        return await self.fetch(reference, max_bytes=INIT_MAX_BYTES)

    def _share(self, reference: Reference) -> Share | None:
        try:
            return self._shares.get(place_of(reference.uri).authority)
        except UnclearPlaceError:
            return None

    def _service(self, reference: Reference) -> Service:
        scheme = scheme_of(reference.uri)
        if scheme is None:
            raise failed("outside_roots", reference, "it is no URI with a scheme")
        if scheme not in self._services:
            raise failed("outside_roots", reference, "no root of this scheme is in fetch.roots")
        return self._services[scheme]


def _check_asked(reference: Reference, max_bytes: int) -> None:
    """What can be told without asking a store."""
    if (reference.size_bytes or 0) > max_bytes:
        raise failed("too_large", reference, f"{reference.size_bytes} bytes; at most {max_bytes} are fetched")
    if reference.byterange is not None and not 0 <= reference.byterange[0] <= reference.byterange[1]:
        raise failed("bad_size", reference, "the byte range ends before it begins")


def _most_bytes(reference: Reference, max_bytes: int) -> int:
    """Return how many bytes it may turn out to be."""
    if reference.byterange is not None:
        return min(max_bytes, reference.byterange[1] - reference.byterange[0] + 1)
    return max_bytes if reference.size_bytes is None else reference.size_bytes


async def _digest(data: bytes) -> str:
    if len(data) > OFF_LOOP_BYTES:
        return (await asyncio.to_thread(hashlib.sha256, data)).hexdigest()
    return hashlib.sha256(data).hexdigest()

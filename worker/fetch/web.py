"""``https://``: what an allowed host serves below an allowed prefix. Nothing of it is believed before it is checked."""

from __future__ import annotations

import re
import ssl
import time
from typing import TYPE_CHECKING

from aiohttp import ClientConnectorCertificateError, ClientConnectorError, ClientError, hdrs
from yarl import URL

from worker.errors import Held, SegmentError
from worker.fetch.connections import ForbiddenAddressError, SystemNames, session
from worker.fetch.header import SecretHeader, UnreadableHeaderError
from worker.fetch.places import Place, UnclearPlaceError, place_of
from worker.fetch.services import (
    AwayError,
    RefusedUsError,
    ThrottledError,
    claimed,
    failed,
    longest_first,
    quoted,
    root_below,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiohttp import ClientResponse, ClientSession

    from worker.fetch.connections import Names
    from worker.fetch.roots import AllowedRoot
    from worker.records import Reference
    from worker.settings.tree import Fetch

CHUNK_BYTES = 256 * 1024
_ETAG = re.compile(r'(?:W/)?"[!#-~]*"')
"""RFC 9110, 8.8.3; without the octets beyond ASCII."""
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")
_LENGTH = re.compile(r"[0-9]{1,18}")
_OK, _PARTIAL = 200, 206
_REDIRECTS = range(300, 400)
_REFUSALS = frozenset({401, 403, 407})
_THROTTLED = 429
_MAY_PASS = frozenset({408, 425})
_SERVER_ERRORS = range(500, 600)
_OWN_FAULTS = {
    404: ("not_found", "there is no such object"),
    410: ("not_found", "there is no such object any more"),
    412: ("bad_digest", "the object is another than the one pinned by its etag"),
    416: ("bad_size", "the byte range begins behind the object's end"),
}


class Host:
    """One root's host: its connections and its credentials, which no other root shares."""

    def __init__(
        self, root: AllowedRoot, header: SecretHeader | None, connect: Callable[[bool], ClientSession]
    ) -> None:
        """``connect`` makes the session, with or without private addresses, at the first request."""
        self.root = root
        self.header = header
        self._connect = connect
        self._session: ClientSession | None = None

    @property
    def session(self) -> ClientSession:
        """What asks this host. It needs a running loop."""
        if self._session is None:
            self._session = self._connect(self.root.options.private)
        return self._session

    def headers(self) -> dict[str, str]:
        """Return what goes with every request. Raises Held where the credentials can't be read."""
        always: dict[str, str] = {hdrs.ACCEPT_ENCODING: "identity", hdrs.USER_AGENT: "framewatch", hdrs.ACCEPT: "*/*"}
        if self.header is None:
            return always
        try:
            name, value = self.header.read()
        except UnreadableHeaderError as error:
            raise Held(f"{self.root.uri}: header_file {error}") from None
        return always | {name: value}

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None


class Web:
    """Reads what allowed hosts serve."""

    def __init__(
        self,
        roots: Sequence[AllowedRoot],
        settings: Fetch,
        *,
        headers: dict[str, SecretHeader],
        names: Names,
        tls: ssl.SSLContext,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``headers`` are the roots' credentials by their settings' names; ``tls`` knows whom to trust."""
        self._settings = settings
        self._names = names
        self._monotonic = monotonic

        def connect(private: bool) -> ClientSession:  # noqa: FBT001 (the only thing that differs between hosts)
            return session(names, tls, private=private, idle_s=settings.idle_s)

        self._hosts = [Host(root, headers.get(root.setting), connect) for root in longest_first(roots)]

    async def read(self, reference: Reference, max_bytes: int) -> bytes:
        """Ask once, with GET. See ``Service``.

        Redirects are refused: a reference names the place itself. What a publisher's own query (a signature) is refused
        for is the reference's fault; what our credentials are refused for is not.
        """
        place, host = self._below(reference)
        if reference.version is not None:
            raise failed("refused", reference, "the web has no version to pin; give its digest or its etag")
        try:
            return await self._asked(host, place, reference, max_bytes)
        except ForbiddenAddressError as error:
            raise Held(f"{host.root.uri}: {error}") from None
        except ClientConnectorCertificateError:
            raise AwayError("the server's certificate can't be trusted") from None
        except ClientConnectorError:
            raise AwayError("the server can't be reached") from None
        except (ClientError, TimeoutError, OSError):
            # Not chained: aiohttp's errors hold the request's URL and headers.
            raise AwayError("the server broke off, was silent, or answered what is not HTTP") from None

    def root_of(self, reference: Reference) -> AllowedRoot | None:
        """Return the longest root that holds a reference. See ``Service``."""
        return root_below([host.root for host in self._hosts], reference)

    async def answers(self, root: AllowedRoot) -> bool:
        """Ask for the root itself: any answer but an error of the server's own will do. See ``Service``."""
        host = next(host for host in self._hosts if host.root is root)
        url = URL(root.place.url.rstrip("/") + "/", encoded=True)
        try:
            async with host.session.head(url, headers=host.headers(), allow_redirects=False) as response:
                return response.status not in _SERVER_ERRORS and response.status != _THROTTLED
        except (ClientError, OSError, ForbiddenAddressError, Held):  # a timeout is an OSError
            return False

    async def close(self) -> None:
        """Close the connections and let go of the look-ups' threads."""
        for host in self._hosts:
            await host.close()
        self._names.close()

    def _below(self, reference: Reference) -> tuple[Place, Host]:
        try:
            place = place_of(reference.uri)
        except UnclearPlaceError as error:
            raise failed("outside_roots", reference, str(error)) from None
        host = next((host for host in self._hosts if host.root.holds(place)), None)
        if host is None:
            raise failed("outside_roots", reference, "it is below none of fetch.roots")
        if place.query and host.header is not None:
            raise failed("outside_roots", reference, "a query is not sent along with the root's own credentials")
        return place, host

    async def _asked(self, host: Host, place: Place, reference: Reference, max_bytes: int) -> bytes:
        headers = host.headers() | _conditions(reference)
        url = URL(place.url, encoded=True)
        # A body that is not read to its end ends the connection; aiohttp sees to that.
        async with host.session.get(url, headers=headers, allow_redirects=False) as response:
            _check_status(reference, response.status, signed=bool(place.query), root=host.root)
            _check_pin(reference, response)
            expected = _announced(reference, response, max_bytes)
            return await self._body(reference, response, expected, max_bytes)

    async def _body(
        self, reference: Reference, response: ClientResponse, expected: int | None, max_bytes: int
    ) -> bytes:
        """Counted as it comes. ``expected`` is None where the server has not said how much it sends."""
        most = min(max_bytes, reference.size_bytes or max_bytes) if expected is None else expected
        chunks, read, began_s = [], 0, self._monotonic()
        async for chunk in response.content.iter_chunked(CHUNK_BYTES):
            read += len(chunk)
            if read > most:
                break
            chunks.append(chunk)
            self._check_rate(read, self._monotonic() - began_s)
        if expected is None:
            claimed(reference, read, max_bytes)
        elif read != expected:
            raise AwayError("the server gave another number of bytes than it announced")
        return b"".join(chunks)

    def _check_rate(self, read: int, seconds: float) -> None:
        if seconds > self._settings.idle_s and read < seconds * self._settings.min_bytes_per_s:
            raise AwayError(f"the server gives less than {self._settings.min_bytes_per_s} bytes a second")


# --- what is asked ----------------------------------------------------------------------------------------------------


def _conditions(reference: Reference) -> dict[str, str]:
    headers: dict[str, str] = {}
    if reference.byterange is not None:
        headers[hdrs.RANGE] = f"bytes={reference.byterange[0]}-{reference.byterange[1]}"
    if reference.etag is not None:
        etag = quoted(reference.etag)
        if not _ETAG.fullmatch(etag):
            raise failed("bad_digest", reference, "no object can have the etag that it is pinned by")
        headers[hdrs.IF_MATCH] = etag
    return headers


# --- what is answered -------------------------------------------------------------------------------------------------


def _check_status(reference: Reference, status: int, *, signed: bool, root: AllowedRoot) -> None:
    if status == (_OK if reference.byterange is None else _PARTIAL):
        return
    if status in _OWN_FAULTS:
        raise failed(_OWN_FAULTS[status][0], reference, _OWN_FAULTS[status][1])
    if status in _REDIRECTS:
        raise failed("refused", reference, "the server sends us elsewhere: redirects are not followed")
    if status in _REFUSALS:
        raise _refusal(reference, status, signed=signed, root=root)
    if status == _THROTTLED:
        raise ThrottledError(f"the server answers {status}")
    if status in _MAY_PASS or status in _SERVER_ERRORS:
        raise AwayError(f"the server answers {status}")
    why = f"the server answers {status}" if reference.byterange is None else "the server gives no byte ranges"
    raise failed("refused", reference, why if status in (_OK, _PARTIAL) else f"the server answers {status}")


def _refusal(reference: Reference, status: int, *, signed: bool, root: AllowedRoot) -> SegmentError | RefusedUsError:
    if signed:
        return failed("refused", reference, f"the server answers {status} to its signature, which may have expired")
    return RefusedUsError(f"{root.uri}: the server refuses us ({status}): see the root's header_file")


def _check_pin(reference: Reference, response: ClientResponse) -> None:
    """Some servers answer as if nothing had been pinned, or asked for plain bytes."""
    if reference.etag is not None and response.headers.get(hdrs.ETAG) != quoted(reference.etag):
        raise failed("bad_digest", reference, "the object is another than the one pinned by its etag")
    if response.headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower() != "identity":
        raise failed("refused", reference, "the server gives it compressed, though it was asked not to")


def _announced(reference: Reference, response: ClientResponse, max_bytes: int) -> int | None:
    """Return how many bytes are to come, checked; None where the server doesn't say."""
    if reference.byterange is not None:
        return _announced_range(reference, response, max_bytes)
    length = response.headers.get(hdrs.CONTENT_LENGTH)
    if length is None:
        return None
    if not _LENGTH.fullmatch(length):
        raise AwayError("the server answers what is not HTTP")
    return claimed(reference, int(length), max_bytes)[1]


def _announced_range(reference: Reference, response: ClientResponse, max_bytes: int) -> int:
    found = _CONTENT_RANGE.fullmatch(response.headers.get(hdrs.CONTENT_RANGE, ""))
    first, last = reference.byterange or (0, 0)
    if found is None or int(found[1]) != first or int(found[2]) > last:
        raise failed("refused", reference, "the server gives other bytes than asked for")
    end = int(found[2]) + 1 if found[3] == "*" else int(found[3])
    return claimed(reference, min(end, int(found[2]) + 1), max_bytes)[1]


# --- opening ----------------------------------------------------------------------------------------------------------


def open_web(
    roots: Sequence[AllowedRoot],
    settings: Fetch,
    mistakes: list[str],
    *,
    names: Names | None = None,
    tls: ssl.SSLContext | None = None,
    monotonic: Callable[[], float] = time.monotonic,
) -> Web:
    """Make the service of ``https://`` or ``http://``. Nothing is looked up or connected yet.

    Whom to trust is the system's choice (``SSL_CERT_FILE`` names another file of authorities), where ``tls`` is not
    given; whom to ask for addresses too, where ``names`` is not.
    """
    headers: dict[str, SecretHeader] = {}
    for root in roots:
        if root.options.header_file is not None:
            headers[root.setting] = header = SecretHeader(root.options.header_file)
            mistakes += [f"{root.setting}: header_file {each}" for each in header.mistakes()]
    return Web(
        roots,
        settings,
        headers=headers,
        names=names or SystemNames(),
        tls=tls or ssl.create_default_context(),
        monotonic=monotonic,
    )

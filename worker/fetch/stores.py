"""``s3://``, ``gs://`` and ``az://``: objects below an allowed bucket and prefix, through obstore."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import obstore
from obstore import exceptions
from obstore.store import AzureStore, GCSStore, S3Store

from worker.fetch.credentials import read_credentials
from worker.fetch.places import Place, UnclearPlaceError, place_of
from worker.fetch.services import AwayError, RefusedUsError, ThrottledError, claimed, failed, quoted, root_below

if TYPE_CHECKING:
    from collections.abc import Sequence

    from obstore import GetOptions, GetResult, ObjectMeta
    from obstore.store import ObjectStore

    from worker.errors import SegmentError
    from worker.fetch.roots import AllowedRoot
    from worker.records import Reference
    from worker.settings.tree import Fetch

CHUNK_BYTES = 1024 * 1024
_REQUEST = re.compile(r"Error performing [A-Z]+ (\S+) in .*status code: (\d{3})")
"""How object_store tells of an answer. The URL in it is percent-encoded: no object's name can look like more."""
_RANGE_BEYOND_THE_END = 416
_MAY_PASS = frozenset({408, 425})
_THROTTLED = 429
_CLIENT_ERRORS = range(400, 500)


class Stores:
    """Reads objects of one scheme, each through the store of the root that it lies below."""

    def __init__(self, stores: Sequence[tuple[AllowedRoot, ObjectStore]]) -> None:
        """Where an object lies below several roots, the longest one's store serves it."""
        self._stores = sorted(stores, key=lambda each: len(each[0].place.path), reverse=True)

    async def read(self, reference: Reference, max_bytes: int) -> bytes:
        """Read one object. See ``Service``.

        S3 answers 403 for a missing object too where it may not be listed: grant ``s3:ListBucket`` on the prefix.
        """
        place = _place(reference)
        root, store = self._below(reference, place)
        try:
            return await _object(store, place.path, reference, max_bytes)
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError):
            raise RefusedUsError(f"{root.uri}: the store refuses us (401 or 403): see the root's credentials") from None
        except (OSError, ValueError, exceptions.BaseError) as error:
            # Not chained: obstore's texts hold the request's URL, which can carry a signature.
            raise _answer(reference, place, error) from None

    def root_of(self, reference: Reference) -> AllowedRoot | None:
        """Return the longest root that holds a reference. See ``Service``."""
        return root_below([root for root, _ in self._stores], reference)

    async def answers(self, root: AllowedRoot) -> bool:
        """List the first objects below the root; a refusal is an answer too. See ``Service``."""
        store = next(store for mine, store in self._stores if mine is root)
        try:
            async for _ in obstore.list(store, prefix=root.place.path or None, chunk_size=1):
                return True
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError, FileNotFoundError):
            return True
        except (OSError, ValueError, exceptions.BaseError):
            return False
        return True

    async def close(self) -> None:
        """Nothing to let go of: obstore's connections end with the stores."""

    def _below(self, reference: Reference, place: Place) -> tuple[AllowedRoot, ObjectStore]:
        for root, store in self._stores:
            if root.holds(place):
                return root, store
        raise failed("outside_roots", reference, "it is below none of fetch.roots")


async def _object(store: ObjectStore, key: str, reference: Reference, max_bytes: int) -> bytes:
    """Everything that can be told is checked before the first byte of the body is read."""
    result = await obstore.get_async(store, key, options=_options(reference))
    try:
        _check_pins(reference, result.meta)
        first, count = claimed(reference, result.meta["size"], max_bytes)
        if result.range != (first, first + count):
            raise AwayError("the store gave other bytes than asked for")
        return await _body(result, count)
    finally:
        del result  # an error keeps this frame, and with it the connection on which the body still comes


def _place(reference: Reference) -> Place:
    try:
        return place_of(reference.uri)
    except UnclearPlaceError as error:
        raise failed("outside_roots", reference, str(error)) from None


def _options(reference: Reference) -> GetOptions:
    options: GetOptions = {}
    if reference.byterange is not None:
        first, last = reference.byterange
        options["range"] = (first, last + 1)
    if reference.etag is not None:
        options["if_match"] = quoted(reference.etag)
    if reference.version is not None:
        options["version"] = reference.version
    return options


def _check_pins(reference: Reference, meta: ObjectMeta) -> None:
    """Some stores answer as if nothing had been pinned."""
    if reference.etag is not None and quoted(meta["e_tag"] or "") != quoted(reference.etag):
        raise failed("bad_digest", reference, "the object is another than the one pinned by its etag")
    if reference.version is not None and meta["version"] != reference.version:
        raise failed("not_found", reference, "the store does not have the pinned version")


async def _body(result: GetResult, count: int) -> bytes:
    """Counted as it comes: what a store says of a size is only what it says."""
    chunks, read = [], 0
    async for chunk in result.stream(min_chunk_size=CHUNK_BYTES):
        read += len(chunk)
        if read > count:
            break
        chunks.append(bytes(chunk))
    if read != count:
        raise AwayError("the store gave another number of bytes than it announced")
    return b"".join(chunks)


def _answer(reference: Reference, place: Place, error: Exception) -> SegmentError | AwayError:
    if isinstance(error, FileNotFoundError):
        return failed("not_found", reference, "there is no such object")
    if isinstance(error, exceptions.PreconditionError):
        return failed("bad_digest", reference, "the object is another than the one pinned by its etag")
    if isinstance(error, (exceptions.InvalidPathError, exceptions.NotSupportedError, ValueError)):
        return failed("refused", reference, "the store can't have an object of that name")
    told = _REQUEST.search(str(error))
    if told is None:
        return AwayError("the store can't be reached")
    if not unquote(urlsplit(told[1]).path).endswith("/" + place.path):
        return AwayError("credentials for the store can't be had")  # asked of another address: not the object's fault
    return _by_status(reference, int(told[2]))


def _by_status(reference: Reference, status: int) -> SegmentError | AwayError:
    if status == _RANGE_BEYOND_THE_END:
        return failed("bad_size", reference, "the byte range begins behind the object's end")
    if status == _THROTTLED:
        return ThrottledError(f"the store answers {status}")
    if status in _CLIENT_ERRORS and status not in _MAY_PASS:
        return failed("refused", reference, f"the store answers {status}")
    return AwayError(f"the store answers {status}")


# --- opening ---------------------------------------------------------------------------------------------------------


def open_stores(roots: Sequence[AllowedRoot], settings: Fetch, mistakes: list[str]) -> Stores:
    """Make the service of one store's scheme. Nothing is connected yet.

    Settings that a root doesn't name come from the environment, as the store's own tools have them (``AWS_…``,
    ``GOOGLE_…``, ``AZURE_…``, an instance's or pod's identity).
    """
    opened = ((root, _open(root, settings, mistakes)) for root in roots)
    return Stores([(root, store) for root, store in opened if store is not None])


def _open(root: AllowedRoot, settings: Fetch, mistakes: list[str]) -> ObjectStore | None:
    options = root.options
    config: dict[str, Any] = {}
    if options.credentials_file is not None:
        read = read_credentials(options.credentials_file, root.place.scheme, root.setting, mistakes)
        if read is None:
            return None
        config |= read
    if options.endpoint is not None:
        config["base_url" if root.place.scheme == "gs" else "endpoint"] = options.endpoint.rstrip("/")
    if options.region is not None:
        config["region"] = options.region
    try:
        return _made(root, config, settings)
    except (ValueError, exceptions.BaseError) as error:
        mistakes.append(f"{root.setting}: the store can't be opened: {_first_line(error, config)}")
        return None


def _made(root: AllowedRoot, config: dict[str, Any], settings: Fetch) -> ObjectStore:
    """Our own loop tries again; obstore's would hide the tries from the limit on time."""
    kind: Any = {"s3": S3Store, "gs": GCSStore, "az": AzureStore}[root.place.scheme]
    store: ObjectStore = kind(
        root.place.authority,
        config=config,
        client_options={"allow_http": root.options.plaintext, "timeout": timedelta(seconds=settings.timeout_s)},
        retry_config={"max_retries": 0},
    )
    return store


def _first_line(error: Exception, config: dict[str, Any]) -> str:
    line = str(error).partition("\n")[0]
    return "see its credentials" if any(str(value) in line for value in config.values()) else line

"""Every service keeps one contract: files, objects in memory, and objects in a real S3 server."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import obstore
import pytest
from obstore.store import MemoryStore
from support.web_servers import HOST, Authority, Objects, fetcher, served

from worker.errors import Held, SegmentError
from worker.fetch import Fetcher
from worker.fetch.files import Files, _Folder, _opened
from worker.fetch.roots import allowed_roots
from worker.fetch.services import AwayError
from worker.fetch.stores import Stores, _body
from worker.records import Reference
from worker.settings.tree import Fetch, Root

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from obstore.store import ObjectStore
    from support.s3 import Server

    from worker.fetch.roots import AllowedRoot

DATA = bytes(range(256)) * 40
DIGEST = hashlib.sha256(DATA).hexdigest()
MOST = 1024 * 1024


async def error_of(fetcher: Fetcher, reference: Reference, max_bytes: int = MOST) -> SegmentError:
    """Return the error that dead-letters a reference; its reason is one line for a person."""
    with pytest.raises(SegmentError) as caught:
        await fetcher.fetch(reference, max_bytes=max_bytes)
    assert caught.value.stage == "fetch"
    assert "\n" not in caught.value.reason
    return caught.value


class Place:
    """Where a contract's objects lie: ``root`` is allowed, its parent is not."""

    root: str
    fetcher: Fetcher

    async def put(self, name: str, data: bytes) -> str | None:
        """Write an object below the root, or beside it with ``../``. Returns its etag, if it has one."""
        raise NotImplementedError


class Contract:
    """What holds for every service. A subclass gives the fixture ``place``."""

    bad_ranges = ((len(DATA) - 1, len(DATA)), (len(DATA), len(DATA)), (10**6, 10**6 + 1), (5, 4))

    async def test_an_object_comes_back_whole(self, place: Place) -> None:
        """Also an empty one, one below a folder, and one with a strange name."""
        for name, data in (("a.ts", DATA), ("x/b.ts", b"x" * 3_000_000), ("empty", b""), ("a b%2e?#é.ts", b"odd")):
            await place.put(name, data)
            reference = Reference(uri=place.root + quote(name), sha256=hashlib.sha256(data).hexdigest().upper())
            assert await place.fetcher.fetch(reference, max_bytes=4_000_000) == data

    async def test_a_byte_range_has_both_ends_inclusive(self, place: Place) -> None:
        """Size and digest are of the range."""
        await place.put("a.ts", DATA)
        digest = hashlib.sha256(DATA[10:20]).hexdigest()
        ranged = Reference(uri=place.root + "a.ts", byterange=(10, 19), size_bytes=10, sha256=digest)
        assert await place.fetcher.fetch(ranged, max_bytes=10) == DATA[10:20]
        last = Reference(uri=place.root + "a.ts", byterange=(len(DATA) - 1, len(DATA) - 1))
        assert await place.fetcher.fetch(last, max_bytes=10) == DATA[-1:]

    async def test_a_byte_range_that_the_object_has_not_is_a_bad_size(self, place: Place) -> None:
        """Part of a range is no answer."""
        await place.put("a.ts", DATA)
        for byterange in self.bad_ranges:
            error = await error_of(place.fetcher, Reference(uri=place.root + "a.ts", byterange=byterange))
            assert error.error == "bad_size"

    async def test_an_object_that_is_not_there_is_not_found(self, place: Place) -> None:
        """Nor is one below an object, nor the folder of one."""
        await place.put("x/a.ts", DATA)
        for name in ("none.ts", "x/a.ts/b"):
            error = await error_of(place.fetcher, Reference(uri=place.root + name))
            assert (error.error, error.attempts) == ("not_found", 1)
        assert (await error_of(place.fetcher, Reference(uri=place.root + "x"))).error in ("not_found", "refused")

    async def test_what_is_too_large_is_not_read(self, place: Place) -> None:
        """By the object's size, by the reference's, by the range's; exactly as much as allowed is fine."""
        await place.put("a.ts", DATA)
        uri = place.root + "a.ts"
        assert await place.fetcher.fetch(Reference(uri=uri), max_bytes=len(DATA)) == DATA
        for reference in (
            Reference(uri=uri),
            Reference(uri=uri, size_bytes=len(DATA)),
            Reference(uri=uri, byterange=(0, len(DATA) - 1)),
        ):
            assert (await error_of(place.fetcher, reference, len(DATA) - 1)).error == "too_large"

    async def test_another_size_or_digest_than_told_is_an_error(self, place: Place) -> None:
        """What the publisher vouches for is held against what is there."""
        await place.put("a.ts", DATA)
        uri = place.root + "a.ts"
        assert (await error_of(place.fetcher, Reference(uri=uri, size_bytes=1))).error == "bad_size"
        assert (await error_of(place.fetcher, Reference(uri=uri, sha256="0" * 64))).error == "bad_digest"

    async def test_nothing_outside_the_root_is_read(self, place: Place) -> None:
        """However the way out is written."""
        await place.put("../beside.ts", b"secret")
        await place.put("../root-twin/a.ts", b"secret")
        for name in (
            "../beside.ts",
            "%2e%2e/beside.ts",
            "..%2fbeside.ts",
            "x/../../beside.ts",
            "./x//../../root-twin/a.ts",
            "../" * 40 + "etc/passwd",
            "",
            ".",
        ):
            assert (await error_of(place.fetcher, Reference(uri=place.root + name))).error == "outside_roots"

    async def test_a_name_that_is_decoded_twice_does_not_get_out(self, place: Place) -> None:
        """Decoding once leaves a name with a percent sign in it."""
        await place.put("../beside.ts", b"secret")
        error = await error_of(place.fetcher, Reference(uri=place.root + "%252e%252e/beside.ts"))
        assert error.error == "not_found"

    async def test_no_error_repeats_what_may_be_secret(self, place: Place) -> None:
        """Query, fragment, user and password stay out of the reason."""
        scheme, _, rest = place.root.partition("://")
        for uri in (place.root + "a?sig=hush", place.root + "a#hush", f"{scheme}://user:hush@{rest}a"):
            error = await error_of(place.fetcher, Reference(uri=uri))
            assert error.error == "outside_roots"
            assert "hush" not in str(error)

    async def test_a_root_that_is_there_answers(self, place: Place) -> None:
        """It is asked whose fault it is when an object fails; nothing need be below it."""
        service = place.fetcher._services[place.root.partition(":")[0]]
        root = service.root_of(Reference(uri=place.root + "none.ts"))
        assert root is not None
        assert await service.answers(root)


class PinsContract:
    """What holds besides where objects have etags."""

    async def test_an_etag_pins_the_object(self, place: Place) -> None:
        """With its quotes or without; a replaced object is not taken for the one that was meant."""
        etag = await place.put("a.ts", DATA)
        assert etag is not None
        for pinned in (etag, etag.strip('"')):
            assert await place.fetcher.fetch(Reference(uri=place.root + "a.ts", etag=pinned), max_bytes=MOST) == DATA
        for other in ("other", "*", f'{etag}, "other"'):
            error = await error_of(place.fetcher, Reference(uri=place.root + "a.ts", etag=other))
            assert error.error == "bad_digest"

    async def test_a_version_that_the_store_does_not_confirm_is_not_found(self, place: Place) -> None:
        """A store without versions answers as if none had been asked for."""
        await place.put("a.ts", DATA)
        error = await error_of(place.fetcher, Reference(uri=place.root + "a.ts", version="7"))
        assert error.error == "not_found"


# --- files ------------------------------------------------------------------------------------------------------------


class Folder(Place):
    """A folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.root = f"file://{folder}/"
        self.fetcher = Fetcher(Fetch(roots=(self.root,), visible_within_s=0))

    async def put(self, name: str, data: bytes) -> str | None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return None


def folders(*paths: Path) -> list[AllowedRoot]:
    """Return folders as roots."""
    return allowed_roots([f"file://{path}/" for path in paths], ("file",), [])


class TestFiles(Contract):
    """``file://``."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Folder:
        """An allowed folder in a fresh one."""
        return Folder(tmp_path / "root")

    async def test_a_link_is_followed_within_the_allowed_folders_only(self, place: Folder) -> None:
        """What counts is where a file really is."""
        await place.put("x/a.ts", DATA)
        await place.put("../out/secret", b"secret")
        (place.folder / "inside").symlink_to("x")
        (place.folder / "file").symlink_to(place.folder / "x" / "a.ts")
        (place.folder / "outside").symlink_to("../out")
        (place.folder / "leak").symlink_to(place.folder.parent / "out" / "secret")
        (place.folder / "loop").symlink_to("loop")
        for name in ("inside/a.ts", "file"):
            assert await place.fetcher.fetch(Reference(uri=place.root + name), max_bytes=MOST) == DATA
        for name in ("outside/secret", "outside/none", "leak"):
            assert (await error_of(place.fetcher, Reference(uri=place.root + name))).error == "outside_roots"
        assert (await error_of(place.fetcher, Reference(uri=place.root + "loop"))).error == "not_found"

    async def test_a_link_that_is_swapped_in_after_the_check_is_not_followed(self, place: Folder) -> None:
        """Whoever may write below the root can't win a race for a way out of it."""
        await place.put("x/a.ts", DATA)
        await place.put("../out/a.ts", b"secret")

        class Raced(Files):
            def _real(self, reference: Reference) -> tuple[str, list[str]]:
                real = super()._real(reference)
                (place.folder / "x").rename(place.folder / "y")
                (place.folder / "x").symlink_to("../out")
                return real

        with pytest.raises(SegmentError, match="fetch/not_found"):
            await Raced(folders(place.folder)).read(Reference(uri=place.root + "x/a.ts"), MOST)

    def test_a_link_in_the_place_of_a_file_that_was_checked_is_not_opened(self, place: Folder) -> None:
        """Between the look at the file and its opening there is time for a swap."""
        (place.folder / "secret").write_bytes(b"secret")
        (place.folder / "a.ts").symlink_to("secret")
        with closing(_Folder(str(place.folder))) as at, pytest.raises(OSError, match="symbolic link"):
            _opened("a.ts", at.descriptor).__enter__()

    async def test_an_allowed_folder_may_be_a_link_itself(self, place: Folder, tmp_path: Path) -> None:
        """Mounts often are, and both names of it serve."""
        await place.put("a.ts", DATA)
        (tmp_path / "link").symlink_to(place.folder)
        fetcher = Fetcher(Fetch(roots=(f"file://{tmp_path}/link/",)))
        for uri in (f"file://{tmp_path}/link/a.ts", place.root + "a.ts", f"file://localhost{tmp_path}/link/a.ts"):
            assert await fetcher.fetch(Reference(uri=uri), max_bytes=MOST) == DATA

    async def test_only_regular_files_are_read_and_a_pipe_blocks_nothing(self, place: Folder) -> None:
        """Folders, pipes, sockets and devices are no segments."""
        os.mkfifo(place.folder / "pipe")
        (place.folder / "folder").mkdir()
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(place.folder / "socket"))
            for name in ("pipe", "folder", "socket"):
                assert (await error_of(place.fetcher, Reference(uri=place.root + name))).error == "refused"
        devices = Fetcher(Fetch(roots=("file:///dev/",)))
        assert (await error_of(devices, Reference(uri="file:///dev/zero"))).error == "refused"

    async def test_a_pin_that_a_file_cannot_have_is_refused(self, place: Folder) -> None:
        """A promise that can't be checked is not taken for kept."""
        await place.put("a.ts", DATA)
        for reference in (
            Reference(uri=place.root + "a.ts", etag="x"),
            Reference(uri=place.root + "a.ts", version="x"),
        ):
            assert (await error_of(place.fetcher, reference)).error == "refused"

    async def test_a_file_of_another_machine_is_outside(self, place: Folder) -> None:
        """``file://host/`` is no share."""
        error = await error_of(place.fetcher, Reference(uri=place.root.replace("file://", "file://host")))
        assert error.error == "outside_roots"

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    async def test_a_file_that_we_may_not_read_holds(self, place: Folder) -> None:
        """Rights are the operator's to mend: no segment is lost for them."""
        await place.put("a.ts", DATA)
        (place.folder / "a.ts").chmod(0)
        with pytest.raises(Held, match="no permission"):
            await place.fetcher.fetch(Reference(uri=place.root + "a.ts"), max_bytes=MOST)

    async def test_the_loop_goes_on_while_a_file_is_read(self, place: Folder) -> None:
        """Reading is a thread's work."""
        await place.put("a.ts", DATA)
        files = Files(folders(place.folder))
        reading = asyncio.ensure_future(files.read(Reference(uri=place.root + "a.ts"), MOST))
        await asyncio.sleep(0)
        assert not reading.done()
        assert await reading == DATA
        await files.close()


# --- stores -----------------------------------------------------------------------------------------------------------


def holding(store: ObjectStore) -> Any:
    """Return an opener whose every root is served by ``store``."""

    def opener(roots: Sequence[AllowedRoot], settings: Fetch, mistakes: list[str]) -> Stores:
        del settings, mistakes
        return Stores([(root, store) for root in roots])

    return opener


class Bucket(Place):
    """A bucket with an allowed prefix."""

    def __init__(self, bucket: str, store: ObjectStore, fetcher: Fetcher) -> None:
        self.root = f"s3://{bucket}/live/root/"
        self.fetcher = fetcher
        self._store = store

    async def put(self, name: str, data: bytes) -> str | None:
        key = "live/" + name.removeprefix("../") if name.startswith("../") else "live/root/" + name
        return (await obstore.put_async(self._store, key, data))["e_tag"]


class TestMemory(Contract, PinsContract):
    """obstore's store in memory. It tells no status for a range that begins behind the end."""

    bad_ranges = ((len(DATA) - 1, len(DATA)), (5, 4))

    @pytest.fixture
    def place(self) -> Bucket:
        """An empty bucket."""
        store = MemoryStore()
        fetcher = Fetcher(Fetch(roots=("s3://bucket/live/root/",), visible_within_s=0), openers={"s3": holding(store)})
        return Bucket("bucket", store, fetcher)


class TestS3(Contract, PinsContract):
    """A real S3 server."""

    @pytest.fixture
    def place(self, s3_server: Server, tmp_path: Path) -> Bucket:
        """A bucket whose credentials come from a file."""
        return Bucket("contract", s3_server.store("contract"), self.fetcher(s3_server, tmp_path))

    def fetcher(self, server: Server, folder: Path, secret: str | None = None) -> Fetcher:
        """Return a fetcher with a root of its own endpoint and credentials."""
        credentials = folder / "credentials.toml"
        secret = secret or server.secret_access_key
        credentials.write_text(f'access_key_id = "{server.access_key_id}"\nsecret_access_key = "{secret}"\n')
        root = Root(
            uri="s3://contract/live/root/",
            endpoint=server.endpoint,
            region="us-east-1",
            private=True,
            plaintext=True,
            credentials_file=str(credentials),
        )
        return Fetcher(Fetch(roots=(root,), visible_within_s=0))

    async def test_a_store_that_refuses_us_holds_and_tells_no_secret(self, s3_server: Server, tmp_path: Path) -> None:
        """Credentials are the operator's to mend: no segment is lost for them."""
        fetcher = self.fetcher(s3_server, tmp_path, secret="hush")
        with pytest.raises(Held, match=r"^s3://contract/live/root/: the store refuses us") as caught:
            await fetcher.fetch(Reference(uri="s3://contract/live/root/a.ts"), max_bytes=MOST)
        assert "hush" not in str(caught.value) + repr(fetcher)
        assert caught.value.__suppress_context__


class Site(Place):
    """An allowed prefix of a server with TLS."""

    def __init__(self, port: int, objects: Objects, fetcher: Fetcher) -> None:
        self.root = f"https://{HOST}:{port}/live/root/"
        self.fetcher = fetcher
        self._objects = objects

    async def put(self, name: str, data: bytes) -> str | None:
        path = "/live/" + name.removeprefix("../") if name.startswith("../") else "/live/root/" + name
        self._objects.held[path] = data
        return self._objects.etag(data)


class TestWeb(Contract, PinsContract):
    """``https://``."""

    @pytest.fixture
    async def place(self) -> AsyncIterator[Site]:
        """An honest server."""
        objects, authority = Objects(), Authority()
        async with served(objects, authority.server(HOST)) as port:
            root = Root(uri=f"https://{HOST}:{port}/live/root/", private=True)
            site = Site(port, objects, fetcher(root, tls=authority.client()))
            yield site
            await site.fetcher.close()

    async def test_a_name_that_is_decoded_twice_does_not_get_out(self, place: Place) -> None:
        """Nobody knows how often a server decodes, so it is not asked."""
        error = await error_of(place.fetcher, Reference(uri=place.root + "%252e%252e/beside.ts"))
        assert error.error == "outside_roots"

    async def test_a_version_that_the_store_does_not_confirm_is_not_found(self, place: Place) -> None:
        """The web has none: a promise that can't be checked is refused."""
        await place.put("a.ts", DATA)
        assert (await error_of(place.fetcher, Reference(uri=place.root + "a.ts", version="7"))).error == "refused"

    async def test_no_error_repeats_what_may_be_secret(self, place: Place) -> None:
        """A query is taken along, and told to nobody."""
        rest = place.root.removeprefix("https://")
        for uri, known_as in (
            (place.root + "a?sig=hush", "not_found"),
            (place.root + "a#hush", "outside_roots"),
            (f"https://user:hush@{rest}a", "outside_roots"),
        ):
            error = await error_of(place.fetcher, Reference(uri=uri))
            assert error.error == known_as
            assert "hush" not in str(error)


async def test_the_longest_root_serves() -> None:
    """A root within a root has credentials of its own."""
    outer, inner = MemoryStore(), MemoryStore()
    await obstore.put_async(outer, "a/b/x", b"outer")
    await obstore.put_async(inner, "a/b/x", b"inner")

    def opener(roots: Sequence[AllowedRoot], settings: Fetch, mistakes: list[str]) -> Stores:
        del settings, mistakes
        return Stores(list(zip(roots, (outer, inner), strict=True)))

    fetcher = Fetcher(Fetch(roots=("s3://bucket/a/", "s3://bucket/a/b/")), openers={"s3": opener})
    assert await fetcher.fetch(Reference(uri="s3://bucket/a/b/x"), max_bytes=MOST) == b"inner"


class Spoken:
    """An object whose store says that it is ten bytes long, and gives other chunks."""

    def __init__(self, *chunks: bytes) -> None:
        self._chunks = chunks

    async def stream(self, min_chunk_size: int) -> AsyncIterator[bytes]:
        del min_chunk_size
        for chunk in self._chunks:
            yield chunk


@pytest.mark.parametrize("chunks", [(b"12345",), (b"1234567890", b"1"), ()])
async def test_more_or_less_than_announced_is_no_object(chunks: tuple[bytes, ...]) -> None:
    """What a store says of a size is only what it says."""
    spoken: Any = Spoken(*chunks)
    with pytest.raises(AwayError, match="another number of bytes"):
        await _body(spoken, 10)

"""``https://``: what an honest server gives, and what a hostile one can't do."""

from __future__ import annotations

import asyncio
import gzip
import itertools
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from support.web_servers import HOST, Authority, Names, Objects, fetcher, plain, served, talking

from worker.errors import Held, SegmentError, UsageError
from worker.records import Reference
from worker.settings.tree import Root

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from worker.fetch import Fetcher

MOST = 1024 * 1024
AUTHORITY = Authority()


@asynccontextmanager
async def fetching(port: int, *, name: str = "a.ts", **settings: Any) -> AsyncIterator[tuple[Fetcher, Reference]]:
    """Gives a fetcher of a server without TLS, and a reference to one of its objects; closed when the block ends."""
    made = fetcher(plain(port), **settings)
    try:
        yield made, Reference(uri=f"http://{HOST}:{port}/live/{name}")
    finally:
        await made.close()


def answering(**response: Any) -> Any:
    """Return a handler that gives every request the same answer."""

    async def handler(request: web.Request) -> web.Response:
        del request
        return web.Response(**response)

    return handler


# --- TLS --------------------------------------------------------------------------------------------------------------


async def test_the_certificate_is_of_the_name_and_the_connection_to_the_checked_address() -> None:
    """SNI and Host carry the name as the root has it."""
    objects = Objects()
    objects.held["/live/a.ts"] = b"data"
    names = Names(["127.0.0.1"])
    async with served(objects, AUTHORITY.server(HOST)) as port:
        root = Root(uri=f"https://{HOST}:{port}/live/", private=True)
        made = fetcher(root, names=names, tls=AUTHORITY.client())
        for spelling in (HOST, HOST.upper()):
            reference = Reference(uri=f"https://{spelling}:{port}/live/a.ts")
            assert await made.fetch(reference, max_bytes=MOST) == b"data"
        await made.close()
    assert [request.headers["Host"] for request in objects.requests] == [f"{HOST}:{port}"] * 2
    assert names.asked == [HOST]  # the second time the connection was still open


@pytest.mark.parametrize("trusted", [True, False])
async def test_a_certificate_for_another_name_or_of_nobody_holds(*, trusted: bool) -> None:
    """And nothing was asked before it was looked at."""
    objects = Objects()
    authority = AUTHORITY if trusted else Authority()
    async with served(objects, authority.server("other.example" if trusted else HOST)) as port:
        made = fetcher(Root(uri=f"https://{HOST}:{port}/live/", private=True), tls=AUTHORITY.client(), attempts=1)
        with pytest.raises(Held, match="the server's certificate can't be trusted"):
            await made.fetch(Reference(uri=f"https://{HOST}:{port}/live/a.ts"), max_bytes=MOST)
        await made.close()
    assert objects.requests == []


async def test_plaintext_is_for_the_root_that_says_so_only() -> None:
    """An ``https://`` root with ``plaintext`` takes both; one without takes no ``http://``."""
    objects = Objects()
    objects.held["/live/a.ts"] = b"data"
    async with served(objects) as port:
        reference = Reference(uri=f"http://{HOST}:{port}/live/a.ts")
        uri = f"https://{HOST}:{port}/live/"
        for root, is_open in (
            (Root(uri=uri, private=True, plaintext=True), True),
            (Root(uri=uri, private=True), False),
        ):
            other = plain(port, "other/")
            made = fetcher(root, other)
            if is_open:
                assert await made.fetch(reference, max_bytes=MOST) == b"data"
            else:
                with pytest.raises(SegmentError, match="fetch/outside_roots"):
                    await made.fetch(reference, max_bytes=MOST)
            await made.close()


# --- credentials ------------------------------------------------------------------------------------------------------


async def test_credentials_go_to_their_roots_host_only_and_are_read_again_when_they_change(tmp_path: Path) -> None:
    """The same server under another name, and another prefix of the same name, get none."""
    objects = Objects()
    objects.held |= {"/live/a.ts": b"1", "/open/a.ts": b"2"}
    secret = tmp_path / "header"
    secret.write_text("Authorization: Bearer hush\n")
    async with served(objects) as port:
        bare = Root(uri=f"http://open.example:{port}/live/", private=True, plaintext=True)
        made = fetcher(plain(port, header_file=str(secret)), plain(port, "open/"), bare)
        await made.fetch(Reference(uri=f"http://{HOST}:{port}/live/a.ts"), max_bytes=MOST)
        await made.fetch(Reference(uri=f"http://{HOST}:{port}/open/a.ts"), max_bytes=MOST)
        await made.fetch(Reference(uri=f"http://open.example:{port}/live/a.ts"), max_bytes=MOST)
        secret.write_text("Authorization: Bearer newer-hush\n")
        await made.fetch(Reference(uri=f"http://{HOST}:{port}/live/a.ts"), max_bytes=MOST)
        secret.write_text("hush\n")
        with pytest.raises(Held) as caught:
            await made.fetch(Reference(uri=f"http://{HOST}:{port}/live/a.ts"), max_bytes=MOST)
        await made.close()
    sent = [request.headers.get("Authorization") for request in objects.requests]
    assert sent == ["Bearer hush", None, None, "Bearer newer-hush"]
    assert "hush" not in str(caught.value) + repr(made) + repr(vars(made)).replace(str(secret), "")


async def test_a_publishers_query_is_not_sent_with_our_credentials(tmp_path: Path) -> None:
    """It would be our word for whatever the query makes of the request."""
    secret = tmp_path / "header"
    secret.write_text("Authorization: hush")
    made = fetcher(Root(uri=f"https://{HOST}/live/", header_file=str(secret)))
    with pytest.raises(SegmentError, match="fetch/outside_roots"):
        await made.fetch(Reference(uri=f"https://{HOST}/live/a.ts?acl"), max_bytes=MOST)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "hush",
        "Authorization hush",
        "Authorization: hush\nX-More: hush\n",
        "Authorization: hush\r\n\r\nGET / HTTP/1.1",
        "Host: hush",
        "Range: hush",
        "Transfer-Encoding: hush",
        "X-Key: hüsh",
        ": hush",
        "X-Key: " + "hush" * 5000,
    ],
)
def test_a_header_file_that_is_more_or_less_than_a_header_is_a_mistake(tmp_path: Path, content: str) -> None:
    """Told at the start, without a word of what is in it."""
    secret = tmp_path / "header"
    secret.write_text(content)
    with pytest.raises(UsageError) as caught:
        fetcher(Root(uri=f"https://{HOST}/live/", header_file=str(secret)))
    assert str(caught.value).startswith("fetch.roots[0]: header_file ")
    assert "hush" not in str(caught.value)


async def test_nothing_of_the_environment_and_no_cookie_goes_along(tmp_path: Path) -> None:
    """Plain bytes are asked for, and a cookie that was set is forgotten."""
    requests: list[web.Request] = []

    async def handler(request: web.Request) -> web.Response:
        requests.append(request)
        return web.Response(body=b"data", headers={"Set-Cookie": "a=b; Path=/"})

    del tmp_path
    async with served(handler) as port, fetching(port) as (made, reference):
        for _ in range(2):
            await made.fetch(reference, max_bytes=MOST)
    for request in requests:
        assert dict(request.headers) == {
            "Host": f"{HOST}:{port}",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "User-Agent": "framewatch",
        }


# --- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "raised", "why"),
    [
        (201, SegmentError, "fetch/refused"),
        (204, SegmentError, "fetch/refused"),
        (206, SegmentError, "fetch/refused"),
        (301, SegmentError, "fetch/refused: .* redirects are not followed"),
        (302, SegmentError, "fetch/refused: .* redirects are not followed"),
        (307, SegmentError, "fetch/refused: .* redirects are not followed"),
        (400, SegmentError, "fetch/refused"),
        (401, Held, "the server refuses us"),
        (403, Held, "the server refuses us"),
        (404, SegmentError, "fetch/not_found"),
        (408, SegmentError, "fetch/refused: .* again and again"),
        (410, SegmentError, "fetch/not_found"),
        (412, SegmentError, "fetch/bad_digest"),
        (416, SegmentError, "fetch/bad_size"),
        (429, Held, "the server answers 429"),
        (500, Held, "the server answers 500"),
        (503, Held, "the server answers 503"),
    ],
)
async def test_each_answer_of_a_server_has_its_consequence(status: int, raised: type[Exception], why: str) -> None:
    """The server's text is not repeated, nor where it sends us."""
    handler = answering(status=status, headers={"Location": "http://hush.example/"})
    async with served(handler) as port, fetching(port) as (made, reference):
        with pytest.raises(raised, match=why) as caught:
            await made.fetch(reference, max_bytes=MOST)
    assert "hush" not in str(caught.value)


async def test_a_signature_that_is_refused_is_the_references_fault() -> None:
    """It expires: waiting would not help, and whoever may publish could hold a partition with a bad one."""
    handler = answering(status=403)
    async with served(handler) as port, fetching(port, name="a.ts?sig=hush") as (made, reference):
        with pytest.raises(SegmentError, match=r"fetch/refused: .*expired") as caught:
            await made.fetch(reference, max_bytes=MOST)
    assert "hush" not in str(caught.value)


async def test_a_signature_that_is_good_says_nothing_of_our_credentials() -> None:
    """What it let us have is no proof that the server lets us in."""

    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=200 if request.query else 403, body=b"data")

    async with served(handler) as port, fetching(port) as (made, reference):
        await made.fetch(Reference(uri=reference.uri.replace("a.ts", "b.ts?sig=x")), max_bytes=MOST)
        with pytest.raises(Held, match="the server refuses us"):
            await made.fetch(reference, max_bytes=MOST)


async def test_a_signed_url_is_asked_for_as_it_came() -> None:
    """Its path in the one spelling, its query untouched."""
    objects = Objects()
    objects.held["/live/a+b c.ts"] = b"data"
    async with served(objects) as port, fetching(port, name="x/../a%2Bb%20c.ts?X-Sig=a%2Fb+c&&=") as (made, reference):
        assert await made.fetch(reference, max_bytes=MOST) == b"data"
    assert objects.requests[0].raw_path == "/live/a%2Bb%20c.ts?X-Sig=a%2Fb+c&&="


async def test_one_bad_object_among_good_ones_is_a_dead_letter() -> None:
    """Its 500 and its 403 are its own: the server still gives the other one."""

    async def handler(request: web.Request) -> web.Response:
        status = {"500.ts": 500, "403.ts": 403}.get(request.path.rpartition("/")[2], 200)
        return web.Response(status=status, body=b"data")

    async with served(handler) as port, fetching(port) as (made, reference):
        await made.fetch(reference, max_bytes=MOST)
        for name, tries in (("500.ts", 9), ("403.ts", 1)):
            with pytest.raises(SegmentError, match="fetch/refused") as caught:
                await made.fetch(Reference(uri=reference.uri.replace("a.ts", name)), max_bytes=MOST)
            assert caught.value.attempts == tries


# --- hostile bodies ---------------------------------------------------------------------------------------------------


async def test_a_gzip_bomb_is_refused_unopened() -> None:
    """Plain bytes were asked for."""
    bomb = gzip.compress(bytes(10_000_000))
    for encoding in ("gzip", "deflate", "br", "GZIP, identity"):
        handler = answering(body=bomb, headers={"Content-Encoding": encoding})
        async with served(handler) as port, fetching(port) as (made, reference):
            with pytest.raises(SegmentError, match=r"fetch/refused: .*compressed"):
                await made.fetch(reference, max_bytes=MOST)


async def test_a_body_without_end_is_cut_at_the_limit() -> None:
    """What was not announced is counted as it comes."""
    written = [0]

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(bytes(65_536))
            written[0] += 65_536

    async with served(handler) as port, fetching(port) as (made, reference):
        with pytest.raises(SegmentError, match="fetch/too_large"):
            await made.fetch(reference, max_bytes=MOST)
        with pytest.raises(SegmentError, match="fetch/bad_size"):
            await made.fetch(Reference(uri=reference.uri, size_bytes=1000), max_bytes=MOST)
    assert written[0] < 32 * MOST


async def said(*parts: bytes, name: str = "a.ts", forever: bytes = b"", **settings: Any) -> bytes:
    """Fetch from a server that says these parts, whatever it is asked, then stays silent or repeats itself."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for part in parts:
            writer.write(part)
            await writer.drain()
        while forever:
            writer.write(forever)
            await writer.drain()
            async with asyncio.timeout(10):
                await asyncio.sleep(0.01)
        await reader.read()

    limits = {"attempts": 1, "idle_s": 0.2, "timeout_s": 1.0 if forever else 10.0} | settings
    async with talking(talk) as port, fetching(port, name=name, **limits) as (made, reference):
        return await made.fetch(reference, max_bytes=MOST)


async def test_a_content_length_that_lies_is_not_believed() -> None:
    """Less or more than was announced is no object; too much is not begun."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: "
    for answer in (b"10\r\n\r\nhalf", b"4\r\n\r\ndata and more"):
        with pytest.raises((Held, SegmentError), match="broke off, was silent"):
            await said(head + answer)
    with pytest.raises(SegmentError, match="fetch/too_large"):
        await said(head + b"99999999999\r\n\r\n")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\ndata",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\ndata",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\ndata",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\ndata",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\ndata",
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"\x00" * 1000,
        b"220 ftp.example\r\n",
        b"",
    ],
    ids=range(10),
)
async def test_what_is_not_http_is_no_object(answer: bytes) -> None:
    """Whatever it is, it ends in an error of ours."""
    with pytest.raises((Held, SegmentError)):
        await said(answer)


@pytest.mark.parametrize(
    ("parts", "forever", "why"),
    [
        ((), b"", "broke off, was silent"),
        ((b"HTTP/1.1 200 OK\r\n",), b"", "broke off, was silent"),
        ((b"HTTP/1.1 200 OK\r\n",), b"X: y\r\n", "longer than|broke off"),
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n",), b"", "broke off, was silent"),
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n",), b"x", "less than|longer than|broke off"),
        ((b"HTTP/1.1 100 Continue\r\n\r\n",), b"HTTP/1.1 100 Continue\r\n\r\n", "longer than|broke off"),
    ],
    ids=range(6),
)
async def test_a_slow_loris_is_given_up(parts: tuple[bytes, ...], forever: bytes, why: str) -> None:
    """Silent, or a byte at a time, in the head or in the body: within the limits on idle time, rate and time."""
    async with asyncio.timeout(30):
        with pytest.raises((Held, SegmentError), match=why):
            await said(*parts, forever=forever)


@pytest.mark.parametrize(("least", "is_enough"), [(1, True), (2, False), (0, True)])
async def test_a_body_has_to_come_at_the_least_rate(*, least: int, is_enough: bool) -> None:
    """Ten bytes in ten seconds are a byte a second; that is told once the idle time has passed."""
    clock = itertools.count(step=10.0)
    async with (
        served(answering(body=b"ten bytes.")) as port,
        fetching(port, monotonic=lambda: next(clock), min_bytes_per_s=least) as (made, reference),
    ):
        if is_enough:
            assert await made.fetch(reference, max_bytes=MOST) == b"ten bytes."
        else:
            with pytest.raises(SegmentError, match="gives less than 2 bytes a second"):
                await made.fetch(reference, max_bytes=MOST)


@pytest.mark.parametrize(
    "told",
    ["", "bytes 0-9/20", "bytes 5-20/30", "bytes 5-9/8", "bytes */20", "bytes=5-9/20", "items 5-9/20", "bytes 9-5/20"],
)
async def test_a_range_other_than_asked_for_is_not_taken_for_it(told: str) -> None:
    """The server says which bytes it gives; that is held against the reference."""
    handler = answering(status=206, body=b"12345", headers={"Content-Range": told})
    async with served(handler) as port, fetching(port) as (made, reference):
        with pytest.raises(SegmentError, match=r"fetch/(refused|bad_size)"):
            await made.fetch(Reference(uri=reference.uri, byterange=(5, 9)), max_bytes=MOST)


async def test_a_server_without_byte_ranges_is_not_read_whole() -> None:
    """The whole object is no answer to a range."""
    async with served(answering(body=b"1234567890")) as port, fetching(port) as (made, reference):
        with pytest.raises(SegmentError, match=r"fetch/refused: .*no byte ranges"):
            await made.fetch(Reference(uri=reference.uri, byterange=(5, 9)), max_bytes=MOST)


async def test_an_etag_that_is_not_confirmed_or_is_none_is_bad() -> None:
    """Also one that would have written a header of its own."""
    async with served(answering(body=b"data")) as port, fetching(port) as (made, reference):
        for etag in ("x", 'x"\r\nX-Evil: 1\r\nY: "', "é"):
            with pytest.raises(SegmentError, match="fetch/bad_digest"):
                await made.fetch(Reference(uri=reference.uri, etag=etag), max_bytes=MOST)


async def test_a_connection_that_a_body_still_comes_on_is_not_used_again() -> None:
    """The rest of one object would be the head of the next."""
    objects = Objects()
    objects.held |= {"/live/a.ts": bytes(300_000), "/live/b.ts": b"data"}
    async with served(objects) as port, fetching(port) as (made, reference):
        with pytest.raises(SegmentError, match="fetch/too_large"):
            await made.fetch(reference, max_bytes=1000)
        assert await made.fetch(Reference(uri=reference.uri.replace("a.ts", "b.ts")), max_bytes=1000) == b"data"

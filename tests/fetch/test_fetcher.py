"""The fetcher tries, waits, gives up, and tells an operator what is wrong with the roots."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from obstore.store import AzureStore

from worker.errors import Held, SegmentError, UsageError
from worker.fetch import Fetcher
from worker.fetch.roots import allowed_roots
from worker.fetch.services import AwayError, RefusedUsError, ThrottledError, root_below
from worker.fetch.stores import open_stores
from worker.records import Reference
from worker.settings.tree import Fetch, Root

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from worker.fetch.roots import AllowedRoot

REFERENCE = Reference(uri="s3://bucket/a.ts")
OTHER = Reference(uri="s3://bucket/b.ts")


class Answers:
    """A service that answers each try with the next of its answers; None never answers.

    It is asked for the last good object with a limit of no bytes: ``others`` is what it says then, ``alive`` what it
    says when it is asked for no object.
    """

    def __init__(
        self, *answers: bytes | Exception | None, others: Exception | None = None, alive: bool = False
    ) -> None:
        self.left = list(answers)
        self.others = others
        self.alive = alive
        self.closed = False
        self.roots: Sequence[AllowedRoot] = ()

    async def read(self, reference: Reference, max_bytes: int) -> bytes:
        if max_bytes == 0:
            raise self.others or SegmentError("fetch", "too_large", "there it is")
        answer = self.left.pop(0)
        if answer is None:
            await asyncio.Event().wait()
        if isinstance(answer, Exception):
            raise answer
        assert answer is not None
        return answer

    def root_of(self, reference: Reference) -> AllowedRoot | None:
        return root_below(self.roots, reference)

    async def answers(self, root: AllowedRoot) -> bool:
        assert root in self.roots
        return self.alive

    async def close(self) -> None:
        self.closed = True


class Pauses:
    """A sleep that takes no time and remembers how long it should have been."""

    def __init__(self) -> None:
        self.told_s: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.told_s.append(seconds)


def fetcher(service: Answers, **settings: Any) -> tuple[Fetcher, Pauses]:
    """Return a fetcher of one bucket that ``service`` serves."""
    pauses = Pauses()
    made = Fetch(roots=("s3://bucket/",), **settings)

    def opener(roots: Sequence[AllowedRoot], settings: object, mistakes: object) -> Answers:
        del settings, mistakes
        service.roots = roots
        return service

    return Fetcher(made, openers={"s3": opener}, sleep=pauses), pauses


async def test_a_store_that_is_away_for_a_moment_is_tried_again() -> None:
    """The pauses grow."""
    fetch, pauses = fetcher(Answers(AwayError("gone"), AwayError("gone"), b"data"))
    assert await fetch.fetch(REFERENCE, max_bytes=10) == b"data"
    assert pauses.told_s == [0.1, 0.2]


async def test_a_store_that_stays_away_holds_after_the_tries() -> None:
    """Nothing is wrong with the segment; the pauses have a ceiling."""
    fetch, pauses = fetcher(Answers(*[AwayError("it is gone")] * 8), attempts=8)
    with pytest.raises(Held, match=r"^s3://bucket/a.ts: it is gone \(tried 8 times\)$"):
        await fetch.fetch(REFERENCE, max_bytes=10)
    assert pauses.told_s == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]


async def test_a_try_that_takes_too_long_is_given_up() -> None:
    """A store that accepts and never answers is away too."""
    fetch, _ = fetcher(Answers(None, None), attempts=2, timeout_s=0.01)
    with pytest.raises(Held, match=r"it took longer than 0\.01 s"):
        await fetch.fetch(REFERENCE, max_bytes=10)


async def test_what_can_never_succeed_is_not_tried_again() -> None:
    """And the error says on which try it came out."""
    service = Answers(AwayError("gone"), SegmentError("fetch", "bad_size", "no"), b"data")
    fetch, _ = fetcher(service)
    with pytest.raises(SegmentError) as caught:
        await fetch.fetch(REFERENCE, max_bytes=10)
    assert (caught.value.error, caught.value.attempts, service.left) == ("bad_size", 2, [b"data"])


async def test_an_object_that_is_not_there_may_become_visible() -> None:
    """A message can overtake its object."""
    missing = SegmentError("fetch", "not_found", "no")
    fetch, pauses = fetcher(Answers(missing, missing, b"data"))
    assert await fetch.fetch(REFERENCE, max_bytes=10) == b"data"
    assert pauses.told_s == [0.1, 0.2]


@pytest.mark.parametrize(("within_s", "told_s"), [(0.0, []), (0.5, [0.1, 0.2, 0.2]), (3.0, [0.1, 0.2, 0.4, 0.8, 1.5])])
async def test_an_object_that_stays_away_is_a_dead_letter_in_time(within_s: float, told_s: list[float]) -> None:
    """It is looked for one last time when the time is over."""
    fetch, pauses = fetcher(Answers(*[SegmentError("fetch", "not_found", "no")] * 9), visible_within_s=within_s)
    with pytest.raises(SegmentError, match="fetch/not_found") as caught:
        await fetch.fetch(REFERENCE, max_bytes=10)
    assert pauses.told_s == pytest.approx(told_s)
    assert caught.value.attempts == len(told_s) + 1


async def test_a_store_that_refuses_us_is_not_asked_again() -> None:
    """It would not change its mind in a second."""
    for error in (Held("refused"), RefusedUsError("refused")):
        service = Answers(error, b"data", alive=True)
        fetch, _ = fetcher(service)
        with pytest.raises(Held, match="refused"):
            await fetch.fetch(REFERENCE, max_bytes=10)
        assert service.left == [b"data"]


# --- whose fault it is ------------------------------------------------------------------------------------------------


async def test_an_object_that_fails_while_its_store_answers_does_not_hold_for_ever() -> None:
    """After as many rounds as a round has tries it is a dead letter."""
    fetch, pauses = fetcher(Answers(*[AwayError("it is odd")] * 9, alive=True))
    with pytest.raises(SegmentError, match=r"fetch/refused: s3://bucket/a.ts: it is odd, again and again") as caught:
        await fetch.fetch(REFERENCE, max_bytes=10)
    assert caught.value.attempts == 9
    assert pauses.told_s == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0]


async def test_an_object_that_fails_holds_once_its_store_gives_no_other_either() -> None:
    """What the store gave before is asked for again, and counts for more than a sign of life."""
    fetch, pauses = fetcher(Answers(b"data", *[AwayError("down")] * 3, others=AwayError("down"), alive=True))
    await fetch.fetch(OTHER, max_bytes=10)
    with pytest.raises(Held, match="tried 3 times"):
        await fetch.fetch(REFERENCE, max_bytes=10)
    assert pauses.told_s == [0.1, 0.2]


async def test_a_store_that_throttles_holds_whatever_else_it_gives() -> None:
    """It has nothing against the object."""
    fetch, _ = fetcher(Answers(b"data", *[ThrottledError("slow down")] * 3, alive=True))
    await fetch.fetch(OTHER, max_bytes=10)
    with pytest.raises(Held, match="slow down"):
        await fetch.fetch(REFERENCE, max_bytes=10)


async def test_an_object_that_is_refused_alone_is_a_dead_letter() -> None:
    """The store lets us in: it gives what it gave before."""
    fetch, _ = fetcher(Answers(b"data", RefusedUsError("403")))
    await fetch.fetch(OTHER, max_bytes=10)
    with pytest.raises(SegmentError, match="fetch/refused"):
        await fetch.fetch(REFERENCE, max_bytes=10)


@pytest.mark.parametrize(
    "others", [RefusedUsError("403"), AwayError("503"), Held("no"), SegmentError("fetch", "not_found", "no")]
)
async def test_a_store_that_refuses_all_holds(others: Exception) -> None:
    """Credentials are the operator's to mend; that the other one is gone says nothing of them."""
    fetch, _ = fetcher(Answers(b"data", RefusedUsError("our credentials"), others=others, alive=True))
    await fetch.fetch(OTHER, max_bytes=10)
    with pytest.raises(Held, match="our credentials"):
        await fetch.fetch(REFERENCE, max_bytes=10)


async def test_the_refused_object_itself_is_no_proof() -> None:
    """It was given once and is refused now: that may be all objects' fate."""
    fetch, _ = fetcher(Answers(b"data", RefusedUsError("403")))
    await fetch.fetch(REFERENCE, max_bytes=10)
    with pytest.raises(Held):
        await fetch.fetch(REFERENCE, max_bytes=10)


async def first_of(*tasks: asyncio.Task[bytes]) -> set[asyncio.Task[bytes]]:
    """The tasks that are done once none can go on by itself."""
    for _ in range(20):
        await asyncio.sleep(0)
    return {task for task in tasks if task.done()}


async def held(fetch: Fetcher, uri: str, done: asyncio.Event) -> bytes:
    """Fetch what is at most 8 bytes long and keep it in work until ``done``."""
    async with fetch.fetched(Reference(uri=uri), max_bytes=8) as data:
        await done.wait()
    return data


async def test_a_place_that_hangs_takes_no_other_place_s_room() -> None:
    """Two places share 16 bytes: one object of unknown size each, until it is here and known to be smaller."""
    made = Fetch(roots=("s3://hangs/", "s3://works/"), in_work_bytes=16)
    service = Answers(None, b"1234", b"5678", b"more")

    def opener(roots: Sequence[AllowedRoot], settings: object, mistakes: object) -> Answers:
        del settings, mistakes
        service.roots = roots
        return service

    fetch = Fetcher(made, openers={"s3": opener})
    done = asyncio.Event()
    uris = ["s3://hangs/1", "s3://hangs/2", "s3://works/1", "s3://works/2", "s3://works/3"]
    hanging, behind, one, two, three = [asyncio.create_task(held(fetch, uri, done)) for uri in uris]
    assert await first_of(hanging, behind, one, two, three) == set()
    assert service.left == [b"5678", b"more"]  # who is of unknown size has no room beside four bytes
    done.set()
    assert await asyncio.gather(one, two, three) == [b"1234", b"5678", b"more"]
    for task in (hanging, behind):
        task.cancel()
    await asyncio.wait({hanging, behind})


async def test_what_is_below_no_root_waits_for_no_room() -> None:
    """It is refused as ever."""
    fetch, _ = fetcher(Answers(SegmentError("fetch", "outside_roots", "below no root")))
    with pytest.raises(SegmentError, match="fetch/outside_roots"):
        async with fetch.fetched(Reference(uri="s3://other/a.ts"), max_bytes=8):
            pass


async def test_a_reference_that_says_it_is_too_large_asks_no_store() -> None:
    """Its own word is enough."""
    service = Answers(b"data")
    fetch, _ = fetcher(service)
    with pytest.raises(SegmentError, match="fetch/too_large"):
        await fetch.fetch(Reference(uri=REFERENCE.uri, size_bytes=11), max_bytes=10)
    assert service.left == [b"data"]


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("https://host/a.ts?sig=hush", "no root of this scheme"),
        ("gs://bucket/a.ts", "no root of this scheme is in fetch.roots"),
        ("ftp://user:hush@host/a.ts", "no root of this scheme"),
        ("javascript:hush()", "it is no URI with a scheme"),
        ("a.ts", "it is no URI with a scheme"),
        ("s3:\n//bucket/a.ts", "it is no URI with a scheme"),
    ],
)
async def test_a_scheme_that_is_not_served_is_outside_the_roots(uri: str, why: str) -> None:
    """The reason says which it is, on one line."""
    fetch, _ = fetcher(Answers())
    with pytest.raises(SegmentError) as caught:
        await fetch.fetch(Reference(uri=uri), max_bytes=10)
    assert caught.value.error == "outside_roots"
    assert why in caught.value.reason
    assert "\n" not in caught.value.reason


async def test_a_reason_is_of_bounded_length() -> None:
    """A publisher's long name does not fill a dead letter."""
    fetch, _ = fetcher(Answers(SegmentError("fetch", "not_found", "no")))
    with pytest.raises(SegmentError) as caught:
        await fetch.fetch(Reference(uri="gs://bucket/" + "a" * 100_000), max_bytes=10)
    assert len(caught.value.reason) < 300


async def test_an_initialisation_has_a_limit_of_its_own_and_is_kept() -> None:
    """At most 256 KiB; fetched once."""
    pinned = Reference(uri=REFERENCE.uri, etag="x")
    fetch, _ = fetcher(Answers(b"init"))
    assert [await fetch.fetch_init(pinned), await fetch.fetch_init(pinned)] == [b"init", b"init"]
    with pytest.raises(SegmentError, match="fetch/too_large"):
        await fetch.fetch_init(Reference(uri=REFERENCE.uri, size_bytes=256 * 1024 + 1))


async def test_closing_closes_the_services() -> None:
    """Threads and connections end with the fetcher."""
    service = Answers()
    await fetcher(service)[0].close()
    assert service.closed


# --- what the operator gets wrong -------------------------------------------------------------------------------------


def mistakes_of(*roots: Root | str) -> list[str]:
    """Return the lines of the UsageError that these roots lead to."""
    with pytest.raises(UsageError) as caught:
        Fetcher(Fetch(roots=roots))
    return str(caught.value).split("\n")


def test_mistakes_in_roots_and_credentials_are_told_together(tmp_path: Path) -> None:
    """No value of a credential is among them."""
    wrong = tmp_path / "wrong.toml"
    wrong.write_text('access_key_id = 5\nsecret = "hush"\n')
    broken = tmp_path / "broken.toml"
    broken.write_text('access_key_id = "hush\n')
    half = tmp_path / "half.toml"
    half.write_text('access_key_id = "hush"\n')
    account = tmp_path / "account.toml"
    account.write_text('account_name = "a"\naccount_key = "hush!!"\n')
    lines = mistakes_of(
        "s3://bucket",
        Root(uri="s3://b1/", credentials_file=str(wrong)),
        Root(uri="s3://b2/", credentials_file=str(broken)),
        Root(uri="s3://b3/", credentials_file=str(tmp_path / "none.toml")),
        Root(uri="s3://b4/", credentials_file=str(half)),
        Root(uri="az://b5/", credentials_file=str(account)),
    )
    assert [line.partition(":")[0] for line in lines] == [f"fetch.roots[{number}]" for number in (0, 1, 1, 2, 3, 4, 5)]
    assert "must end in a slash" in lines[0]
    assert "has a key that s3:// does not know" in lines[1]
    assert "access_key_id must be a string in quotes" in lines[2]
    assert "is not TOML" in lines[3]
    assert "can't be read: No such file or directory" in lines[4]
    assert "the store can't be opened: Generic S3 error: Missing SecretAccessKey" in lines[5]
    assert "the store can't be opened" in lines[6]
    assert "hush" not in "\n".join(lines)


def test_roots_of_every_store_open_without_a_connection(tmp_path: Path) -> None:
    """Google's and Azure's are only constructed here: no server of theirs is at hand."""
    public = tmp_path / "public.toml"
    public.write_text("skip_signature = true\n")
    azure = tmp_path / "azure.toml"
    azure.write_text('account_name = "a"\naccount_key = "aHVzaA=="\n')
    made = Fetcher(
        Fetch(
            roots=(
                Root(uri="s3://bucket/live/", region="eu-west-1", credentials_file=str(public)),
                Root(uri="gs://bucket/live/", credentials_file=str(public)),
                Root(uri="gs://other/", endpoint="http://127.0.0.1:4443", private=True, plaintext=True),
                Root(uri="az://container/live/", credentials_file=str(azure)),
                Root(uri="az://other/", endpoint="https://a.blob.example", credentials_file=str(azure)),
                "file:///media/",
            )
        )
    )
    assert "aHVzaA" not in repr(made) + repr(vars(made))


# --- a store that misbehaves ------------------------------------------------------------------------------------------


def s3_at(server: TestServer, tmp_path: Path, **settings: Any) -> Fetcher:
    """Return a fetcher whose S3 is the server."""
    public = tmp_path / "public.toml"
    public.write_text("skip_signature = true\n")
    root = Root(
        uri="s3://bucket/",
        endpoint=f"http://127.0.0.1:{server.port}",
        private=True,
        plaintext=True,
        credentials_file=str(public),
    )
    return Fetcher(Fetch(roots=(root,), **settings), sleep=Pauses())


async def served(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> TestServer:
    """Start a server that gives every request to the handler."""
    app = web.Application()
    app.router.add_get("/{anything:.*}", handler)
    server = TestServer(app)
    await server.start_server()
    return server


@pytest.mark.parametrize(
    ("status", "raised", "why"),
    [
        (400, SegmentError, "fetch/refused: s3://bucket/a.ts: the store answers 400"),
        (401, Held, "the store refuses us"),
        (403, Held, "the store refuses us"),
        (404, SegmentError, "fetch/not_found"),
        (412, SegmentError, "fetch/bad_digest"),
        (416, SegmentError, "fetch/bad_size"),
        (429, Held, "the store answers 429"),
        (500, Held, "the store answers 500"),
        (503, Held, "the store answers 503"),
    ],
)
async def test_each_answer_of_a_store_has_its_consequence(
    tmp_path: Path, status: int, raised: type[Exception], why: str
) -> None:
    """The segment's own fault dead-letters it; the store's holds. The store's text is not repeated."""

    async def handler(request: web.Request) -> web.Response:
        del request
        return web.Response(status=status, text="hush")

    async with await served(handler) as server:
        with pytest.raises(raised, match=why) as caught:
            await s3_at(server, tmp_path).fetch(REFERENCE, max_bytes=10)
    assert "hush" not in str(caught.value)


async def test_one_bad_object_in_a_store_is_a_dead_letter(tmp_path: Path) -> None:
    """Its 500 and its 403 are its own: the store still gives the other one, or lists what there is."""

    async def handler(request: web.Request) -> web.Response:
        status = {"500.ts": 500, "403.ts": 403}.get(request.path.rpartition("/")[2], 200)
        headers = {"Last-Modified": "Sun, 06 Nov 1994 08:49:37 GMT", "ETag": '"x"'}
        body = b"<ListBucketResult/>" if "list-type" in request.query else b"data"
        return web.Response(status=status, body=body, headers=headers)

    async with await served(handler) as server:
        fetch = s3_at(server, tmp_path)
        for name, raised in (("500.ts", SegmentError), ("403.ts", Held), ("a.ts", None), ("403.ts", SegmentError)):
            if raised is None:
                await fetch.fetch(REFERENCE, max_bytes=10)
                continue
            with pytest.raises(raised, match="refuse"):
                await fetch.fetch(Reference(uri=f"s3://bucket/{name}"), max_bytes=10)


async def test_a_key_service_that_refuses_is_not_the_segments_fault(tmp_path: Path) -> None:
    """Where the store's credentials come from another address, its 4xx is no word about the object."""

    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=400 if "token" in request.path else 500, text="hush")

    async with await served(handler) as server:
        key = tmp_path / "azure.toml"
        key.write_text('account_name = "a"\nclient_id = "c"\nclient_secret = "hush"\ntenant_id = "t"\n')
        root = Root(
            uri="az://bucket/",
            endpoint=f"http://127.0.0.1:{server.port}",
            private=True,
            plaintext=True,
            credentials_file=str(key),
        )
        opened: list[str] = []
        stores = open_stores(allowed_roots([root], ("az",), opened), Fetch(), opened)
        store = AzureStore(
            "bucket",
            account_name="a",
            client_id="c",
            client_secret="hush",
            tenant_id="t",
            authority_host=f"http://127.0.0.1:{server.port}",
            client_options={"allow_http": True},
            retry_config={"max_retries": 0},
        )
        stores._stores = [(stores._stores[0][0], store)]
        with pytest.raises(AwayError, match="credentials for the store can't be had"):
            await stores.read(Reference(uri="az://bucket/a.ts"), 10)


async def test_a_store_that_cannot_be_reached_is_away_and_its_error_holds_no_url(tmp_path: Path) -> None:
    """What obstore says of a request can carry a signature."""

    async def handler(request: web.Request) -> web.Response:
        del request
        return web.Response()

    server = await served(handler)
    fetch = s3_at(server, tmp_path, attempts=1)
    await server.close()
    with pytest.raises(Held) as caught:
        await fetch.fetch(REFERENCE, max_bytes=10)
    assert str(caught.value) == "s3://bucket/a.ts: the store can't be reached (tried 1 times)"


async def test_a_store_that_is_well_again_is_heard(tmp_path: Path) -> None:
    """A try that failed leaves nothing behind."""
    statuses = [503, 500, 200]

    async def handler(request: web.Request) -> web.Response:
        del request
        headers = {"Last-Modified": "Sun, 06 Nov 1994 08:49:37 GMT", "ETag": '"x"'}
        return web.Response(status=statuses.pop(0), body=b"data", headers=headers)

    async with await served(handler) as server:
        assert await s3_at(server, tmp_path).fetch(REFERENCE, max_bytes=10) == b"data"


async def test_a_body_that_breaks_off_is_not_taken_for_whole(tmp_path: Path) -> None:
    """Less than was announced is no object."""

    async def handler(request: web.Request) -> web.StreamResponse:
        headers = {"Last-Modified": "Sun, 06 Nov 1994 08:49:37 GMT", "ETag": '"x"', "Content-Length": "10"}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        await response.write(b"half")
        response.force_close()
        return response

    async with await served(handler) as server:
        with pytest.raises(Held, match="the store"):
            await s3_at(server, tmp_path, attempts=2).fetch(REFERENCE, max_bytes=10)


async def test_a_store_that_announces_too_much_is_not_read(tmp_path: Path) -> None:
    """The announced size is held against the limit before the first byte."""
    written: list[int] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        headers = {"Last-Modified": "Sun, 06 Nov 1994 08:49:37 GMT", "ETag": '"x"', "Content-Length": str(2**40)}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        for _ in range(64):
            await response.write(bytes(2**20))
            written.append(2**20)
        return response

    async with await served(handler) as server:
        with pytest.raises(SegmentError, match="fetch/too_large"):
            await s3_at(server, tmp_path).fetch(REFERENCE, max_bytes=10)
    assert sum(written) < 32 * 2**20

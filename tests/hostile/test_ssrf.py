"""Whoever may publish a reference tries to have the worker ask where it should not, or read what it should not."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from support.web_servers import HOST, Authority, Honeypot, Names, Objects, fetcher, plain, served, talking

from worker.errors import Held, SegmentError, UsageError
from worker.fetch import Fetcher
from worker.records import Reference
from worker.settings.tree import Fetch, Root

if TYPE_CHECKING:
    from pathlib import Path

MOST = 1024 * 1024

OTHER_HOSTS = [
    "http://127.0.0.1:{port}/live/a.ts",
    "http://localhost:{port}/live/a.ts",
    "http://127.1:{port}/live/a.ts",
    "http://127.0.1:{port}/live/a.ts",
    "http://0:{port}/live/a.ts",
    "http://0.0.0.0:{port}/live/a.ts",
    "http://2130706433:{port}/live/a.ts",
    "http://0x7f000001:{port}/live/a.ts",
    "http://0x7f.0.0.1:{port}/live/a.ts",
    "http://0x7f.1:{port}/live/a.ts",
    "http://017700000001:{port}/live/a.ts",
    "http://0177.0.0.1:{port}/live/a.ts",
    "http://0177.0.0.01:{port}/live/a.ts",
    "http://127.000.000.001:{port}/live/a.ts",
    "http://127.0.0.1.:{port}/live/a.ts",
    "http://[::1]:{port}/live/a.ts",
    "http://[::]:{port}/live/a.ts",
    "http://[0:0:0:0:0:0:0:1]:{port}/live/a.ts",
    "http://[::ffff:127.0.0.1]:{port}/live/a.ts",
    "http://[::ffff:7f00:1]:{port}/live/a.ts",
    "http://[::127.0.0.1]:{port}/live/a.ts",
    "http://[64:ff9b::127.0.0.1]:{port}/live/a.ts",
    "http://[2002:7f00:1::]:{port}/live/a.ts",
    "http://[::1%25lo]:{port}/live/a.ts",
    "http://[::1%lo]:{port}/live/a.ts",
    "http://[fe80::1%25lo]:{port}/live/a.ts",
    "http://[v1.127.0.0.1]:{port}/live/a.ts",
    "http://[127.0.0.1]:{port}/live/a.ts",
    # letters and dots that are others to IDNA: circled, ideographic, fullwidth, soft hyphen, Cyrillic
    "http://\u2460\u2461\u2466.0.0.1:{port}/live/a.ts",
    "http://127\u30020\u30020\u30021:{port}/live/a.ts",
    "http://127\uff0e0\uff0e0\uff0e1:{port}/live/a.ts",
    "http://127\uff610\uff610\uff611:{port}/live/a.ts",
    "http://\uff4cocalhost:{port}/live/a.ts",
    "http://local\u00adhost:{port}/live/a.ts",
    "http://media\u3002example:{port}/live/a.ts",
    "http://media.exampl\u0435:{port}/live/a.ts",
    "http://xn--media-example:{port}/live/a.ts",
    # users, and whose host is whose
    "http://media.example:{port}@127.0.0.1:{port}/live/a.ts",
    "http://media.example@127.0.0.1:{port}/live/a.ts",
    "http://media.example%40127.0.0.1:{port}/live/a.ts",
    "http://user:password@media.example:{port}/live/a.ts",
    "http://@media.example:{port}/live/a.ts",
    "http://media.example:{port}\\@127.0.0.1:{port}/live/a.ts",
    "http://127.0.0.1:{port}\\@media.example:{port}/live/a.ts",
    "http://127.0.0.1:{port}#@media.example:{port}/live/a.ts",
    "http://127.0.0.1:{port}?@media.example:{port}/live/a.ts",
    "http://127.0.0.1:{port};@media.example:{port}/live/a.ts",
    "http://127.0.0.1:{port},media.example:{port}/live/a.ts",
    "http://media.example:{port}:80/live/a.ts",
    # the root's name and more, or less
    "http://media.example.:{port}/live/a.ts",
    "http://media.example..:{port}/live/a.ts",
    "http://.media.example:{port}/live/a.ts",
    "http://media..example:{port}/live/a.ts",
    "http://media.example.127.0.0.1.nip.io:{port}/live/a.ts",
    "http://evil-media.example:{port}/live/a.ts",
    "http://media.example.evil.example:{port}/live/a.ts",
    "http://medi%61.example:{port}/live/a.ts",
    "http://media.example%00.evil.example:{port}/live/a.ts",
    "http://media.example%2f:{port}/live/a.ts",
    "http://-media.example:{port}/live/a.ts",
    # ports
    "http://media.example/live/a.ts",
    "http://media.example:/live/a.ts",
    "http://media.example:0{port}/live/a.ts",
    "http://media.example:+{port}/live/a.ts",
    "http://media.example:{port}.0/live/a.ts",
    "http://media.example:{port}%20/live/a.ts",
    "http://media.example:80/live/a.ts",
    "http://media.example:65536/live/a.ts",
    "http://media.example:99999999999/live/a.ts",
    "http://media.example:\u0661\u0662/live/a.ts",
    # schemes
    "https://media.example:{port}/live/a.ts",
    "ftp://media.example:{port}/live/a.ts",
    "gopher://127.0.0.1:{port}/live/a.ts",
    "file:///etc/passwd",
    "file://media.example:{port}/live/a.ts",
    "data:text/plain,hush",
    "jar:http://media.example:{port}/live/a.ts!/",
    "unix:///live/a.ts",
    "ws://media.example:{port}/live/a.ts",
    "url:http://media.example:{port}/live/a.ts",
    "view-source:http://media.example:{port}/live/a.ts",
    "//media.example:{port}/live/a.ts",
    "http:media.example:{port}/live/a.ts",
    "http:/media.example:{port}/live/a.ts",
    "http:///media.example:{port}/live/a.ts",
    "http:\\\\media.example:{port}\\live\\a.ts",
    "http;//media.example:{port}/live/a.ts",
    # white space and control characters, which some parsers drop
    " http://media.example:{port}/live/a.ts",
    "http://media.example:{port}/live/a.ts ",
    "ht\ttp://media.example:{port}/live/a.ts",
    "http://medi\ta.example:{port}/live/a.ts",
    "http://media.example:{port}/li\nve/a.ts",
    "http://media.example:{port}/live/a.ts\r\nHost: evil.example",
    "http://media.example:{port}/live/a.ts%0d%0aHost:%20evil.example",
    "http://media.example:{port}/live/a.ts?a\r\nHost: evil.example",
    "http://media.example:{port}/live/a.ts? HTTP/1.1",
    "http://media.example:{port}/live/\x00a.ts",
    "http://media.example:{port}/live/\u0085\ud800",
    "http:// media.example:{port}/live/a.ts",
    "http://media.example :{port}/live/a.ts",
]
"""References to anything but what is below the root, each as one that some parser takes for what is."""

OTHER_PATHS = [
    "",
    "/",
    "/live",
    "/live/",
    "/secret",
    "/LIVE/a.ts",
    "/liver/a.ts",
    "/live/../secret",
    "/live/./../secret",
    "/live/x/../../secret",
    "/live//../secret",
    "/live/..//secret",
    "/live/..",
    "/live/%2e%2e/secret",
    "/live/%2E%2E/secret",
    "/live/.%2e/secret",
    "/live/%2e./secret",
    "/live/..%2fsecret",
    "/live%2f..%2fsecret",
    "/live/%2e%2e%2fsecret",
    "/live/%252e%252e/secret",
    "/live/%252e%252e%252fsecret",
    "/live/%25252e%25252e/secret",
    "/live/..%252fsecret",
    "/live/x%252f..%252f..%252fsecret",
    "/live/..%255csecret",
    "/live/..\\secret",
    "/live/..%5csecret",
    "/live\\..\\secret",
    "/live/..;/secret",
    "/live/..;a=b/secret",
    "/live/%2e%2e;/secret",
    "/live/..%3b/secret",
    "/live/..%00/secret",
    "/live/..%0a/secret",
    "/live/..%c0%afsecret",
    "/live/%c0%ae%c0%ae/secret",
    "/live/%uff0e%uff0e/../../secret",
    "/live/../../../../../../secret",
    "/live/a.ts/../../secret",
    "/live/a.ts#/../secret",
    "/live/../secret?/live/a.ts",
    "/./live/../secret",
    "//live/../secret",
    "/%6cive/../secret",
]


@pytest.mark.parametrize("number", range(len(OTHER_HOSTS)))
async def test_no_spelling_reaches_another_host_than_the_roots(number: int) -> None:
    """Nothing is looked up, nothing is connected: it is outside the roots before that."""
    pot, names = Honeypot(), Names(["127.0.0.1"])
    async with talking(pot) as port:
        made = fetcher(plain(port), Root(uri="https://media.example/live/"), names=names)
        with pytest.raises(SegmentError) as caught:
            await made.fetch(Reference(uri=OTHER_HOSTS[number].format(port=port)), max_bytes=MOST)
        await made.close()
    assert caught.value.error == "outside_roots"
    assert (pot.connections, names.asked) == (0, [])
    assert "\n" not in caught.value.reason
    assert "password" not in caught.value.reason


@pytest.mark.parametrize("path", OTHER_PATHS)
async def test_no_spelling_reaches_another_path_than_the_roots(path: str) -> None:
    """However often who serves it decodes. What is asked for at all lies below the root."""
    objects = Objects()
    objects.held["/secret"] = b"hush"
    async with served(objects) as port:
        made = fetcher(plain(port))
        with pytest.raises(SegmentError) as caught:
            await made.fetch(Reference(uri=f"http://{HOST}:{port}{path}"), max_bytes=MOST)
        await made.close()
    assert caught.value.error == "outside_roots"
    assert objects.requests == []


@pytest.mark.parametrize(
    "path",
    ["/live/x/../a.ts", "/live//a.ts", "/%6c%69ve/a.ts", "/live/./a.ts", "//live/a.ts", "/live%2Fa.ts", "/live/a.ts"],
)
async def test_what_is_checked_is_what_is_asked_for(path: str) -> None:
    """A path that lies below the root in its one spelling is asked for in that, never as it came."""
    objects = Objects()
    objects.held["/live/a.ts"] = b"data"
    async with served(objects) as port:
        made = fetcher(plain(port))
        assert await made.fetch(Reference(uri=f"HTTP://{HOST.upper()}:{port}{path}"), max_bytes=MOST) == b"data"
        await made.close()
    assert [(each.raw_path, each.headers["Host"]) for each in objects.requests] == [("/live/a.ts", f"{HOST}:{port}")]


@pytest.mark.parametrize(
    "answer",
    [
        ["127.0.0.1"],
        ["1.1.1.1", "127.0.0.1"],
        ["127.0.0.1", "1.1.1.1"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["::127.0.0.1"],
        ["2002:7f00:1::"],
        ["0.0.0.0"],  # noqa: S104 (nothing listens there)
        ["::"],
        ["169.254.169.254"],
        ["fd00:ec2::254"],
        ["100.64.0.1"],
        ["198.18.0.1"],
        ["fe80::1%lo"],
        ["127.1"],
        ["0x7f000001"],
        ["2130706433"],
        ["localhost"],
    ],
    ids=",".join,
)
async def test_a_name_of_a_forbidden_address_is_not_connected_to(answer: list[str]) -> None:
    """It holds: the segment is not to blame, and whoever runs this must know."""
    pot = Honeypot()
    async with talking(pot) as port:
        made = fetcher(Root(uri=f"http://{HOST}:{port}/live/", plaintext=True), names=Names(answer))
        with pytest.raises(Held, match="address"):
            await made.fetch(Reference(uri=f"http://{HOST}:{port}/live/a.ts"), max_bytes=MOST)
        await made.close()
    assert pot.connections == 0


async def test_a_name_that_is_rebound_is_checked_at_every_connection() -> None:
    """One look-up a connection, and the connection to what was looked up; the third answer is metadata's."""
    objects, names = Objects(), Names(["127.0.0.1"], ["127.0.0.1"], ["169.254.169.254"], ["127.0.0.1", "0.0.0.0"])  # noqa: S104
    objects.held["/live/a.ts"] = b"data"

    async def closing(request: web.Request) -> web.Response:
        response = await objects(request)
        response.force_close()
        return response

    async with served(closing) as port:
        made = fetcher(plain(port), names=names)
        reference = Reference(uri=f"http://{HOST}:{port}/live/a.ts")
        for _ in range(2):
            assert await made.fetch(reference, max_bytes=MOST) == b"data"
        for _ in range(2):
            with pytest.raises(Held, match="an address that nothing may be fetched from"):
                await made.fetch(reference, max_bytes=MOST)
        await made.close()
    assert len(objects.requests) == 2
    assert names.asked == [HOST] * 4


async def test_private_opens_one_roots_host_only() -> None:
    """The same address under another root's name stays shut, and a connection is not shared with it."""
    objects = Objects()
    objects.held["/live/a.ts"] = b"data"
    async with served(objects) as port:
        shut = Root(uri=f"http://other.example:{port}/live/", plaintext=True)
        beside = Root(uri=f"http://{HOST}:{port}/beside/", plaintext=True)
        made = fetcher(plain(port), shut, beside)
        assert await made.fetch(Reference(uri=f"http://{HOST}:{port}/live/a.ts"), max_bytes=MOST) == b"data"
        for uri in (f"http://other.example:{port}/live/a.ts", f"http://{HOST}:{port}/beside/a.ts"):
            with pytest.raises(Held, match="needs private = true"):
                await made.fetch(Reference(uri=uri), max_bytes=MOST)
        await made.close()
    assert len(objects.requests) == 1


@pytest.mark.parametrize("status", [300, 301, 302, 303, 305, 307, 308, 399, 200, 201])
async def test_nobody_is_sent_on(status: int) -> None:
    """To metadata, to the honeypot, to the same host's other paths: no redirect of any kind is followed."""
    pot, asked = Honeypot(), list[str]()
    async with talking(pot) as trap:
        targets = [f"http://127.0.0.1:{trap}/", "http://169.254.169.254/latest/", "/secret", f"//127.0.0.1:{trap}/"]

        async def handler(request: web.Request) -> web.Response:
            asked.append(request.raw_path)
            to = targets[len(asked) % len(targets)]
            headers = {"Location": to, "Refresh": f"0; url={to}", "Content-Location": to, "Alt-Svc": f'h2=":{trap}"'}
            return web.Response(status=status, headers=headers, body=b"data")

        async with served(handler) as port:
            made = fetcher(plain(port))
            for _ in targets:
                reference = Reference(uri=f"http://{HOST}:{port}/live/a.ts")
                if status == 200:
                    assert await made.fetch(reference, max_bytes=MOST) == b"data"
                else:
                    with pytest.raises(SegmentError, match="fetch/refused"):
                        await made.fetch(reference, max_bytes=MOST)
            await made.close()
    assert pot.connections == 0
    assert asked == ["/live/a.ts"] * len(targets)


async def test_the_environment_sends_nobody_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No proxy, and no password from a ``.netrc``."""
    objects, pot = Objects(), Honeypot()
    objects.held["/live/a.ts"] = b"data"
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine {HOST} login user password hush\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    async with talking(pot) as trap, served(objects) as port:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{trap}")
        made = fetcher(plain(port))
        assert await made.fetch(Reference(uri=f"http://{HOST}:{port}/live/a.ts"), max_bytes=MOST) == b"data"
        await made.close()
    assert pot.connections == 0
    assert "Authorization" not in objects.requests[0].headers


@pytest.mark.parametrize(
    "host",
    [
        "127.1",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "[::1%25lo]",
        "[::ffff:169.254.169.254]",
        "169.254.169.254",
        "0.0.0.0",  # noqa: S104 (nothing listens there)
        "media.example.",
        "m\u00e9dia.example",
    ],
)
def test_a_root_of_an_unclear_or_forbidden_host_is_a_mistake_at_the_start(host: str) -> None:
    """Even with ``private``."""
    with pytest.raises(UsageError, match=r"fetch\.roots\[0\]"):
        fetcher(Root(uri=f"https://{host}/live/", private=True))


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "10.0.0.1", "localhost", "[::ffff:10.0.0.1]"])
def test_a_root_of_a_private_host_must_say_so(host: str) -> None:
    """An address can be told at the start; a name's, when it is looked up."""
    with pytest.raises(UsageError, match="needs private = true"):
        fetcher(f"https://{host}/live/")
    fetcher(Root(uri=f"https://{host}/live/", private=True))


async def test_a_number_as_the_roots_host_is_connected_to_and_held_against_the_certificate() -> None:
    """No number is looked up, so the gate at the socket is what checks it."""
    authority, objects = Authority(), Objects()
    objects.held["/live/a.ts"] = b"data"
    async with served(objects, authority.server("127.0.0.1")) as port:
        made = fetcher(Root(uri=f"https://127.0.0.1:{port}/live/", private=True), tls=authority.client())
        assert await made.fetch(Reference(uri=f"https://127.0.0.1:{port}/live/a.ts"), max_bytes=MOST) == b"data"
        await made.close()


# --- files ------------------------------------------------------------------------------------------------------------


async def test_no_race_of_links_leads_out_of_the_folder(tmp_path: Path) -> None:
    """Somebody swaps folders, links and files below the root as quickly as they can while it is read."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    for folder in (root / "real", outside):
        folder.mkdir(parents=True)
    (root / "real" / "a.ts").write_bytes(b"data")
    (outside / "a.ts").write_bytes(b"hush")
    (root / "to-real").symlink_to("real")
    (root / "to-outside").symlink_to(outside)
    over, swaps = threading.Event(), [0]

    def swap() -> None:
        while not over.is_set():
            (root / "x").symlink_to("to-outside" if swaps[0] % 2 else "to-real")
            (root / "y").symlink_to(outside / "a.ts" if swaps[0] % 2 else root / "real" / "a.ts")
            (root / "x").rename(root / "folder")
            (root / "y").rename(root / "file.ts")
            swaps[0] += 1

    racing = threading.Thread(target=swap)
    racing.start()
    made = Fetcher(Fetch(roots=(f"file://{root}/",), visible_within_s=0.0, attempts=1))
    got: dict[bytes | str, int] = {}
    try:
        for number in range(600):
            name = "folder/a.ts" if number % 2 else "file.ts"
            try:
                answer: bytes | str = await made.fetch(Reference(uri=f"file://{root}/{name}"), max_bytes=MOST)
            except SegmentError as error:
                answer = error.error
            got[answer] = got.get(answer, 0) + 1
    finally:
        over.set()
        racing.join()
        await made.close()
    assert swaps[0] > 10
    assert set(got) <= {b"data", "outside_roots", "not_found"}
    assert got.keys() >= {b"data", "outside_roots"}  # it was a race


async def test_a_link_into_proc_or_dev_is_outside(tmp_path: Path) -> None:
    """What a process is, its environment among it, is no segment."""
    for number, to in enumerate(
        ("/proc/self/environ", "/proc/self/root/etc/passwd", "/proc/self/cwd", "/dev/stdin", "/dev/zero", "/dev/fd/0")
    ):
        (tmp_path / f"link{number}").symlink_to(to)
        for name in (f"link{number}", f"link{number}/a"):
            made = Fetcher(Fetch(roots=(f"file://{tmp_path}/",), visible_within_s=0.0))
            with pytest.raises(SegmentError, match="fetch/outside_roots"):
                await made.fetch(Reference(uri=f"file://{tmp_path}/{name}"), max_bytes=MOST)
            await made.close()


@pytest.mark.parametrize("number", range(len(OTHER_PATHS)))
async def test_no_spelling_of_a_path_leads_out_of_the_folder(tmp_path: Path, number: int) -> None:
    """The web's tricks on a folder: those that mean nothing to a file system name no file."""
    (tmp_path / "live").mkdir()
    (tmp_path / "secret").write_bytes(b"hush")
    made = Fetcher(Fetch(roots=(f"file://{tmp_path}/live/",), visible_within_s=0.0))
    with pytest.raises(SegmentError, match=r"fetch/(outside_roots|not_found)"):
        await made.fetch(Reference(uri=f"file://{tmp_path}{OTHER_PATHS[number]}"), max_bytes=MOST)
    await made.close()

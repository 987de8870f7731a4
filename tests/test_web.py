"""The worker's HTTP answers: probes, metrics, and who may see the console."""

from __future__ import annotations

import asyncio
import os
import re
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest
from support.consoles import Feels, Stage

from worker.errors import Stopped
from worker.settings import tree
from worker.telemetry import Telemetry
from worker.web import Web
from worker.web.access import SESSION_S, Access, why_off

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TOKEN = "correct horse battery staple"
NOON_S = 1_800_000_000.0
JSON_NULL = b"null"


class Blank:
    """A console with nothing on it."""

    def __init__(self, part: bytes = JSON_NULL) -> None:
        self.part = part
        self.prefixes: list[str] = []

    def parts(self, prefix: str) -> dict[str, bytes]:
        self.prefixes.append(prefix)
        return {"now": self.part}


@asynccontextmanager
async def served(
    health: Feels | None = None,
    telemetry: Telemetry | None = None,
    settings: tree.Web | None = None,
    shown: Blank | None = None,
) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of a running server."""
    server = Web(settings or tree.Web(port=0), telemetry or Telemetry(), health or Feels(), shown or Blank())
    await server.start()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as client:
            yield client
    finally:
        await server.stop()


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    """A file with the console's token, with a line feed at its end as files have."""
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    return file


# --- probes and metrics ---


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
async def test_a_well_worker_says_ok(path: str) -> None:
    """Both probes answer 200 when nothing is wrong."""
    async with served() as client, client.get(path) as answer:
        assert (answer.status, await answer.text()) == (200, "ok\n")


async def test_a_probe_says_in_a_line_why_not() -> None:
    """Each probe asks its own question; a reason is a 503 with that line."""
    async with served(Feels(idle="restoring partitions 3")) as client:
        async with client.get("/readyz") as answer:
            assert (answer.status, await answer.text()) == (503, "restoring partitions 3\n")
        async with client.get("/livez") as answer:
            assert answer.status == 200


async def test_health_is_asked_at_each_request() -> None:
    """A worker that gets sick after the start is seen to be sick."""
    health = Feels()
    async with served(health) as client:
        health.sick = "nothing was polled for 61 s"
        async with client.get("/livez") as answer:
            assert answer.status == 503


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [("", "text/plain"), ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text")],
)
async def test_metrics_come_in_the_format_that_was_asked_for(accept: str, content_type: str) -> None:
    """Prometheus' own text by default, OpenMetrics for who accepts it."""
    telemetry = Telemetry()
    telemetry.consumed(10)
    async with served(None, telemetry) as client, client.get("/metrics", headers={"Accept": accept}) as answer:
        text = await answer.text()
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith(content_type)
        assert "framewatch_consumed_total 1.0" in text
        assert text.endswith("# EOF\n") == (content_type == "application/openmetrics-text")


@pytest.mark.parametrize("path", ["/metrics/x", "/livez/../etc", "/console/index.html", "/console/../console.js"])
async def test_nothing_else_is_answered(path: str) -> None:
    """Other paths are not found; the page's files are the ones that are named, not what lies in a folder."""
    async with served() as client, client.get(path) as answer:
        assert answer.status == 404


async def test_nothing_can_be_written() -> None:
    """Other methods than GET and HEAD are refused."""
    async with served() as client, client.post("/metrics", data=b"x") as answer:
        assert answer.status == 405


async def test_long_headers_addresses_and_logins_are_refused() -> None:
    """A header, an address or a login beyond its bound is a bad request, not memory."""
    async with served() as client:
        async with client.get("/livez", headers={"X": "x" * 9000}) as answer:
            assert answer.status == 400
        async with client.get("/livez?" + "x" * 9000) as answer:
            assert answer.status == 400
        async with client.post("/console/login", data={"token": "x" * 9000}) as answer:
            assert answer.status == 413


async def test_a_taken_port_is_one_line() -> None:
    """A port that somebody else has ends the worker with a line that names the settings."""
    first = Web(tree.Web(port=0), Telemetry(), Feels())
    await first.start()
    assert first.port is not None
    try:
        with pytest.raises(Stopped, match=r"web\.host, web\.port: can't listen on 127\.0\.0\.1:\d+"):
            await Web(tree.Web(port=first.port), Telemetry(), Feels()).start()
    finally:
        await first.stop()


# --- the console: what is sent ---


async def event(answer: aiohttp.ClientResponse) -> tuple[str, str]:
    """The next event's name and data."""
    lines: dict[str, str] = {}
    while not {"event", "data"} <= lines.keys():
        key, _, value = (await answer.content.readline()).decode().rstrip("\n").partition(": ")
        lines[key] = value
    return lines["event"], lines["data"]


async def test_events_tell_each_part_once_until_it_changes() -> None:
    """A part that is as it was is not sent again."""
    stage = Stage()
    server = Web(tree.Web(port=0), Telemetry(), stage.health, stage.console())
    await server.start()
    try:
        async with (
            aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as client,
            client.get("/console/events") as answer,
        ):
            assert answer.headers["Content-Type"] == "text/event-stream"
            first = [(await event(answer))[0] for _ in range(5)]
            stage.later(1)
            then = [(await event(answer))[0]]
            stage.known("re-broadcast")
            stage.later(1)
            then += [(await event(answer))[0] for _ in range(4)]
    finally:
        await server.stop()
    assert sorted(first) == ["about", "incidents", "now", "outcomes", "streams"]
    assert then == ["now", "streams", "incidents", "outcomes", "now"]


async def test_a_search_is_the_client_s_own_and_bounded() -> None:
    """What is looked for reaches the console, at most 256 characters of it."""
    shown = Blank()
    async with served(shown=shown) as client:
        async with client.get("/console/events", params={"prefix": "é" * 300}) as answer:
            await event(answer)
        async with client.get("/console/events") as answer:
            await event(answer)
    assert shown.prefixes[0] == "é" * 256
    assert shown.prefixes[-1] == ""


async def test_more_clients_than_the_bound_are_told_so_and_a_place_is_free_again_when_one_leaves() -> None:
    """Sixteen watch; the next one gets 503."""
    async with served() as client:
        watching = [await client.get("/console/events") for _ in range(16)]
        async with client.get("/console/events") as answer:
            assert (answer.status, await answer.text()) == (503, "16 consoles are open already.\n")
        for one in watching:
            one.close()
        async with asyncio.timeout(10):
            while await status_of(client, "/console/events") != 200:
                await asyncio.sleep(0.1)


async def status_of(client: aiohttp.ClientSession, path: str) -> int:
    """How a request is answered."""
    async with client.get(path) as answer:
        return answer.status


@pytest.mark.parametrize(
    ("site", "status"), [("same-origin", 200), ("none", 200), ("cross-site", 403), ("same-site", 403)]
)
async def test_another_site_s_page_takes_no_place(site: str, status: int) -> None:
    """A browser says whose page asks."""
    async with served() as client, client.get("/console/events", headers={"Sec-Fetch-Site": site}) as answer:
        assert answer.status == status


async def test_the_server_ends_at_once_though_consoles_are_open() -> None:
    """A console that watches does not hold up the worker's end."""
    server = Web(tree.Web(port=0), Telemetry(), Feels(), Blank())
    await server.start()
    async with (
        aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as client,
        client.get("/console/events") as answer,
    ):
        await event(answer)
        await server.stop()
        assert await answer.content.read() in (b"", b"\n")


@pytest.mark.parametrize("path", ["/", "/console/console.js", "/console/events"])
async def test_nothing_from_elsewhere_runs_frames_or_is_kept(path: str) -> None:
    """The page's files come from here; no inline script, no frame around it, nothing in a cache."""
    async with served() as client, client.get(path) as answer:
        policy = dict(part.strip().partition(" ")[::2] for part in answer.headers["Content-Security-Policy"].split(";"))
        assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert not re.search(r"unsafe|http|\*|data:", answer.headers["Content-Security-Policy"])
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("name", ["index.html", "login.html"])
def test_the_pages_name_nothing_outside(name: str) -> None:
    """Neither page has an address, a script or a style of its own in it."""
    text = (Path(__file__).parents[1] / "worker" / "web" / "static" / name).read_text()
    assert not re.search(r"https?:|//[a-z]|<style|style=| on[a-z]+=", text)
    assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", text))


# --- the console: who may ---


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:9999", "LOCALHOST", "[::1]:8080"])
async def test_on_loopback_whoever_is_on_the_machine_may(host: str) -> None:
    """By a loopback name and whatever port it was forwarded to."""
    async with served() as client, client.get("/", headers={"Host": host}) as answer:
        assert answer.status == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "", "[evil]"])
@pytest.mark.parametrize("path", ["/", "/console/events"])
async def test_a_page_elsewhere_whose_name_was_bent_to_this_machine_may_not(host: str, path: str) -> None:
    """DNS rebinding: the browser names the other host. The probes don't mind."""
    async with served() as client:
        async with client.get(path, headers={"Host": host}) as answer:
            assert answer.status == 421
        async with client.get("/livez", headers={"Host": host}) as answer:
            assert answer.status == 200


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (tree.Web(port=0, host="0.0.0.0"), "web.token_file"),  # noqa: S104 - what is tested is that nothing is shown
        (tree.Web(port=0, console=False), "web.console is false"),
    ],
)
async def test_without_a_lock_there_is_no_console_where_others_reach_it(settings: tree.Web, says: str) -> None:
    """It says how to turn it on; probes and metrics are open all the same."""
    async with served(settings=settings) as client:
        async with client.get("/") as answer:
            assert answer.status == 404
            assert says in await answer.text()
        for path in ("/console/events", "/console/console.js"):
            async with client.get(path) as answer:
                assert answer.status == 404
        for path in ("/livez", "/readyz", "/metrics"):
            async with client.get(path) as answer:
                assert answer.status == 200


async def test_a_token_opens_it_as_a_bearer(token_file: Path) -> None:
    """The right token may, a wrong one gets the login page."""
    exposed = tree.Web(port=0, host="0.0.0.0", token_file=str(token_file))  # noqa: S104 - the lock is what is tested
    async with served(settings=exposed) as client:
        for given, status in ((f"Bearer {TOKEN}", 200), ("Bearer wrong", 401), (f"Basic {TOKEN}", 401), ("", 401)):
            async with client.get("/console/events", headers={"Authorization": given}) as answer:
                assert answer.status == status
        async with client.get("/") as answer:
            assert 'action="/console/login"' in await answer.text()
            assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_a_login_gives_a_cookie_that_no_script_and_no_other_site_can_use(token_file: Path) -> None:
    """HttpOnly, SameSite=Strict, and Secure where the browser came by https."""
    async with served(settings=tree.Web(port=0, token_file=str(token_file))) as client:
        async with client.post("/console/login", data={"token": "wrong"}, allow_redirects=False) as answer:
            assert answer.status == 403
            assert "Set-Cookie" not in answer.headers
        for origin, secure in (("https://console.example", True), ("http://127.0.0.1", False)):
            login = client.post(
                "/console/login", data={"token": TOKEN}, headers={"Origin": origin}, allow_redirects=False
            )
            async with login as answer:
                cookie = answer.headers["Set-Cookie"]
                assert (answer.status, answer.headers["Location"]) == (303, "/")
            assert "HttpOnly" in cookie
            assert "SameSite=Strict" in cookie
            assert ("Secure" in cookie) == secure
            assert TOKEN[:7] not in cookie
            async with client.get("/", headers={"Cookie": cookie.partition(";")[0]}) as answer:
                assert answer.status == 200


def _allows(access: Access, **cookies: str) -> bool:
    return access.answer({"Host": "localhost"}, cookies, "127.0.0.1", NOON_S) == "may"


def test_a_session_ends_by_itself_and_with_its_token(token_file: Path) -> None:
    """A cookie holds for twelve hours; one that was prolonged by hand or made with an old token does not."""
    access = Access(tree.Web(token_file=str(token_file)))
    session = access.session(TOKEN, NOON_S) or ""
    assert _allows(access, framewatch_console=session)
    old = access.session(TOKEN, NOON_S - SESSION_S) or ""
    until = session.partition(".")[0]
    assert not _allows(access, framewatch_console=old)
    for forged in (
        f"{until}.{old.partition('.')[2]}",
        until,
        ".",
        "",
        f"{until}.",
        f"\N{FULLWIDTH DIGIT NINE}{session}",
        "9" * 5000,
    ):
        assert not _allows(access, framewatch_console=forged)
    token_file.write_text("another token, also long")
    assert not _allows(access, framewatch_console=session)


@pytest.mark.parametrize(
    ("header", "remote", "answer"),
    [
        ("ada", "10.1.2.3", "may"),
        ("ada", "::ffff:10.1.2.3", "may"),
        ("", "10.1.2.3", "proxy"),
        ("ada", "10.2.0.1", "proxy"),
        ("ada", "127.0.0.1", "proxy"),
        ("ada", "fe80::1%eth0", "proxy"),
        ("ada", None, "proxy"),
    ],
)
def test_a_proxy_s_header_counts_from_the_proxy_only(header: str, remote: str | None, answer: str) -> None:
    """Who reaches the port past the proxy can write any header."""
    exposed = tree.Web(host="0.0.0.0", proxy_header="X-Forwarded-User", proxy_networks=("10.1.0.0/16",))  # noqa: S104 - the lock is what is tested
    headers = {"X-Forwarded-User": header, "Host": "console.example"}
    assert Access(exposed).answer(headers, {}, remote, NOON_S) == answer


@pytest.mark.parametrize(
    ("content", "says"), [(None, "can't be read"), ("", "0 characters"), ("short", "5 characters")]
)
def test_a_token_that_could_be_guessed_or_is_not_there_ends_the_start(tmp_path: Path, content: str, says: str) -> None:
    """In a line that names the setting, and not the token."""
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content)
    with pytest.raises(Stopped, match=rf"web\.token_file: .*{says}") as stopped:
        Access(tree.Web(token_file=str(file)))
    assert "short" not in str(stopped.value)


async def test_a_token_that_is_gone_closes_the_console_and_nothing_else(token_file: Path) -> None:
    """A file that was taken away opens nothing; probes go on."""
    async with served(settings=tree.Web(port=0, token_file=str(token_file))) as client:
        os.unlink(token_file)  # noqa: PTH108 - a test may block
        async with client.get("/", headers={"Authorization": f"Bearer {TOKEN}"}) as answer:
            assert answer.status == 503
        async with client.get("/livez") as answer:
            assert answer.status == 200


@pytest.mark.parametrize(
    ("host", "off"), [("127.0.0.1", False), ("localhost", False), ("::1", False), ("10.0.0.7", True), ("kafka", True)]
)
def test_loopback_is_what_only_this_machine_reaches(host: str, *, off: bool) -> None:
    """A name that is not localhost may be anything."""
    assert (why_off(tree.Web(host=host)) is not None) == off

"""The console's page in a real browser: what people see, hear and press."""

from __future__ import annotations

import os
import re
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from support.assessments import a_look
from support.chromium import launched
from support.consoles import Part, Stage, serving

from worker.settings import tree

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, Page

    from worker.web import Web

pytestmark = pytest.mark.asyncio(loop_scope="module")

IMAGES = Path(__file__).parents[2] / "docs" / "images"
TOKEN = "correct horse battery staple"
HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(2)</script>",
    '" onmouseover="alert(3)',
    "javascript:alert(4)",
    "\u202egnp.exe",
    "a" * 256,
    "{{7*7}}${7*7}",
    "\u202edouble",
    "\u202ddouble",
    "data: x\n\nevent: now\ndata: null",
)
SEEN_WITHIN_MS = 15_000


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    """One browser for all tests of this file."""
    async with launched() as browser:
        yield browser


@asynccontextmanager
async def opened(
    browser: Browser, server: Web, *, width: int = 1280, height: int = 900, path: str = "/", dark: bool = False
) -> AsyncIterator[Page]:
    """A page in a window of its own. Nothing in it may fail, be refused by its policy, or open a dialog."""
    wrong: list[str] = []
    context = await browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light", reduced_motion="reduce"
    )
    context.set_default_timeout(SEEN_WITHIN_MS)
    page = await context.new_page()
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: wrong.append(f"dialog: {dialog.message}"))
    page.on("console", lambda message: wrong.append(message.text) if "policy" in message.text.lower() else None)
    try:
        await page.goto(f"http://127.0.0.1:{server.port}{path}")
        yield page
    finally:
        await context.close()
    assert wrong == []


async def is_live(page: Page) -> None:
    """Waits until the page says that it is."""
    await page.wait_for_selector('#link[data-state="live"]')


async def until(page: Page, selector: str, text: str) -> None:
    """Waits until an element says something."""
    await page.locator(selector).filter(has_text=text).first.wait_for()


def evening() -> Stage:
    """An ordinary evening: some streams with a risk, two incidents, an odd segment here and there."""
    stage = Stage()
    stage.intake.partitions = {number: Part(load=number % 2) for number in range(3, 6)}
    stage.intake.lags = {3: 4, 4: 0, 5: 11}
    stage.calm(f"channel-{n:03}" for n in range(60))
    for n in range(40):
        stage.later(5)
        stage.play("studio-12", looks=(a_look(0.0, probability=0.9 if n in (9, 10, 20) else 0.004),))
        stage.play("garden-cam", looks=(a_look(0.0, probability=0.85 if n % 11 > 7 else 0.01),))
    stage.risky("studio-12", 9, 0.9)
    stage.risky("night-talk", 5, 0.8)
    stage.risky("garden-cam", 2, 0.8)
    stage.known("re-broadcast/7")
    for n in range(9):
        stage.play(f"channel-{n:03}", looks=(), outcome="skipped", why="repeat")
    stage.play("radio-with-logo", looks=(), outcome="skipped", why="no_keyframe")
    stage.dead("broken-encoder")
    stage.calm(f"channel-{n:03}" for n in range(60))
    return stage


# --- content and updates ---


async def test_the_page_shows_what_happens_and_goes_on_showing_it(browser: Browser) -> None:
    """Streams by risk, incidents in words, outcomes, versions; what changes comes without a reload."""
    stage = evening()
    async with serving(stage) as server, opened(browser, server) as page:
        await is_live(page)
        await until(page, "#incident-list .incident:first-child .why", "a match with a block list opens at once")
        assert await page.locator("#incident-list bdi").all_inner_texts() == ["re-broadcast/7", "studio-12"]
        risks = [float(text) for text in await page.locator(".risk").all_inner_texts()]
        assert risks == sorted(risks, reverse=True)
        assert len(risks) == 50
        assert await page.locator("#health").get_by_text("15 events").count() == 1
        await until(page, "#outcome-rows", "was here before, the very same bytes")
        await until(page, "#about", "demo 1.0.0")
        stage.known("another")
        stage.later(1)
        await until(page, "#incident-list bdi", "another")
        await until(page, "#health", "2 critical, 1 high")
        stage.health.idle = "restoring partitions 3"
        await until(page, "#alarms", "It does not do all its work now: restoring partitions 3.")
        await until(page, "#alarm-words", "The worker is not ready.")


async def test_five_thousand_streams_are_fifty_lines_and_a_search(browser: Browser) -> None:
    """The worst fifty are there; any other is found by the beginning of its id."""
    stage = Stage()
    stage.calm(f"channel-{n:04}" for n in range(5000))
    stage.risky("worst", 3)
    async with serving(stage) as server, opened(browser, server) as page:
        await until(page, "#stream-count", "50 of 5,001 in all")
        assert await page.locator("#stream-rows tr").count() == 50
        await page.get_by_label("Stream id begins with").fill("channel-499")
        await until(page, "#stream-count", "10 that begin so")
        assert (await page.locator("#stream-rows bdi").all_inner_texts())[0] == "channel-4990"
        await page.get_by_label("Stream id begins with").fill("no such")
        await until(page, "#no-streams", "No live stream's id begins so.")


async def test_nothing_in_a_stream_s_id_is_markup(browser: Browser) -> None:
    """Hostile ids are shown as they are; two that look the same are two lines."""
    stage = Stage()
    for name in HOSTILE:
        stage.risky(name, 3)
        stage.known(name)
    async with serving(stage) as server, opened(browser, server) as page:
        await until(page, "#stream-count", f"{len(HOSTILE)} in all")
        stage.later(3)
        stage.risky(HOSTILE[0])
        await until(page, "#stream-rows .risk", f"{stage.states[HOSTILE[0]].risk.value:.2f}")
        shown = await page.locator("#stream-rows bdi").all_inner_texts()
        assert sorted(shown) == sorted(re.sub(r"[\u202d\u202e\n]", "\N{REPLACEMENT CHARACTER}", one) for one in HOSTILE)
        assert await page.locator("#incident-list .incident").count() == len(HOSTILE)
        assert await page.locator("main img, main script, main [onmouseover], main a").count() == 0
        assert await page.locator("#link").get_attribute("data-state") == "live"


# --- the link ---


async def test_a_page_says_that_the_worker_is_away_and_goes_on_when_it_is_back(browser: Browser) -> None:
    """After a restart on the same address the page shows the new worker by itself."""
    stage = Stage()
    stage.calm(["before"])
    async with serving(stage) as server, opened(browser, server) as page:
        await is_live(page)
        port = server.port or 0
        await server.stop()
        await page.wait_for_selector('#link[data-state="lost"]')
        await until(page, "#link-words", "Connection lost")
        assert await page.locator("#stream-rows bdi").all_inner_texts() == ["before"]
        after = Stage()
        after.calm(["after"])
        async with serving(after, tree.Web(port=port)):
            await until(page, "#stream-rows bdi", "after")
            await is_live(page)
            assert await page.locator("#stream-rows bdi").all_inner_texts() == ["after"]


async def test_whoever_has_the_token_signs_in_and_is_out_when_it_changes(browser: Browser, tmp_path: Path) -> None:
    """The form takes the token; a rotated one ends the session where it is watched."""
    file = tmp_path / "token"
    file.write_text(TOKEN)
    stage = Stage()
    async with serving(stage, tree.Web(port=0, token_file=str(file))) as server, opened(browser, server) as page:
        await page.get_by_label("Token").fill("wrong")
        await page.get_by_role("button").click()
        await page.wait_for_url("**/console/login")
        await page.get_by_label("Token").fill(TOKEN)
        await page.keyboard.press("Enter")
        await is_live(page)
        file.write_text("another token, as long as that")
        await page.get_by_label("Token").wait_for()


# --- for everybody ---


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (360, True)])
async def test_nothing_on_the_page_keeps_anybody_out(browser: Browser, width: int, *, dark: bool) -> None:
    """Axe finds nothing to say of it (WCAG 2.2 AA and best practice), light and dark, wide and narrow, all opened."""
    from axe_playwright_python.async_playwright import Axe  # noqa: PLC0415 - absent where these tests are skipped

    stage = evening()
    stage.health.idle = "partition 4 is held: s3 is away"
    stage.intake.partitions[4] = Part(held="s3 is away")
    async with serving(stage) as server, opened(browser, server, width=width, dark=dark) as page:
        await is_live(page)
        await page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
        found = await Axe().run(page)
        assert found.violations_count == 0, found.generate_report()


async def test_the_login_keeps_nobody_out_either(browser: Browser, tmp_path: Path) -> None:
    """Axe finds nothing to say of the login."""
    from axe_playwright_python.async_playwright import Axe  # noqa: PLC0415 - absent where these tests are skipped

    (tmp_path / "token").write_text(TOKEN)
    locked = tree.Web(port=0, token_file=str(tmp_path / "token"))
    async with serving(Stage(), locked) as server, opened(browser, server) as page:
        found = await Axe().run(page)
        assert found.violations_count == 0, found.generate_report()


async def test_a_narrow_window_has_nothing_beside_it(browser: Browser) -> None:
    """At 360 px nothing has to be scrolled sideways, however long an id is."""
    stage = evening()
    stage.known("x" * 256)
    stage.health.sick = "y" * 200
    async with serving(stage) as server, opened(browser, server, width=360, height=740) as page:
        await is_live(page)
        await until(page, "#incident-list bdi", "x" * 256)
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360


async def test_all_is_reached_with_the_keyboard_and_stays_as_it_was_left(browser: Browser) -> None:
    """Tab goes through the page in order; what is folded open and has the focus survives an update; Pause holds it."""
    stage = evening()
    async with serving(stage) as server, opened(browser, server) as page:
        await is_live(page)
        focused = "document.activeElement.id || document.activeElement.textContent"
        order = []
        for _ in range(6):
            await page.keyboard.press("Tab")
            order.append(await page.evaluate(focused))
        assert order == ["Skip to the incidents", "pause", "3 partitions", "1 reason", "9 reasons", "prefix"]
        await page.keyboard.press("Shift+Tab")
        await page.keyboard.press("Enter")
        assert await page.locator("#incident-list details[open] li").count() == 9
        stage.known("newer")
        await until(page, "#incident-list bdi", "newer")
        assert await page.evaluate(focused) == "9 reasons"
        assert await page.locator("#incident-list details[open]").count() == 1
        await page.locator("#pause").focus()
        await page.keyboard.press("Space")
        assert await page.locator("#pause").get_attribute("aria-pressed") == "true"
        as_of = await page.locator("#as-of").inner_text()
        stage.later(60)
        stage.known("while paused")
        await page.locator("#prefix").fill("newer")
        await until(page, "#stream-count", "1 that begins so")
        assert await page.locator("#as-of").inner_text() == as_of
        await page.locator("#pause").press("Enter")
        await until(page, "#incident-list bdi", "while paused")


@pytest.mark.parametrize(
    ("name", "width", "height", "dark"), [("console", 1280, 1560, False), ("console-narrow", 360, 1400, True)]
)
async def test_the_documents_pictures_are_of_this_page(
    browser: Browser, name: str, width: int, height: int, *, dark: bool
) -> None:
    """The pictures in docs/ can be taken anew at any time (FRAMEWATCH_TEST_WRITE_DOCS=1), and are there."""
    stage = evening()
    size = {"width": width, "height": height, "dark": dark}
    async with serving(stage) as server, opened(browser, server, **size) as page:
        await is_live(page)
        await until(page, "#stream-rows .last", "ago")
        picture = await page.screenshot()
        if os.environ.get("FRAMEWATCH_TEST_WRITE_DOCS"):
            (IMAGES / f"{name}.png").write_bytes(picture)
    assert (IMAGES / f"{name}.png").is_file()

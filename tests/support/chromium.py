"""A headless Chromium for the tests of pages: Debian's, driven by Playwright, which downloads none of its own."""

from __future__ import annotations

import importlib.util
import os
import shutil
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--no-sandbox",  # it shows our own page only, often as root in a container
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--no-proxy-server",  # the page is on loopback, whatever the environment says
]


def program() -> str | None:
    """The browser's path; None where there is none."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


def why_not() -> str | None:
    """Why no page can be tested here, in one line; None where it can."""
    if importlib.util.find_spec("playwright") is None:
        return "a page is tested with playwright (requirements/dev.in), which is not installed"
    if program() is None:
        return f"a page is tested in Chromium (Debian's chromium): none of {', '.join(PROGRAMS)} on PATH"
    return None


def require() -> None:
    """Skip the test where there is no browser; fail it where FRAMEWATCH_TEST_REQUIRE_TOOLS is set."""
    reason = why_not()
    if reason is not None:
        if os.environ.get("FRAMEWATCH_TEST_REQUIRE_TOOLS"):
            pytest.fail(f"FRAMEWATCH_TEST_REQUIRE_TOOLS is set, but {reason}")
        pytest.skip(reason)


@asynccontextmanager
async def launched() -> AsyncIterator[Browser]:
    """A browser that runs; skips the test where there is none."""
    require()
    from playwright.async_api import async_playwright  # noqa: PLC0415 - absent where tests are skipped

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program(), args=ARGUMENTS)
        try:
            yield browser
        finally:
            await browser.close()

"""The console of a real worker on a real broker, in a real browser."""

from __future__ import annotations

from support import media
from support.cards import card, harmless
from support.chromium import launched, require
from support.deployment import deployed

CARD = card(180, 320)
QUIET = harmless(180, 320, 1)
SEEN_WITHIN_MS = 30_000


def clip(picture, number: int) -> bytes:
    """A segment of two seconds of one picture."""
    return media.make_segment(width=320, height=180, picture=lambda _: picture, start_s=2.0 * number)


async def test_what_a_worker_does_is_on_its_console(broker):
    """A stream that turns risky is first, its incident says why, and a bad segment is counted with its reason.

    The next worker has the incident from its memory, and the words with the next look.
    """
    require()
    async with deployed(broker, partitions=1) as deployment, launched() as browser:
        page = await browser.new_page()
        page.set_default_timeout(SEEN_WITHIN_MS)

        async def see(selector: str, text: str) -> None:
            await page.locator(selector).filter(has_text=text).first.wait_for()

        async with deployment.worker() as worker:
            for number in range(10):
                await deployment.send(
                    deployment.segment("risky", clip(CARD, number), sequence=number),
                    deployment.segment("calm", clip(QUIET, number), sequence=number),
                )
            await deployment.send(deployment.segment("broken", b"\x00no video" * 100, sequence=0))
            await deployment.assessments(21)
            await page.goto(f"http://127.0.0.1:{worker.web.port}/")
            await see("#incident-list bdi", "risky")
            await see("#incident-list .why", 'shows "card" with probability')
            await see("#stream-rows tr:first-child bdi", "risky")
            await see("#stream-count", "3 in all")
            await see("#outcome-rows", "dead-lettered")
            await see("#about", "demo 1.0.0")
            assert await page.locator("#health .bad").count() == 0
        await page.wait_for_selector('#link[data-state="lost"]')
        async with deployment.worker() as worker:
            await deployment.send(deployment.segment("calm", clip(QUIET, 10), sequence=10))
            await deployment.assessments(22)
            await page.goto(f"http://127.0.0.1:{worker.web.port}/")
            await see("#incident-list .why", "Opened before this worker took the stream, for: label.")

"""How long to wait before trying again what keeps failing."""

from __future__ import annotations

import asyncio

from worker.jail.backoff import Backoff


def delays(count: int, *, free: int) -> list[float]:
    """Return the delays after each of so many failures."""
    backoff = Backoff(free=free, first_s=0.1, most_s=1.0)
    return [backoff.delay_s for _ in range(count) if backoff.failed() is None]


def test_the_first_failures_are_free_and_the_others_double_up_to_a_limit() -> None:
    """Two free, then 0.1 s, doubling, never above 1 s however many follow."""
    assert delays(7, free=2) == [0.0, 0.0, 0.1, 0.2, 0.4, 0.8, 1.0]
    assert delays(5000, free=2)[-1] == 1.0


async def test_a_success_ends_a_wait_and_starts_afresh() -> None:
    """Who waits for a minute goes on at once when something succeeds."""
    backoff = Backoff(free=0, first_s=60.0, most_s=60.0)
    backoff.failed()
    waiting = asyncio.create_task(backoff.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    backoff.succeeded()
    await asyncio.wait_for(waiting, 5)
    assert backoff.delay_s == 0.0

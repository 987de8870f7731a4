"""How long the jail takes, with the real decoder and all its locks.

The quicker ones of several count: the machine may be busy.
"""

from __future__ import annotations

import os
import signal
import sys
from time import perf_counter

import pytest
from support.jails import a_jail, asking

from worker.errors import SegmentError
from worker.jail.messages import Target
from worker.jail.zygote import WARM_UP_FILE
from worker.records import Media

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the figures are Linux's")
CLIP = Media(data=WARM_UP_FILE.read_bytes(), init=None, sha256="0" * 64)
NO_MEDIA = Media(data=b"these are no media", init=None, sha256="0" * 64)


def quicker(took_s: list[float]) -> float:
    """Return what a quarter of them did not exceed."""
    return sorted(took_s)[len(took_s) // 4]


async def test_a_child_is_forked_and_locked_down_within_10_ms() -> None:
    """From the order to its word that it is ready."""
    took_s = []
    async with a_jail(target=Target()) as jail:
        for _ in range(15):
            started = perf_counter()
            child = jail._zygote.fork()
            await child.ready(timeout_s=5)
            took_s.append(perf_counter() - started)
            child.kill()
            await child.ended
    assert quicker(took_s) < 0.010


async def test_the_next_segment_is_served_within_50_ms_of_a_kill() -> None:
    """Whatever ended the child before: a signal from outside, or its own retirement."""
    took_s = []
    async with a_jail(target=Target()) as jail:
        await jail.sample(CLIP, asking())
        for round_ in range(14):
            if round_ % 2:
                os.kill(max(jail._alive, key=lambda child: child.served).pid or 0, signal.SIGKILL)
            else:
                with pytest.raises(SegmentError):
                    await jail.sample(NO_MEDIA, asking())
            started = perf_counter()
            await jail.sample(CLIP, asking())
            took_s.append(perf_counter() - started)
    assert quicker(took_s) < 0.050

"""Copies into a slot, and what cancelling them waits for."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from worker.jail.nursery import OFF_LOOP_BYTES, _copy


async def test_a_small_copy_is_made_at_once_and_a_large_one_in_a_thread() -> None:
    """The event loop makes only those that are quicker than the way to a thread."""
    with ThreadPoolExecutor(1) as copies:
        assert await _copy(copies, OFF_LOOP_BYTES, threading.get_ident) == threading.get_ident()
        assert await _copy(copies, OFF_LOOP_BYTES + 1, threading.get_ident) != threading.get_ident()


async def test_a_cancelled_copy_is_waited_for_however_often_it_is_cancelled() -> None:
    """The slot is closed after it; a copy that still ran would write into whatever file has its descriptor then."""
    gate = threading.Event()
    with ThreadPoolExecutor(1) as copies:
        task = asyncio.create_task(_copy(copies, OFF_LOOP_BYTES + 1, gate.wait))
        for _ in range(3):
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            task.cancel()
        await asyncio.sleep(0)
        waited = not task.done()
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert waited

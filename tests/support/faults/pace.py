"""Lets time pass where time itself is part of a fault: between two kills, or while load is on.

Nothing that is waited for may use it: that is looked at again and again, within a deadline.
"""

from __future__ import annotations

import asyncio


async def time_passes(seconds: float) -> None:
    """Return after so many seconds."""
    await asyncio.sleep(max(0.0, seconds))

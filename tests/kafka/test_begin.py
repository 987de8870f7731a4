"""Starting a client leaves nothing half made, also when it is cancelled."""

from __future__ import annotations

import asyncio

import pytest

from worker.kafka import clients


class SlowClient:
    """A client whose start waits for a gate, and fails if it is told to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.gate = asyncio.Event()
        self.error = error
        self.ended = False

    async def start(self) -> None:
        await self.gate.wait()
        self.ended = True
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize("error", [None, OSError("refused")])
async def test_a_start_that_is_cancelled_ends_by_itself_first(error):
    """The one who cancelled gets his cancellation when the start is over, however it ended."""
    client = SlowClient(error)
    starting = asyncio.create_task(clients.begin(client))
    await asyncio.sleep(0)
    starting.cancel()
    await asyncio.sleep(0)
    assert not starting.done()
    client.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert client.ended


async def test_a_start_that_fails_tells_why():
    """Uncancelled, its error is the caller's."""
    client = SlowClient(OSError("refused"))
    client.gate.set()
    with pytest.raises(OSError, match="refused"):
        await clients.begin(client)

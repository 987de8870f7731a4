"""Initialisation segments are kept for a while, and fetched once for all who wait."""

from __future__ import annotations

import asyncio

import pytest

from worker.errors import SegmentError
from worker.fetch.inits import MOST_KEPT, UNPINNED_LASTS_S, Inits
from worker.records import Reference


class Counted:
    """A fetch that counts, waits for its gate, and answers with the number of the call."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.now_s = 0.0
        self.error: Exception | None = None

    async def __call__(self, reference: Reference) -> bytes:
        self.calls.append(reference.uri)
        number = len(self.calls)
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return str(number).encode()

    def clock(self) -> float:
        return self.now_s


UNPINNED = Reference(uri="s3://b/init.mp4")
PINNED = Reference(uri="s3://b/init.mp4", sha256="0" * 64)


async def test_a_pinned_one_is_fetched_once_and_an_unpinned_one_anew_after_a_while() -> None:
    """Under an unpinned name another object may lie tomorrow."""
    counted = Counted()
    inits = Inits(counted, counted.clock)
    assert [await inits.get(PINNED), await inits.get(UNPINNED)] == [b"1", b"2"]
    counted.now_s = UNPINNED_LASTS_S - 0.1
    assert [await inits.get(PINNED), await inits.get(UNPINNED)] == [b"1", b"2"]
    counted.now_s = UNPINNED_LASTS_S
    assert [await inits.get(PINNED), await inits.get(UNPINNED)] == [b"1", b"3"]


async def test_everything_in_the_reference_tells_entries_apart() -> None:
    """The same name with another range, digest or version is another thing."""
    counted = Counted()
    inits = Inits(counted, counted.clock)
    uri = UNPINNED.uri
    ways = [
        UNPINNED,
        PINNED,
        Reference(uri=uri, etag="x"),
        Reference(uri=uri, version="x"),
        Reference(uri=uri, size_bytes=3),
        Reference(uri=uri, byterange=(0, 9)),
    ]
    assert len({await inits.get(each) for each in ways}) == len(ways)


async def test_those_who_ask_at_once_wait_for_one_fetch() -> None:
    """A hundred streams that start together make one request; one that gives up stops no other."""
    counted = Counted()
    counted.gate.clear()
    inits = Inits(counted, counted.clock)
    waiting = [asyncio.create_task(inits.get(PINNED)) for _ in range(100)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    counted.gate.set()
    assert await asyncio.gather(*waiting[1:]) == [b"1"] * 99
    assert waiting[0].cancelled()
    assert len(counted.calls) == 1


async def test_an_error_is_told_to_all_and_not_kept() -> None:
    """The next segment tries again."""
    counted = Counted()
    counted.error = SegmentError("fetch", "not_found", "gone")
    inits = Inits(counted, counted.clock)
    answers = await asyncio.gather(inits.get(PINNED), inits.get(PINNED), return_exceptions=True)
    assert answers == [counted.error] * 2
    counted.error = None
    assert await inits.get(PINNED) == b"2"


async def test_the_least_recently_used_goes_first() -> None:
    """Memory is bounded, and what is in use stays."""
    counted = Counted()
    inits = Inits(counted, counted.clock)
    references = [Reference(uri=f"s3://b/{number}", etag="x") for number in range(MOST_KEPT + 1)]
    for each in references[:-1]:
        await inits.get(each)
    await inits.get(references[0])
    await inits.get(references[-1])
    counted.calls.clear()
    await inits.get(references[0])
    await inits.get(references[1])
    assert counted.calls == ["s3://b/1"]


async def test_closing_stops_what_is_still_coming() -> None:
    """Shutdown waits for no store."""
    counted = Counted()
    counted.gate.clear()
    inits = Inits(counted, counted.clock)
    waiting = asyncio.create_task(inits.get(PINNED))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    inits.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting

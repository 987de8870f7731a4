"""Fetched bytes in work: bounded for each place, first come first served, and given back however it ends."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.fetch.shares import Share


async def turns() -> None:
    """Let every task that can go on do so."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_finds_no_room_waits_until_there_is() -> None:
    """The third of three that fit in pairs is let in when one gives back."""
    share = Share(10)
    first, _ = await share.hold(5), await share.hold(5)
    third = asyncio.create_task(share.hold(5))
    await turns()
    assert not third.done()
    first.shrink(0)
    await third
    assert share.held_bytes == 10


async def test_what_turns_out_smaller_makes_room_at_once() -> None:
    """An object of unknown size counts as the largest until it is here."""
    share = Share(10)
    first = await share.hold(10)
    second = asyncio.create_task(share.hold(7))
    first.shrink(3)
    await second
    assert share.held_bytes == 10


async def test_an_object_larger_than_the_share_goes_alone() -> None:
    """A share that is set too small is slow, it stops nobody for ever."""
    share = Share(10)
    large = await share.hold(64)
    small = asyncio.create_task(share.hold(1))
    await turns()
    assert not small.done()
    large.shrink(0)
    await small


async def test_a_small_one_does_not_pass_a_large_one_that_waits() -> None:
    """Else a large object would starve while small ones come."""
    share = Share(10)
    first = await share.hold(6)
    large = asyncio.create_task(share.hold(8))
    await turns()
    small = asyncio.create_task(share.hold(1))
    await turns()
    assert not small.done()
    first.shrink(0)
    await asyncio.gather(large, small)


@pytest.mark.parametrize("room_first", [False, True])
async def test_one_that_gives_up_waiting_leaves_nothing_held(*, room_first: bool) -> None:
    """Also where its turn came in the same moment; the next one is let in."""
    share = Share(10)
    first = await share.hold(10)
    leaving = asyncio.create_task(share.hold(10))
    next_one = asyncio.create_task(share.hold(10))
    await turns()
    if room_first:
        first.shrink(0)
    leaving.cancel()
    await turns()
    if not room_first:
        first.shrink(0)
    await next_one
    assert share.held_bytes == 10


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(0, 20)), max_size=40))
def test_no_more_is_held_than_the_share_or_one_object(sizes: list[tuple[int, int]]) -> None:
    """Whatever comes in whatever sizes: bounded, everyone gets in, and in the end nothing is held."""
    share = Share(10)
    most: list[int] = []

    async def one(asked: int, real: int) -> None:
        hold = await share.hold(asked)
        with hold.until_done():
            most.append(share.held_bytes if share.held_bytes > asked else 0)
            hold.shrink(min(asked, real))
            await asyncio.sleep(0)

    async def all_of_them() -> None:
        async with asyncio.timeout(10):
            await asyncio.gather(*(one(asked, real) for asked, real in sizes))

    asyncio.run(all_of_them())
    assert max(most, default=0) <= 10
    assert len(most) == len(sizes)
    assert share.held_bytes == 0

"""Bombs of size, time and memory, and odd files: each ends in a bounded outcome, and nobody beside it notices."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import av
import pytest
import pytest_asyncio
from hostile import bombs, crafted
from hostile.arena import MIB, an_arena, asking, named
from hostile.bombs import BOMBS

from worker.errors import SegmentError
from worker.jail.pool import Jail
from worker.records import Media
from worker.sampling.limits import MOST_PACKETS
from worker.settings import tree

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from hostile.arena import Arena

PIXELS = [name for name in BOMBS if name.startswith("pixels")]
REFUSED = {
    "thousands of streams in MPEG-TS": "too_many_streams",
    "thousands of streams without a table": "too_many_streams",
    "thousands of streams in MP4": "too_many_streams",
    "pixels in MPEG-TS": "too_many_pixels",
    "pixels cut off again": "too_many_pixels",
    "pixels in MP4": "too_many_pixels",
    "the end of time": "corrupt",
    "tags without end": "corrupt",
    "keys without end": "corrupt",
    "one sample, 100,000 times": "corrupt",
    "frames compressed a thousandfold": "corrupt",
    "110,000 keyframes": "partial",
    "gzip": "corrupt",
    "64 MiB of 0x47": "corrupt",
}
"""What these in particular must end with."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def arena() -> AsyncIterator[Arena]:
    """One jail for all bombs: what one leaves behind would show at the next."""
    async with an_arena() as arena:
        yield arena


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", BOMBS)
async def test_a_bomb_ends_in_a_bounded_outcome(arena: Arena, name: str) -> None:
    """In time, with a name of the contract, and a good stream beside it gives what it always gives."""
    result = await arena.outcome(BOMBS[name]())
    assert named(result) == REFUSED.get(name, named(result))
    await arena.good_is_undisturbed(0)


@pytest.mark.asyncio(loop_scope="module")
async def test_no_more_packets_are_read_than_a_segment_can_have(arena: Arena) -> None:
    """What comes after so many is left unread, and told as damage; what comes before is seen."""
    result = await arena.outcome(bombs.tiny_frames(MOST_PACKETS + 100))
    assert (result.keyframes_seen, result.damaged) == (MOST_PACKETS, True)
    result = await arena.outcome(bombs.tiny_frames(200))
    assert (result.keyframes_seen, result.damaged) == (200, False)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", PIXELS)
async def test_a_pixel_bomb_is_refused_in_no_time_and_no_memory(name: str) -> None:
    """A decoder that has 64 MiB to itself refuses it, in less than 20 ms of CPU time of its own."""
    settings = tree.Jail(processes=1, deadline_s=5.0, memory_bytes=64 * MIB)
    jail = await Jail.start(settings, max_bytes=MIB, on_event=lambda _: None)
    took_s = []
    try:
        for _ in range(3):
            started = time.perf_counter()
            with pytest.raises(SegmentError) as refused:
                await jail.sample(Media(data=BOMBS[name](), init=None, sha256=""), asking())
            took_s.append(time.perf_counter() - started)
            assert refused.value.error in {"too_many_pixels", "corrupt"}
            assert refused.value.attempts == 1
    finally:
        await jail.close()
    assert min(took_s) < 0.020


def test_a_decoder_without_our_limits_takes_the_pixel_bomb() -> None:
    """The bomb is one: FFmpeg by itself decodes a picture of 256 million pixels, of which it shows 16x16."""
    context = av.CodecContext.create("h264", "r")
    unit = crafted.annex_b(crafted.sps(4096, 4096, crop=(4080, 4080)), crafted.PPS, crafted.grey_idr(16))
    context.options = {"max_pixels": "65536"}
    frames = context.decode(av.Packet(unit)) or context.decode(None)
    assert (frames[0].width, frames[0].height, context.coded_width) == (16, 16, 4096)


@pytest.mark.asyncio(loop_scope="module")
async def test_what_meets_the_deadline_is_tried_twice_and_no_more(arena: Arena) -> None:
    """A segment that is work and nothing else is killed in time, twice; then it is a dead letter."""
    async with an_arena(processes=1, deadline_s=0.2) as slow:
        started = time.monotonic()
        with pytest.raises(SegmentError) as late:
            await slow.jail.sample(Media(data=bombs.start_codes(24), init=None, sha256=""), asking())
        took_s = time.monotonic() - started
    assert (late.value.error, late.value.attempts) == ("timeout", 2)
    assert took_s < 2 * (0.2 + 0.1) + 0.5
    await arena.good_is_undisturbed(0)


@pytest.mark.asyncio(loop_scope="module")
async def test_what_takes_too_much_memory_is_told_as_such(arena: Arena) -> None:
    """A run of millions of samples meets the memory limit, not the machine's end."""
    async with an_arena(processes=1, deadline_s=10.0, memory_bytes=256 * MIB) as poor:
        result = await poor.outcome(bombs.absurd_run(1 << 24))
    assert named(result) == "out_of_memory"
    await arena.good_is_undisturbed(1)


@pytest.mark.asyncio(loop_scope="module")
async def test_every_odd_file_has_an_outcome(arena: Arena, shared_media: Path) -> None:
    """Files that broke other people's programs: rotated, cropped, in 10 bits, with broken user data and messages."""
    outcomes = {}
    for path in sorted((shared_media / "odd").iterdir()):
        outcomes[path.name] = named(await arena.outcome(path.read_bytes()))
    assert len(outcomes) >= 12
    assert outcomes["invalid_userdata.mp4"] == "corrupt"  # it was cut short by whoever made it
    assert list(outcomes.values()).count("sample") >= 9
    assert outcomes["malformed-sei.m4s"] == "no_init"


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("where", ["mp4", "webm", "mpegts"])
async def test_names_that_are_no_text_do_not_hide_a_picture(arena: Arena, where: str) -> None:
    """Metadata that is no UTF-8 raises in a reader that believes it; here the picture is seen all the same."""
    data = bombs.misnamed(where)
    assert b"\xff\xfe\xfd" in data
    result = await arena.outcome(data)
    assert named(result) == "sample"

"""What the make-believe platform sends, and how the processes around it are measured."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from worker.demo import encode
from worker.demo.processes import cpu_s
from worker.examine import examine
from worker.hashing import hamming
from worker.records import Ask

ASK = Ask(content_type=None, interval_s=0.0, max_keyframes=9, view=None, max_pixels=2**24, max_streams=9)


def test_footage_that_is_played_again_goes_on_in_time():
    """A segment with a later clock has the same picture and the later time, in MPEG-TS and in CMAF."""
    picture = encode.harmless(1)
    first = examine(ts := encode.segment(picture, 0), None, ASK)
    later = examine(encode.later_ts(ts, 100.0), None, ASK)
    assert (first.start_s, later.start_s) == (0.0, 100.0)
    assert later.frames[0].hash == first.frames[0].hash
    cmaf = encode.cmaf(picture)
    assert [examine(each, cmaf.init, ASK).start_s for each in cmaf.segments[:2]] == [0.0, 2.0]
    assert examine(encode.later_cmaf(cmaf.segments[1], 12.0), cmaf.init, ASK).start_s == 14.0


def test_the_clip_is_near_its_original_and_nothing_else_is():
    """What is broadcast of the clip is well within the list's radius; harmless footage is far outside of it."""
    listed = dict(encode.clip_hashes())
    for index in range(3):
        [seen] = examine(encode.clip_segment(index), None, ASK).frames
        assert hamming(seen.hash.pdq, listed[2.0 * index].pdq) <= 16
    for seed in range(4):
        [seen] = examine(encode.segment(encode.harmless(seed), 0), None, ASK).frames
        assert min(hamming(seen.hash.pdq, one.pdq) for one in listed.values()) > 62


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system has no /proc")
async def test_cpu_is_counted_with_the_children_of_children():
    """What a process's child has burnt is there when the child is gone; nobody's is nothing."""
    burn = "import subprocess,sys; subprocess.run([sys.executable,'-c','for _ in range(5_000_000): pass']); input()"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", burn, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(30):
            while (cpu_s(process.pid) or 0.0) < 0.05:
                await asyncio.sleep(0.05)
    finally:
        await process.communicate(b"\n")
    assert cpu_s(process.pid) is None

"""The jail with real processes: what each kind of segment leads to, and what is left afterwards."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.jail_targets import PDQ
from support.jails import MAX_BYTES, MIB, TARGET, a_jail, asking, children_of, media

from worker.errors import Held, SegmentError, Stopped, UsageError
from worker.jail.messages import Target
from worker.jail.pool import RESERVE, SEGMENTS_PER_CHILD, Jail

if TYPE_CHECKING:
    from worker.jail.events import JailEvent

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at the children through /proc")


async def told(jail: Jail, words: str, size: int = 0) -> float:
    """Return the number that a child carries out."""
    number = (await jail.sample(media(words, size), asking())).start_s
    assert number is not None
    return number


async def failing(jail: Jail, words: str) -> SegmentError:
    """Return what a segment that can't be decoded leads to."""
    with pytest.raises(SegmentError) as raised:
        await jail.sample(media(words), asking(side=16))
    return raised.value


def fifo_in(folder: Path) -> Path:
    """Make a fifo for a child to wait at."""
    fifo = folder / "gate"
    os.mkfifo(fifo)
    return fifo


async def opened(fifo: Path) -> None:
    """Wait until a child waits at the fifo, and let it go on."""
    (await asyncio.to_thread(fifo.open, "wb")).close()


# --- what comes back --------------------------------------------------------------------------------------------------


async def test_a_sample_comes_back_as_the_child_made_it() -> None:
    """Every field, hash and picture that the child puts in comes out in the parent."""
    async with a_jail() as jail:
        sample = await jail.sample(media("echo", 1000), asking(keyframes=3, side=16))
    assert (sample.container, sample.codec, sample.start_s, sample.duration_s) == ("mpegts", "h264", 1000.0, 2.0)
    assert (sample.wrap_s, sample.keyframes_seen, sample.damaged) == (2**33 / 90_000, 3, False)
    assert [frame.offset_s for frame in sample.frames] == [0.0, 2.0, 4.0]
    assert [frame.hash.pdq for frame in sample.frames] == [PDQ, None, PDQ]
    assert all(frame.picture is not None and (frame.picture == 0x5A).all() for frame in sample.frames)


async def test_an_initialisation_segment_travels_beside_its_segment() -> None:
    """The child gets the initialisation that came with the segment."""
    async with a_jail() as jail:
        sample = await jail.sample(media("init", init=bytes(777)), asking())
    assert sample.start_s == 777.0


async def test_the_largest_segment_fits() -> None:
    """A segment of exactly the limit is decoded; one byte more is too large."""
    async with a_jail() as jail:
        assert await told(jail, "echo", MAX_BYTES) == MAX_BYTES
        with pytest.raises(SegmentError, match="too_large"):
            await jail.sample(media("echo", MAX_BYTES + 1), asking())


async def test_more_pictures_than_a_slot_holds_are_a_mistake_in_use() -> None:
    """The operator is told which setting asks for too much."""
    async with a_jail() as jail:
        with pytest.raises(UsageError, match=r"sampling\.max_keyframes"):
            await jail.sample(media("echo"), asking(keyframes=1000, side=1024))


async def test_the_real_decoder_is_the_default() -> None:
    """Without a target of the tests', children decode: random bytes are corrupt media."""
    async with a_jail(target=Target()) as jail:
        error = await failing(jail, "these are no media")
    assert (error.stage, error.error, error.attempts) == ("decode", "corrupt", 1)


# --- what goes wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "error", "change", "cause"),
    [
        ("exit 3", "crashed", "died", "exit"),
        ("die SIGSEGV", "crashed", "died", "signal"),
        ("die SIGKILL", "out_of_memory", "died", "out_of_memory"),
        ("hungry", "out_of_memory", "retired", "failed"),
        ("fail", "crashed", "retired", "failed"),
        ("misshape", "crashed", "retired", "failed"),
        ("babble", "crashed", "killed", "hostile_reply"),
        ("scribble ff", "crashed", "killed", "hostile_reply"),
    ],
)
async def test_a_lost_child_costs_its_segment_and_no_more(words: str, error: str, change: str, cause: str) -> None:
    """Whatever ends a child, its segment is tried once more in a fresh one, fails, and the next one is served."""
    events: list[JailEvent] = []
    async with a_jail(events.append) as jail:
        failure = await failing(jail, words)
        assert (failure.stage, failure.error, failure.attempts) == ("decode", error, 2)
        assert "secret" not in failure.reason
        assert [(event.change, event.cause) for event in events] == [(change, cause)] * 2
        assert await told(jail, "echo", 100) == 100


async def test_a_deadline_is_kept_within_100_ms() -> None:
    """A child that hangs is gone 100 ms after its deadline, in both attempts, and its successor serves."""
    events: list[tuple[float, JailEvent]] = []
    async with a_jail(lambda event: events.append((time.monotonic(), event)), deadline_s=0.2) as jail:
        children = children_of(jail._zygote.pid)
        started = time.monotonic()
        failure = await failing(jail, "hang")
        assert (failure.error, failure.attempts) == ("timeout", 2)
        assert [event.cause for _, event in events] == ["timeout", "timeout"]
        assert 0.2 <= events[0][0] - started < 0.3
        assert 0.2 <= events[1][0] - events[0][0] < 0.3
        assert await told(jail, "pid") not in children


async def test_a_second_attempt_is_in_a_child_that_never_served(tmp_path: Path) -> None:
    """Others that wait have served before, and may be taken over."""
    first = tmp_path / "first"
    async with a_jail(processes=2, deadline_s=0.3) as jail:
        served = await asyncio.gather(told(jail, "pid"), told(jail, "pid"))
        first.touch()
        assert await told(jail, f"once {first}") not in served


async def test_a_decode_error_retires_its_child() -> None:
    """What met bad bytes may have been taken over by them: it is not used again."""
    events: list[JailEvent] = []
    async with a_jail(events.append) as jail:
        before = await told(jail, "pid")
        failure = await failing(jail, "bad")
        assert (failure.stage, failure.error, failure.reason) == ("decode", "corrupt", "nothing in it")
        assert failure.attempts == 1
        assert await told(jail, "pid") != before
    assert [(event.change, event.cause) for event in events] == [("retired", "decode_error")]


async def test_a_child_serves_64_segments_and_is_retired() -> None:
    """One child serves exactly so many segments in a row, then another takes its place."""
    events: list[JailEvent] = []
    async with a_jail(events.append) as jail:
        pids = [await told(jail, "pid") for _ in range(SEGMENTS_PER_CHILD + 1)]
    assert len(set(pids[:SEGMENTS_PER_CHILD])) == 1
    assert pids[-1] != pids[0]
    assert [event.cause for event in events] == ["worn"]


async def test_a_target_that_does_not_work_is_told_at_start() -> None:
    """A decoder that fails on the warm-up segment stops the worker, with its error in the line."""
    target = Target(function="support.jail_targets:broken", path=TARGET.path, warm_up=True)
    with pytest.raises(Stopped, match="RuntimeError: no codec here"):
        async with a_jail(target=target):
            pass


# --- what a child has -------------------------------------------------------------------------------------------------


async def test_a_child_has_no_environment_no_thread_and_four_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that the parent knows is inherited: three null devices and a socket are all."""
    monkeypatch.setenv("FRAMEWATCH_TEST_CANARY", "canary")
    async with a_jail(processes=2) as jail:
        assert await told(jail, "environment") == 0
        assert await told(jail, "threads") == 1
        assert await told(jail, "descriptors") == 4


async def test_a_child_can_write_no_file(tmp_path: Path) -> None:
    """Not even where its user may."""
    async with a_jail() as jail:
        assert await told(jail, f"write {tmp_path / 'file'}") == errno.EFBIG


async def test_a_slot_is_wiped_between_segments() -> None:
    """A child finds nothing of the segment before in its slot, whether that was small or large."""
    async with a_jail() as jail:
        for size in (100_000, 9 * MIB):
            pid = await told(jail, "pid")
            await jail.sample(media("echo", size), asking(keyframes=4, side=64))
            assert await told(jail, "leftovers") == 0
            assert await told(jail, "pid") == pid


# --- order, cancelling, closing ---------------------------------------------------------------------------------------


async def test_segments_are_served_in_the_order_in_which_they_came(tmp_path: Path) -> None:
    """Who waits longest is next, also against one that comes just when a decoder gets free."""
    fifo = fifo_in(tmp_path)
    served: list[int] = []

    async def one(number: int, words: str) -> None:
        await jail.sample(media(words), asking())
        served.append(number)
        if number == 0:
            late.append(asyncio.create_task(one(9, "echo")))

    late: list[asyncio.Task[None]] = []
    async with a_jail() as jail:
        tasks = [asyncio.create_task(one(n, f"gate {fifo}" if n == 0 else "echo")) for n in range(6)]
        await opened(fifo)
        await asyncio.gather(*tasks)
        await asyncio.gather(*late)
    assert served == [0, 1, 2, 3, 4, 5, 9]


async def test_as_many_segments_at_once_as_there_are_processes(tmp_path: Path) -> None:
    """With two processes, two segments are in work while a third waits."""
    gates = [fifo_in(tmp_path / name) for name in "ab" if not (tmp_path / name).mkdir()]
    async with a_jail(processes=2) as jail:
        tasks = [asyncio.create_task(jail.sample(media(f"gate {gate}"), asking())) for gate in gates]
        third = asyncio.create_task(jail.sample(media("echo"), asking()))
        opening = [await asyncio.to_thread(gate.open, "wb") for gate in gates]
        assert (jail.in_use, third.done()) == (2, False)
        for gate in opening:
            gate.close()
        await asyncio.gather(*tasks, third)
        assert jail.in_use == 0


@pytest.mark.parametrize("size", [0, 8 * MIB])
async def test_a_cancelled_segment_takes_its_child_along(size: int, tmp_path: Path) -> None:
    """Nobody waits for the answer, so the child is killed, replaced, and nothing of it stays."""
    fifo = fifo_in(tmp_path)
    events: list[JailEvent] = []
    async with a_jail(events.append) as jail:
        before = descriptors()
        task = asyncio.create_task(jail.sample(media(f"gate {fifo}", size), asking()))
        gate = await asyncio.to_thread(fifo.open, "wb")
        pid = children_of(jail._zygote.pid)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gate.close()
        assert [event.cause for event in events] == ["cancelled"]
        assert await told(jail, "pid") in pid
        await failing(jail, "bad")
        assert await told(jail, "pid") not in pid
        await settled(jail)
        assert descriptors() == before


def descriptors() -> int:
    """Return how many descriptors this process holds."""
    return len(list(Path("/proc/self/fd").iterdir()))


def names_in(folder: Path) -> list[str]:
    """Return what lies in a folder."""
    return [each.name for each in folder.iterdir()]


def alive(pids: list[int]) -> list[int]:
    """Return those processes that are still there, zombies included."""
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def assert_ended(handle: int) -> None:
    """Check that a process, given as a pidfd, ends; and close the pidfd."""
    ended, _, _ = select.select([handle], [], [], 10)
    os.close(handle)
    assert ended


async def settled(jail: Jail) -> None:
    """Wait until the jail has all its children again."""
    while len(jail._ready._children) < jail.processes + RESERVE or len(children_of(jail._zygote.pid)) > len(
        jail._alive
    ):
        await asyncio.sleep(0)


async def test_a_cancelled_copy_ends_before_its_slot_is_closed() -> None:
    """Cancelling while a large segment is on its way into the slot leaves the jail whole, at any moment."""
    async with a_jail() as jail:
        for turns in range(12):
            task = asyncio.create_task(jail.sample(media("echo", 8 * MIB), asking()))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task})
        assert await told(jail, "echo", 100) == 100


async def test_closing_holds_what_is_in_work_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """Segments in work and in line are held, not dead letters; processes and descriptors are gone."""
    before = descriptors()
    async with a_jail(processes=2) as jail:
        pids = [jail._zygote.pid, *children_of(jail._zygote.pid)]
        assert len(pids) == 1 + 2 + RESERVE
        fifo = fifo_in(tmp_path)
        tasks = [asyncio.create_task(jail.sample(media(f"gate {fifo}"), asking())) for _ in range(5)]
        gate = await asyncio.to_thread(fifo.open, "wb")
        await jail.close()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        gate.close()
        assert {type(result) for result in results} == {Held}
        with pytest.raises(Held):
            await jail.sample(media("echo"), asking())
    assert not alive(pids)
    assert descriptors() == before


async def test_bad_segments_leak_neither_processes_nor_descriptors() -> None:
    """After many lost children there are as many processes and descriptors as before."""
    async with a_jail(deadline_s=0.05) as jail:
        await settled(jail)
        before = descriptors()
        for words in ("bad", "exit 1", "die SIGSEGV", "hang", "fail") * 3:
            await failing(jail, words)
            await told(jail, "pid")
        await settled(jail)
        assert descriptors() == before
        assert len(children_of(jail._zygote.pid)) == 1 + RESERVE


# --- the zygote -------------------------------------------------------------------------------------------------------


async def test_a_lost_zygote_is_started_again(tmp_path: Path) -> None:
    """Its children go with it; a segment in work is tried again, and others are served."""
    events: list[JailEvent] = []
    first = tmp_path / "first"
    first.touch()
    async with a_jail(events.append) as jail:
        children = [os.pidfd_open(pid) for pid in children_of(jail._zygote.pid)]
        task = asyncio.create_task(jail.sample(media(f"once {first}"), asking()))
        while names_in(tmp_path):
            await asyncio.sleep(0)
        os.kill(jail._zygote.pid, signal.SIGKILL)
        await task
    for handle in children:
        assert_ended(handle)
    assert ("zygote", "zygote_lost") in [(event.process, event.cause) for event in events]


async def test_a_stuck_zygote_does_not_keep_a_child_alive() -> None:
    """When it does not obey the order to kill, it is killed itself, and the next segment is served."""
    async with a_jail(deadline_s=0.1) as jail:
        stuck = jail._zygote.pid
        os.kill(stuck, signal.SIGSTOP)
        assert (await failing(jail, "hang")).error == "timeout"
        assert await told(jail, "echo", 100) == 100
        assert jail._zygote.pid != stuck


def test_children_end_with_a_worker_that_is_killed() -> None:
    """SIGKILL of the worker leaves no process of the jail behind, not even one in the middle of a segment."""
    script = """
import asyncio
from support.jails import a_jail, asking, children_of, media
async def main():
    async with a_jail() as jail:
        task = asyncio.create_task(jail.sample(media("hang"), asking()))
        while not jail.in_use:
            await asyncio.sleep(0)
        print(jail._zygote.pid, *children_of(jail._zygote.pid), flush=True)
        await task
asyncio.run(main())
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)}
    worker = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=environment)
    assert worker.stdout is not None
    with worker.stdout:
        handles = [os.pidfd_open(int(pid)) for pid in worker.stdout.readline().split()]
        worker.kill()
    worker.wait()
    assert len(handles) == 1 + 1 + RESERVE
    for handle in handles:
        assert_ended(handle)


# --- the event loop ---------------------------------------------------------------------------------------------------


async def test_large_segments_and_replies_do_not_hold_the_loop() -> None:
    """While 8 MiB segments and 6 MiB replies pass, no turn of the loop takes 5 ms; copying them takes 10."""
    longest_s = 0.0

    async def watch() -> None:
        nonlocal longest_s
        before = time.thread_time()
        while True:
            await asyncio.sleep(0)
            longest_s, before = max(longest_s, time.thread_time() - before), time.thread_time()

    async with a_jail() as jail:
        await told(jail, "pid")
        gc.collect()
        gc.disable()
        segment = media("echo", 8 * MIB)
        watching = asyncio.create_task(watch())
        for _ in range(3):
            await jail.sample(segment, asking(keyframes=32, side=256))
        watching.cancel()
        gc.enable()
    assert longest_s < 0.005

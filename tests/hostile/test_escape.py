"""Ways out of a decoder that was taken over, tried from inside a real one: locked, none is open; unlocked, all are."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.jails import a_jail, asking, media

from worker.errors import SegmentError
from worker.jail.escapes import ESCAPES, Escape
from worker.jail.messages import Target

if TYPE_CHECKING:
    from worker.jail.events import JailEvent
    from worker.jail.pool import Jail

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="seccomp and Landlock are Linux's")

FOLDERS = (str(Path(__file__).parent), str(Path(__file__).parents[1]))
LOCKED = Target(function="escape_targets:attempt", path=FOLDERS, warm_up=False)
UNLOCKED = Target(function="escape_targets:attempt", path=FOLDERS, warm_up=False, lock_down=False)
ABOUT = Target(function="escape_targets:about", path=FOLDERS, warm_up=False)
OPEN = {
    "it got through": True,
    "it was refused": False,
    "the decoder was ended at a system call that no decoder makes": False,
    "the decoder ended with status 0": True,  # another program ran in its place
}
NEEDS_ROOT = {"setuid"}
MAY_BE_OFF = {"io_uring", "namespace", "ptrace_parent", "read_parent"}
"""Administrators turn these off for everybody."""


async def got_through(jail: Jail, way: Escape) -> bool:
    """Tell whether a way out is open in a jail's children."""
    with pytest.raises(SegmentError) as raised:
        await jail.sample(media(way.name), asking())
    with pytest.raises(SegmentError, match="nothing"):  # an honest one between them: else the jail takes it for a
        await jail.sample(media("nothing"), asking())  # crash loop, and makes us wait
    return OPEN[raised.value.reason]


def status_of(pid: int) -> dict[str, str]:
    """Return what /proc tells of a process."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


async def pid_in(jail: Jail) -> int:
    """Return a child's process id."""
    return int((await jail.sample(media("pid"), asking())).start_s or 0)


async def test_no_way_out_is_open_in_a_locked_child() -> None:
    """Network, files, exec, processes, other processes, new code, new kernel interfaces, root: each is refused."""
    async with a_jail(target=LOCKED) as jail:
        assert jail.lockdown.level == "full", str(jail.lockdown)
        assert [way.name for way in ESCAPES if await got_through(jail, way)] == []


async def test_every_way_out_is_open_in_an_unlocked_child() -> None:
    """Else its refusal above would say nothing. What this machine refuses to everybody is left out."""
    left_out = MAY_BE_OFF | (NEEDS_ROOT if os.geteuid() != 0 else set())
    async with a_jail(target=UNLOCKED) as jail:
        refused = [way.name for way in ESCAPES if not await got_through(jail, way)]
    assert [name for name in refused if name not in left_out] == []


async def test_a_locked_child_has_no_rights_left() -> None:
    """The kernel's own account of it: no new privileges, no capability, a filter, nobody's user id but its own."""
    async with a_jail(target=ABOUT, processes=2) as jail:
        pid = await pid_in(jail)
        found = status_of(pid)
        assert (found["NoNewPrivs"], found["Seccomp"], found["Threads"]) == ("1", "2", "1")
        assert {int(found[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
        if os.geteuid() == 0:
            assert found["Groups"] == ""
            users = {tuple(status_of(child.pid or 0)["Uid"].split()) for child in jail._alive}
            assert len(users) == len(jail._alive)  # neighbours are strangers to each other
            assert all(60_578 <= int(number) <= 61_183 for user in users for number in user)
            assert os.stat(f"/proc/{pid}/mem").st_uid == 0  # noqa: PTH116  # not dumpable: not even its own user may read it


async def test_a_locked_child_is_killed_at_its_deadline() -> None:
    """It has another user id than who kills it."""
    async with a_jail(target=ABOUT, deadline_s=0.2) as jail:
        before = await pid_in(jail)
        with pytest.raises(SegmentError, match="timeout"):
            await jail.sample(media("spin"), asking())
        assert await pid_in(jail) != before


async def test_a_locked_child_ends_with_its_zygote() -> None:
    """A change of user undoes the parent-death signal: it was set after that."""
    async with a_jail(target=ABOUT) as jail:
        handle = os.pidfd_open(await pid_in(jail))
        busy = asyncio.create_task(jail.sample(media("spin"), asking()))  # else it ends by itself: nobody asks any more
        while not jail.in_use:
            await asyncio.sleep(0)
        os.kill(jail._zygote.pid, signal.SIGKILL)
        ended, _, _ = await asyncio.to_thread(select.select, [handle], [], [], 10)
        os.close(handle)
        busy.cancel()
        assert ended


async def test_an_abort_is_told_from_an_escape() -> None:
    """A failed assertion of FFmpeg dies of another signal than what makes a call that is not allowed."""
    events: list[JailEvent] = []
    async with a_jail(events.append, target=ABOUT) as jail:
        with pytest.raises(SegmentError, match="died of SIGSEGV"):
            await jail.sample(media("abort"), asking())
        assert {(event.cause, event.signal) for event in events} == {("signal", "SIGSEGV")}
        events.clear()
        with pytest.raises(SegmentError, match="no decoder makes"):
            await jail.sample(media("sleep"), asking())
        assert {(event.cause, event.signal) for event in events} == {("forbidden_call", "SIGSYS")}


async def test_a_library_that_looks_for_a_file_lives_on() -> None:
    """It is told that it may not, and its segment fails with that error instead of a death."""
    async with a_jail(target=ABOUT) as jail:
        with pytest.raises(SegmentError, match="PermissionError"):
            await jail.sample(media("call /etc/hostname"), asking())

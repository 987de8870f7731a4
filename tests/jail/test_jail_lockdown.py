"""How well the decoders are locked down: what the level says, and what becomes of a worker below it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from support.jails import a_jail

from worker.jail.lockdown import LEVELS, Lockdown, judge, too_open
from worker.jail.messages import Target
from worker.settings import tree

WITHOUT = """
import asyncio, errno, sys
import pyseccomp
from worker.jail.pool import Jail
from worker.errors import Stopped
from worker.settings import tree

async def main(require):
    try:
        jail = await Jail.start(tree.Jail(processes=1, require=require), max_bytes=1 << 20, on_event=lambda _: None)
    except Stopped as error:
        print("stopped:", error)
    else:
        print("started:", jail.lockdown)
        await jail.close()

refusing = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
for call in sys.argv[2:]:
    name, _, least = call.partition(":")
    only = [pyseccomp.Arg(0, pyseccomp.EQ, int(least))] if least else []
    refusing.add_rule(pyseccomp.ERRNO(errno.EPERM), name, *only)
refusing.load()
asyncio.run(main(sys.argv[1]))
"""
"""Starts a jail where the kernel refuses some calls, as a container runtime may."""
LANDLOCK = "landlock_create_ruleset"
SECCOMP = ("seccomp", "prctl:22")
"""The call, and PR_SET_SECCOMP."""
USER = ("setuid", "setgid", "setgroups")

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="the locks are Linux's")


def started_without(*calls: str, require: str = "full") -> str:
    """Return what becomes of a jail where these calls are refused."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)}
    command = [sys.executable, "-c", WITHOUT, require, *calls]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=60)
    return done.stdout.strip()


def test_nothing_through_and_nothing_absent_is_full() -> None:
    """Only then."""
    assert judge({}, ()) == Lockdown(level="full")
    assert judge({}, ("landlock",)) == Lockdown(level="partial", missing=("landlock",))


def test_what_got_through_decides_the_level() -> None:
    """A way to the network, to files or to other programs is no lock-down; the rest is a partial one."""
    for kind in ("network", "files", "exec"):
        assert judge({"way": kind}, ()).level == "none"
    for kind in ("processes", "others", "memory", "kernel", "user"):
        assert judge({"way": kind}, ()) == Lockdown(level="partial", missing=("way",))


def test_a_level_reaches_itself_and_those_below() -> None:
    """Full is more than partial, and partial is more than none."""
    reached = {(one, other) for one in LEVELS for other in LEVELS if Lockdown(level=one).reaches(other)}
    assert reached == {(one, other) for i, one in enumerate(LEVELS) for other in LEVELS[: i + 1]}


def test_a_worker_that_may_not_start_says_what_is_missing_and_what_to_set() -> None:
    """In one line."""
    line = too_open(Lockdown(level="partial", missing=("landlock", "thread")), "full")
    assert "\n" not in line
    assert "partial (missing: landlock, thread)" in line
    assert "jail.require = partial" in line
    assert "other than root" in too_open(Lockdown(level="partial", missing=("own_user",)), "full")


@on_linux
async def test_this_machine_reaches_full() -> None:
    """With the real decoder; a worker asks for no less by default."""
    assert tree.Jail().require == "full"
    async with a_jail(target=Target()) as jail:
        assert str(jail.lockdown) == "full"


async def test_a_jail_that_was_told_not_to_lock_says_so() -> None:
    """Only tests can tell it; it never passes for locked."""
    async with a_jail() as jail:
        assert jail.lockdown.level == "none"


@on_linux
@pytest.mark.parametrize(
    ("calls", "found"),
    [
        ((LANDLOCK,), "partial (missing: landlock)"),
        (SECCOMP, "none (missing: seccomp, "),
        ((*SECCOMP, LANDLOCK), "none (missing: landlock, seccomp, "),
    ],
)
def test_a_machine_that_refuses_a_lock_is_found_out(calls: tuple[str, ...], found: str) -> None:
    """By default no worker starts there; with jail.require lowered it does, and the level is told all the same."""
    assert started_without(*calls).startswith(f"stopped: the decoders' lock-down is {found}")
    assert started_without(*calls, require="none").startswith(f"started: {found}")


@on_linux
@pytest.mark.skipif(os.geteuid() != 0, reason="who is not root has no user to give up")
def test_a_root_that_can_not_change_its_user_is_partial() -> None:
    """As in a container that runs as root without capabilities."""
    assert started_without(*USER, require="partial") == "started: partial (missing: own_user)"


@on_linux
def test_without_the_filter_landlock_still_holds_the_files() -> None:
    """Each lock is a second one behind the other."""
    missing = started_without(*SECCOMP, require="none")
    assert "socket" in missing
    assert "open" not in missing.replace("openat2", "")
    assert "connect" not in missing

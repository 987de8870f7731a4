"""Freed memory is used again."""

from __future__ import annotations

import subprocess
import sys

import pytest

from worker import allocator

FAULTS = """
import resource, sys
from worker import allocator
if sys.argv[1] == "keep":
    assert allocator.keep_what_is_freed()
def bodies(count):
    for _ in range(count):
        parts = [bytes([n]) * 8_000_000 for n in range(1, 5)]
        del parts
bodies(3)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
bodies(10)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how):
    """Page faults of a process of its own, in which bodies come and go."""
    done = subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, check=True, text=True)
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_bodies_that_come_and_go_take_no_new_pages():
    """By default each takes its pages anew; told so, the same pages serve again."""
    assert faults("leave") > 10_000
    assert faults("keep") < 1_000


@pytest.mark.skipif(sys.platform == "linux", reason="other systems' allocators")
def test_other_systems_allocators_are_left_alone():
    """Nothing is told to a library that may not know it."""
    assert not allocator.keep_what_is_freed()

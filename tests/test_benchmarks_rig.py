"""What the benchmarks' rig counts: whose CPU it was, when, and what a worker is started with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT))  # last, so that the installed package goes before the tree's

from benchmarks.rig import cores, cpu, meter, processes, topics  # noqa: E402 - needs the path above
from worker.settings import load, tree  # noqa: E402

linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
FAMILY = """
import os, sys, time
def burn(s):
    while time.process_time() < s: pass
def child(s):
    pid = os.fork()
    if pid == 0:
        burn(s)
        print("burnt", flush=True)
        sys.stdin.read()
        os._exit(0)
    return pid
zygote = os.fork()
if zygote == 0:
    retired = os.fork()
    if retired == 0:
        burn(0.2)
        os._exit(0)
    os.waitpid(retired, 0)
    child(0.2)
    sys.stdin.read()
    os._exit(0)
burn(0.1)
print("burnt", flush=True)
sys.stdin.read()
"""
looks = st.lists(st.tuples(st.integers(1, 50), st.integers(0, 50)), min_size=2, max_size=20)


def grown(steps):
    """Looks whose time and counter only grow."""
    at, count, made = 0.0, 0.0, []
    for seconds, more in steps:
        at, count = at + seconds, count + more
        made.append((at, {"one": count}))
    return made


@given(looks, st.floats(0, 1), st.floats(0, 1))
def test_what_was_spent_in_two_spans_is_what_was_spent_in_both(steps, a, b):
    """A span is cut anywhere, and nothing is lost or counted twice."""
    made = grown(steps)
    (first, _), (last, counted) = made[0], made[-1]
    early, late = sorted(first + share * (last - first) for share in (a, b))
    parts = [meter.spent(made, *span)["one"] for span in ((first, early), (early, late), (late, last))]
    assert sum(parts) == pytest.approx(counted["one"] - made[0][1]["one"])
    assert all(part >= -1e-9 for part in parts)


def test_between_two_looks_it_was_spent_evenly():
    """Half of the time took half of it; who came later had spent nothing before."""
    made = [(10.0, {"one": 1.0}), (12.0, {"one": 3.0, "new": 1.0})]
    assert meter.spent(made, 10.0, 11.0) == {"one": 1.0, "new": 0.5}


@pytest.mark.parametrize("span", [(9.0, 11.0), (10.0, 12.5)])
def test_nothing_is_said_of_a_time_when_nobody_looked(span):
    """No figure is made up beyond the first and the last look."""
    with pytest.raises(ValueError, match="nobody looked"):
        meter.spent([(10.0, {"one": 1.0}), (12.0, {"one": 3.0})], *span)


@linux
def test_a_retired_decoders_cpu_counts_as_the_decoders():
    """Its zygote has waited for it: its time is nobody else's, and not lost."""
    family = subprocess.Popen([sys.executable, "-c", FAMILY], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        for _ in range(2):
            family.stdout.readline()
        spent = cpu.worker_s(family.pid)
        whole = cpu.tree_s(family.pid)
    finally:
        family.stdin.close()
        family.stdout.close()
        family.wait()
    assert spent.decoders >= 0.35
    assert 0.08 <= spent.loop <= 0.3
    assert spent.total == pytest.approx(whole, abs=0.05)


@linux
def test_a_core_is_as_busy_as_what_runs_on_it():
    """Whoever it is; and sleeping is not being busy."""
    allowed = os.sched_getaffinity(0)
    core = min(allowed)
    before = cpu.busy_s([core])
    burning = "import time\nwhile time.process_time() < 0.3: pass"
    with cores.on(frozenset([core])):
        subprocess.run([sys.executable, "-c", burning], check=True)
    assert cpu.busy_s([core]) - before >= 0.25
    assert cpu.busy_s([]) == 0
    assert os.sched_getaffinity(0) == allowed


@linux
def test_a_process_that_is_no_more_has_spent_nothing():
    """The figures then don't end in an error of the benchmark's own; that it ended is told elsewhere."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert cpu.tree_s(gone.pid) == 0
    assert cpu.worker_s(gone.pid).total == 0


@linux
def test_what_is_pinned_stays_there_with_its_threads(tmp_path):
    """The benchmark's own affinity is as before."""
    before = os.sched_getaffinity(0)
    one = frozenset([min(before)])
    with processes.started("sleeper", ["-c", "import time; time.sleep(60)"], tmp_path, cores=one) as sleeper:
        assert os.sched_getaffinity(sleeper.pid) == one
        cores.pin(sleeper.pid, frozenset(before))
        assert os.sched_getaffinity(sleeper.pid) == before
    assert os.sched_getaffinity(0) == before


def test_a_process_that_ended_says_why(tmp_path):
    """A benchmark never waits in silence for a worker that is gone."""
    with processes.started("worker", ["-c", "print('because'); exit(3)"], tmp_path) as process:
        process.popen.wait()
        with pytest.raises(RuntimeError, match="ended with 3:\nbecause"):
            process.raise_if_ended()


def test_a_worker_is_started_with_just_these_settings():
    """What its environment says is read back as the same settings, nested ones too."""
    settings = tree.Settings(
        topics=topics.named("stem"),
        matching=tree.Matching(lists=("/a,b", "/c")),
        fetch=tree.Fetch(roots=(tree.Root(uri="https://127.0.0.1:1/", private=True), "s3://bucket/")),
        jail=tree.Jail(require="partial"),
        web=tree.Web(port=0, console=False),
    )
    assert load.load(flags={}, environ=processes.environment(settings), config=None) == settings


def test_default_settings_are_no_environment():
    """A worker under test has the defaults that a user has."""
    assert processes.environment(tree.Settings()) == {}

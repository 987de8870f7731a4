"""The memory benchmark: its formula is the one that docs/memory.md tells, and what is held against it."""

from __future__ import annotations

import os
import re
import sys
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from support.footprint import resident_bytes

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT))  # last, so that the installed package goes before the tree's

from benchmarks.memory import formula, report, result  # noqa: E402 - needs the path above
from benchmarks.memory.footprint import footprint  # noqa: E402
from benchmarks.memory.formula import MIB, Load, expected_bytes, most_bytes  # noqa: E402
from benchmarks.memory.part import PART  # noqa: E402
from benchmarks.part import Run, failed  # noqa: E402
from benchmarks.scrape import part as scrape  # noqa: E402
from worker.matching import search  # noqa: E402

PAGE = (ROOT / "docs" / "memory.md").read_text()
loads = st.builds(
    Load,
    decoders=st.integers(1, 64),
    streams=st.integers(0, 10**6),
    in_work_bytes=st.integers(0, 2**33),
    entries=st.integers(0, 10**7),
)


def told(row):
    """What the page says in a row: the column to reckon with, and the most."""
    [found] = re.findall(rf"^\| {row}[^|]*\|([^|]*)\|([^|]*)\|$", PAGE, re.MULTILINE)
    return tuple(map(str.strip, found))


def test_the_page_says_the_formulas_numbers():
    """Whoever reckons by the page gets what the benchmark holds a worker against."""
    assert told("the worker")[0] == f"{formula.WORKER_MIB} MiB"
    assert told("what decoders are forked from")[0] == f"{formula.AROUND_MIB} MiB"
    assert told("a decoder that works")[0] == f"{formula.DECODER_MIB} MiB"
    assert told("a stream, with")[0] == f"{formula.STREAM_BYTES / 1000:g} kB"
    assert told("its segments to preserve") == (
        f"{formula.PRESERVED_BYTES / 1000:g} kB",
        f"{formula.PRESERVED_MOST_BYTES / 1000:g} kB",
    )
    expected, most = told("fetched from Kafka")
    assert expected == (
        f"as much as bodies in work, up to {formula.FETCHED * formula.FETCHED_MIB + formula.KEPT_MIB} MiB"
    )
    assert most.startswith(f"{formula.FETCHED} ")
    assert f"larger of {formula.FETCHED_MIB} MiB and" in most
    assert most.endswith(f"and {formula.KEPT_MIB} MiB")
    assert told("results that wait")[1] == f"{formula.RESULTS_MIB} MiB"
    assert told("an entry of a hash list of fewer")[0] == f"{formula.HASH_BYTES} bytes"
    assert told("an entry of a longer one")[0] == (
        f"{formula.INDEXED_HASH_BYTES} bytes, and {formula.INDEX_MIB} MiB a list"
    )
    assert f"an entry of a hash list of fewer than {formula.INDEXED_FROM:,}" in PAGE
    assert formula.INDEXED_FROM == search.INDEXED_FROM


@given(loads)
def test_the_most_is_never_less_than_what_is_reckoned_with(load):
    """Whatever the load."""
    assert expected_bytes(load) <= most_bytes(load, pictures_bytes=0)


@given(loads, loads)
def test_more_of_anything_never_takes_less(one, other):
    """So the settings give a bound for all loads below them."""
    larger = Load(**{name: max(getattr(one, name), getattr(other, name)) for name in Load.__struct_fields__})
    assert expected_bytes(larger) >= max(expected_bytes(one), expected_bytes(other)) - formula.INDEX_MIB * MIB
    assert most_bytes(larger, pictures_bytes=9) >= most_bytes(one, pictures_bytes=9) - formula.INDEX_MIB * MIB


def test_a_footprint_counts_what_is_resident():
    """Of a process without children it is about what Linux says is resident; shared libraries once."""
    found = footprint(os.getpid())
    assert found.worker == pytest.approx(resident_bytes(os.getpid()), rel=0.1)
    assert found.total == found.worker + sum(found.below)


def a_point(expected_mib, measured_mib, most_mib=1000):
    """A worker that took so much."""
    return result.Point(
        axis=result.STREAMS,
        at=1000,
        load=Load(streams=1000),
        worker=(measured_mib - 20) * MIB,
        below=(10 * MIB, 10 * MIB),
        expected=expected_mib * MIB,
        most=most_mib * MIB,
    )


def a_result(*points, wrong=0):
    """What a run gave."""
    return result.Memory(clip="720p", segment_bytes=500_000, points=points, wrong=wrong)


@pytest.mark.parametrize(
    ("found", "missed"),
    [
        (a_result(a_point(100, 114), a_point(100, 86)), []),
        (a_result(a_point(100, 114), a_point(100, 116)), ["off the formula"]),
        (a_result(a_point(100, 84)), ["off the formula"]),
        (a_result(a_point(100, 101, most_mib=100)), ["over the most"]),
        (a_result(a_point(100, 100), wrong=1), ["looked at just once"]),
    ],
)
def test_a_formula_that_is_off_either_way_is_missed_in_a_quick_run_too(found, missed):
    """Too much is a limit that nobody needs, too little is a killed worker."""
    breached = failed(result.checks(found), quick=True)
    assert len(breached) == len(missed)
    assert all(what in one.bound.value for what, one in zip(missed, breached, strict=True))


def test_a_result_is_kept_told_and_drawn():
    """As JSON and back it is the same; its text links just the plot that there is."""
    found = a_result(a_point(100, 114), a_point(300, 286))
    assert msgspec.json.decode(msgspec.json.encode(found), type=PART.result) == found
    [(name, _)] = report.plots(found)
    assert report.text(found).count(".svg)") == report.text(found).count(f"(benchmarks/memory-{name}.svg)") == 1


# --- the scrape -------------------------------------------------------------------------------------------------------


def test_a_scrape_that_holds_the_event_loop_for_too_long_is_missed():
    """By its 99th percentile; the answer has the metrics in it."""
    with ExitStack() as closing:
        found = scrape.measure(Run(quick=True, seed=1, tell=print, closing=closing))
    assert found.size_bytes > 10_000
    assert found.took_ms.median <= found.p99_ms <= found.worst_ms
    assert failed(scrape.checks(replace(found, p99_ms=51.0)), quick=False)
    assert not failed(scrape.checks(replace(found, p99_ms=49.0)), quick=False)
    assert f"{scrape.QUICK_STREAMS:,}" in scrape.text(found)

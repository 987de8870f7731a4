"""The fault suite's own eyes: its reader notices what is lost or doubled; its proxy does as it is told."""

from __future__ import annotations

import asyncio
import random

import pytest
from support.faults import report
from support.faults.oracle import Outcome, Revision, Told, assert_same
from support.faults.proxy import proxied
from support.faults.stall import longest_stall_s, slowest_s
from support.faults.vitals import Slope, by_minute, slope

from worker.errors import Stopped
from worker.kafka import admin
from worker.records import AssessmentReport, Timings
from worker.settings.tree import Kafka

METADATA = 3


def assessed(offset: int, *, sequence: int | None = None, risk: float = 1.0, partition: int = 0) -> AssessmentReport:
    """An assessment of a segment of one stream; its sequence is its offset unless told."""
    return AssessmentReport(
        topic="segments",
        partition=partition,
        offset=offset,
        event_id=None,
        stream_id=f"s{partition}",
        outcome="assessed",
        why=None,
        sequence=offset if sequence is None else sequence,
        media_time_s=None,
        duration_s=None,
        frames=(),
        digest=None,
        risk=risk,
        timings=Timings(),
    )


def learned(*reports: AssessmentReport, every_ms: int = 1000) -> Told:
    """What a reader knows after these."""
    told = Told()
    for n, one in enumerate(reports):
        told.learn_outcome(one, n * every_ms)
    return told


@pytest.mark.parametrize(
    ("reports", "count"),
    [
        ([assessed(0), assessed(2)], 3),
        ([assessed(0), assessed(1), assessed(1, sequence=2)], 2),
        ([assessed(0, sequence=1), assessed(1, sequence=0)], 2),
        ([assessed(0), assessed(1)], 1),
    ],
    ids=["lost", "doubled", "out of order", "one too many"],
)
def test_a_reader_notices_what_is_not_as_it_should_be(reports, count):
    """Each of them fails the check."""
    with pytest.raises(AssertionError):
        learned(*reports).check(count)


def test_a_reader_is_content_with_one_outcome_each_in_order():
    """Also where partitions take turns."""
    learned(assessed(0), assessed(0, partition=1), assessed(1), assessed(1, partition=1)).check(4)


def test_a_difference_from_a_quiet_run_is_shown():
    """An outcome's risk, an incident and a final risk, each with what it would have been in peace."""
    quiet, disturbed = learned(assessed(0)), learned(assessed(0, risk=2.0))
    quiet.incidents["i"] = [Revision("s0", 1, "open", None, "high", 0, 9.0)]
    with pytest.raises(AssertionError, match="3 differences") as failed:
        assert_same(disturbed, quiet)
    assert all(words in str(failed.value) for words in ("outcome of (0, 0)", "incident i: nothing", "risk of s0: 2.0"))


def test_the_time_of_an_outcome_is_no_difference():
    """Who works slowly is told the same."""
    assert_same(learned(assessed(0), assessed(1), every_ms=50), learned(assessed(0), assessed(1)))


def test_a_stall_is_one_partition_s():
    """Another partition's outcomes in between do not hide it."""
    told = learned(assessed(0), assessed(0, partition=1), assessed(1, partition=1), assessed(1))
    assert longest_stall_s(told) == 3.0


def test_stalls_are_told_from_a_moment_on():
    """What was published before it does not count."""
    told = Told()
    for offset, (at_ms, appended_ms) in enumerate([(100, 50), (9000, 60), (9500, 8000), (9900, 9800)]):
        told.outcomes[0, offset] = Outcome("s", offset, "assessed", None, 1.0, at_ms=at_ms, appended_ms=appended_ms)
    assert (longest_stall_s(told), slowest_s(told)) == (8.9, 8.94)
    assert (longest_stall_s(told, since_ms=7000), slowest_s(told, since_ms=7000)) == (0.4, 1.5)


def test_a_trend_is_told_from_noise():
    """Memory that grows by twice its noise in an hour is seen in an hour's minutes, an outlier is not taken for it."""
    chance = random.Random(3)  # noqa: S311 - no secret
    noise = [(60.0 * minute, chance.gauss(100, 1)) for minute in range(60)]
    assert slope(noise).is_none
    assert slope([*noise, (3600.0, 10_000.0)]).is_none
    assert slope([(at_s, rss + at_s / 3600 * 2) for at_s, rss in noise]).least > 0
    assert slope([(at_s, rss - at_s / 3600 * 2) for at_s, rss in noise]).most < 0


def test_a_straight_line_s_slope_is_its_own():
    """Without noise the interval is that slope alone; a minute counts once, however often it was looked at."""
    points = by_minute([(float(at_s), 5.0 + 2.0 * at_s) for at_s in range(600)])
    assert len(points) == 10
    assert slope(points) == Slope(2.0, 2.0, 2.0)


def test_a_row_replaces_its_test_s_old_one_and_those_of_tests_that_are_gone_go(tmp_path):
    """The page's prose stays as it is."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_a.py").write_text("async def test_kept(): ...\ndef test_new(): ...\n")
    page = tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}{report.END}after\n")
    rows = [report.Row(f"tests/test_a.py::test_{name}", "A fault.", "failed", 1.0) for name in ("kept", "new", "gone")]
    report.write(rows, page, tmp_path)
    report.write([report.Row("tests/test_a.py::test_new", "A fault.", "passed", 2.0, ["x 1 s"])], page, tmp_path)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    lines = [line.split(" | ")[1:3] for line in text.splitlines() if "`tests/" in line]
    assert lines == [["failed", ""], ["passed", "x 1 s"]]


async def reached(address: str) -> bool:
    """Whether a broker answers at an address within a second."""
    try:
        async with asyncio.timeout(1):
            return (await admin.cluster(Kafka(bootstrap_servers=address))).brokers == 1
    except (Stopped, TimeoutError):
        return False


async def test_a_proxy_cuts_stalls_drops_answers_and_mends(tmp_path):
    """Whoever starts from its address is led to the broker through it only; nobody else notices."""
    async with proxied(tmp_path / "cluster") as link:
        [proxy] = link.proxies
        direct = link.cluster.bootstrap_servers
        assert await reached(proxy.address)
        before = proxy.connections
        assert await reached(direct)
        assert proxy.connections == before
        for fault in (proxy.stall, lambda: proxy.drop("to_client"), lambda: proxy.drop("to_broker")):
            fault()
            assert (await reached(proxy.address), await reached(direct)) == (False, True)
            await proxy.mend()
            assert await reached(proxy.address)
        await proxy.cut()
        assert (await reached(proxy.address), await reached(direct)) == (False, True)
        await proxy.mend()
        asked: list[int] = []
        proxy.answer(METADATA, lambda version, _: asked.append(version) or b"nonsense")
        assert not await reached(proxy.address)
        assert asked
        proxy.answer(METADATA, None)
        assert await reached(proxy.address)

"""What the fault suite's tests share: their scale, what they measure, and the page that tells of them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from support.faults import report

if TYPE_CHECKING:
    from collections.abc import Generator

ROWS = pytest.StashKey[list[report.Row]]()
MEASURED = pytest.StashKey[report.Measured]()
collect_ignore = [] if os.environ.get("FRAMEWATCH_TEST_SOAK_MINUTES") else ["test_soak.py"]


def pytest_configure(config: pytest.Config) -> None:
    """Begin with no rows."""
    config.stash[ROWS] = []


@pytest.fixture
def scale() -> report.Scale:
    """Whether full counts are asked for: FRAMEWATCH_TEST_FAULTS=full."""
    return report.scale()


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> report.Measured:
    """Call it with what was measured, the figure and its unit: it is published beside the test's result."""
    return request.node.stash.setdefault(MEASURED, report.Measured())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep a row of each test that was run."""
    told = yield
    if call.when == "call" and not told.skipped:
        item.config.stash[ROWS].append(_row(item, told))
    return told


def _row(item: pytest.Item, told: pytest.TestReport) -> report.Row:
    case = getattr(item, "callspec", None)
    return report.Row(
        test=item.nodeid,
        fault=report.sentence(getattr(item.obj, "__doc__", None), case.id if case else ""),
        result=told.outcome,
        took_s=told.duration,
        figures=item.stash.setdefault(MEASURED, report.Measured()).figures,
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show what was measured."""
    for row in config.stash[ROWS]:
        if row.figures:
            terminalreporter.write_line(f"{row.test.rpartition('::')[2]}: {'; '.join(row.figures)}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the page, where that is asked for."""
    rows = session.config.stash[ROWS]
    if rows and report.is_written():
        report.write(rows)

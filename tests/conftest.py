"""What all tests share: the media they may use and a real broker."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import kafka

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[kafka.Cluster]:
    """A real Apache Kafka of one broker, shared by the whole run: give your topics and groups names of their own."""
    reason = kafka.why_not()
    if reason is not None:
        if os.environ.get("FRAMEWATCH_TEST_REQUIRE_KAFKA"):
            pytest.fail(f"FRAMEWATCH_TEST_REQUIRE_KAFKA is set, but {reason}")
        pytest.skip(reason)
    with kafka.running(tmp_path_factory.mktemp("kafka") / "cluster") as cluster:
        yield cluster


@pytest.fixture(scope="session")
def shared_media() -> Path:
    """The folder of real media that FRAMEWATCH_TEST_MEDIA names."""
    folder = os.environ.get("FRAMEWATCH_TEST_MEDIA")
    if not folder:
        pytest.skip("FRAMEWATCH_TEST_MEDIA names no folder of real media")
    return Path(folder)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what needs the real broker, so that ``-m 'not kafka'`` leaves it out."""
    for item in items:
        if "broker" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.kafka)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Shows the end of the broker's log under a test that failed with it."""
    report = yield
    cluster = getattr(item, "funcargs", {}).get("broker")
    if report.failed and isinstance(cluster, kafka.Cluster):
        report.sections.append(("the end of the broker's log", cluster.log_tail()))
    return report

"""Metrics: declared once, bounded, and true."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path
from typing import get_args

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support import prometheus
from support.generated import compare

from worker.jail.events import Cause
from worker.records import ModelRef, PolicyRef
from worker.telemetry import Telemetry
from worker.telemetry.catalogue import METRICS, table
from worker.telemetry.catalogue.bounds import CAUSES, ERRORS, UNREADY
from worker.telemetry.catalogue.metric import OTHER
from worker.telemetry.process import ListInUse
from worker.telemetry.segments import MOST_LABELS

SOURCES = Path(__file__).parents[1] / "worker"


def series(telemetry: Telemetry) -> set[tuple[str, tuple[str, ...]]]:
    """Every series that is exposed, without histograms' buckets: name and label values."""
    text = telemetry.expose("")[0].decode()
    return {
        (sample.name, tuple(sample.labels.values()))
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("framewatch_") and "le" not in sample.labels
    }


def calls(name: str) -> list[tuple[str, str]]:
    """The first two arguments of each call of a name in the sources, where both are literal texts."""
    found = []
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
                texts = [one.value for one in node.args[:2] if isinstance(one, ast.Constant)]
                if len(texts) == 2:
                    found.append((texts[0], texts[1]))
    return found


def a_list(name: str, entries: int, published_s: float | None = None) -> ListInUse:
    """A hash list in use."""
    return ListInUse(name=name, version="2026-11-01", kind="block", entries=entries, published_s=published_s)


def test_every_metric_says_what_bounds_its_labels() -> None:
    """A metric has all its label values listed, or a line that says what bounds them; and it has a meaning."""
    for metric in METRICS:
        assert metric.name.startswith("framewatch_")
        assert metric.meaning.endswith(".")
        assert bool(metric.labels) == bool(metric.values or metric.bound), metric.name
        assert not (metric.values and metric.bound), metric.name
        assert all(len(values) == len(metric.labels) for values in metric.values)
        assert not {"stream", "stream_id", "account", "tenant"} & set(metric.labels)
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
        assert bool(metric.buckets) == (metric.kind == "histogram"), metric.name


def test_every_metric_says_its_unit_and_what_to_do() -> None:
    """A name carries its unit as Prometheus has it, base units only; whoever is woken reads what helps."""
    for metric in METRICS:
        stem = metric.name.removesuffix("_total")
        assert metric.action.endswith("."), metric.name
        assert metric.unit, metric.name
        assert stem.endswith("_seconds") == (metric.unit in {"seconds", "timestamp"}), metric.name
        assert stem.endswith("_timestamp_seconds") == (metric.unit == "timestamp"), metric.name
        assert stem.endswith("_bytes") == (metric.unit == "bytes"), metric.name


def test_a_scrape_is_as_prometheus_has_it() -> None:
    """Promtool has nothing to say of it, and the client's times of creation, which double the series, are left out."""
    prometheus.needed()
    telemetry = Telemetry()
    telemetry.lag(0, 1)
    text = telemetry.expose("")[0].decode()
    told = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (told.returncode, told.stdout + told.stderr) == (0, "")
    assert "_created" not in text


def test_the_unready_are_not_ready() -> None:
    """One gauge says whether, one says why, each reason by itself; before anything is known it is not ready."""
    telemetry = Telemetry()
    assert telemetry.value("framewatch_ready") == 0
    telemetry.readiness({"held"})
    told = {reason: telemetry.value("framewatch_unready", reason) for reason in UNREADY}
    assert (telemetry.value("framewatch_ready"), told) == (0, dict.fromkeys(UNREADY, 0) | {"held": 1})
    telemetry.readiness(frozenset())
    assert (telemetry.value("framewatch_ready"), telemetry.value("framewatch_unready", "held")) == (1, 0)


def test_a_model_of_a_thousand_labels_makes_no_thousand_series() -> None:
    """The first of them have a distribution, in the order of their names; the others are not told."""
    telemetry = Telemetry()
    labels = [f"label-{number:04}" for number in range(1000)]
    telemetry.labels(labels)
    for label in labels:
        telemetry.scored(label, 0.5)
    told = {values for name, values in series(telemetry) if name == "framewatch_label_probability_count"}
    assert told == {(label,) for label in labels[:MOST_LABELS]}


def test_the_longest_gap_is_of_the_last_minutes() -> None:
    """A scrape a minute sees a gap that ended between two, and an hour later it is no news."""
    now_s = [0.0]
    telemetry = Telemetry(lambda: now_s[0])
    telemetry.gap("missing", 40.0)
    telemetry.gap("missing", 4.0)
    seen = []
    for passed_s in (60.0, 3600.0):
        now_s[0] += passed_s
        seen.append(telemetry.value("framewatch_longest_gap_seconds", "missing"))
    assert seen == [40.0, 0.0]


def test_a_list_is_told_with_its_version_and_how_new_it_is() -> None:
    """Of one whose age nobody knows there is no age, rather than one of fifty years."""
    telemetry = Telemetry()
    policy = PolicyRef(name="default", sha256="00")
    model = ModelRef(name="demo", version="1", sha256="aa")
    telemetry.decides_with(model, policy, [a_list("old", 3, 1000.0), a_list("new", 4)], model_published_s=None)
    told = series(telemetry)
    assert telemetry.value("framewatch_list_info", "old", "2026-11-01", "block") == 1
    ages = {values for name, values in told if name == "framewatch_list_published_timestamp_seconds"}
    assert ages == {("old",)}
    assert not [name for name, _ in told if name == "framewatch_model_published_timestamp_seconds"]


def test_no_metric_is_declared_twice() -> None:
    """Each name is in the catalogue once."""
    names = [metric.name for metric in METRICS]
    assert len(names) == len(set(names))


def test_a_value_that_nobody_listed_is_told_as_other() -> None:
    """Whatever is told, the series stay those of the catalogue and one more."""
    telemetry = Telemetry()
    before = series(telemetry)
    for number in range(50):
        telemetry.dead_letter("wire", f"made up {number}")
        telemetry.stage(f"made up {number}", 1.0)
        telemetry.outcome("skipped", f"made up {number}")
        telemetry.decoder_ended("died", f"made up {number}")
    new = series(telemetry) - before
    assert {value for _, values in new for value in values} == {OTHER}
    assert telemetry.value("framewatch_dead_letters_total", OTHER, OTHER) == 50


def test_what_has_not_happened_yet_is_there_as_zero() -> None:
    """Series begin at 0, so that their first increase is an increase."""
    lines = Telemetry().expose("")[0].decode().splitlines()
    assert 'framewatch_segments_total{outcome="dead_lettered"} 0.0' in lines
    assert 'framewatch_dead_letters_total{error="no_init",stage="fetch"} 0.0' in lines


def test_every_dead_letter_that_the_sources_name_is_in_the_catalogue() -> None:
    """No error that a station raises is counted as other."""
    raised = calls("SegmentError") + calls("Failure")
    assert raised
    assert {(stage, error) for stage, error in raised if error not in ERRORS.get(stage, ())} == set()


def test_every_end_of_a_decoder_is_in_the_catalogue() -> None:
    """The causes are those that the jail tells."""
    assert set(CAUSES) == set(get_args(Cause))


def test_each_event_is_counted_where_it_belongs() -> None:
    """The methods move the series that they are named after."""
    telemetry = Telemetry()
    telemetry.consumed(1000)
    telemetry.consumed(24)
    telemetry.outcome("assessed", None)
    telemetry.outcome("assessed", "late")
    telemetry.outcome("dead_lettered", "corrupt")
    telemetry.incident("opened", "critical")
    telemetry.escalated_after(1.5, None)
    telemetry.expired(7)
    assert telemetry.value("framewatch_consumed_total") == 2
    assert telemetry.value("framewatch_consumed_bytes_total") == 1024
    assert telemetry.value("framewatch_segments_total", "assessed") == 2
    assert telemetry.value("framewatch_segment_reasons_total", "assessed", "late") == 1
    assert telemetry.value("framewatch_segments_total", "dead_lettered") == 1
    assert telemetry.value("framewatch_incidents_total", "opened", "critical") == 1
    assert telemetry.value("framewatch_escalation_seconds_sum") == 1.5
    assert telemetry.value("framewatch_escalation_seconds_count") == 1
    assert telemetry.value("framewatch_segments_expired_total") == 7


def test_a_partition_that_was_given_away_is_told_no_more() -> None:
    """After an assignment only the partitions owned now have series."""
    telemetry = Telemetry()
    for partition in range(3):
        telemetry.in_flight(partition, 1, 10)
        telemetry.lag(partition, 5)
    telemetry.lag(4, None)
    telemetry.owned(1)
    telemetry.in_flight(2, 1, 10)
    of_partitions = {values for name, values in series(telemetry) if re.search("in_flight|lag_messages", name)}
    assert of_partitions == {("2",)}


def test_what_is_decided_with_replaces_what_was_before() -> None:
    """After a swap only the model, policy and lists in use have series."""
    telemetry = Telemetry()
    policy = PolicyRef(name="default", sha256="00")
    model = ModelRef(name="demo", version="1", sha256="aa")
    telemetry.decides_with(model, policy, [a_list("old", 3)], running=("cuda", "cpu", 8))
    assert telemetry.value("framewatch_model_provider_info", "cuda", "cpu") == 1
    assert sum(name == "framewatch_model_provider_info" for name, _ in series(telemetry)) == 1
    assert telemetry.value("framewatch_model_batch") == 8
    telemetry.decides_with(None, policy, [a_list("national", 9)])
    told = series(telemetry)
    assert not {values for name, values in told if name in ("framewatch_model_info", "framewatch_model_provider_info")}
    assert telemetry.value("framewatch_model_batch") == 0
    assert {values for name, values in told if name == "framewatch_list_entries"} == {("national",)}


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text; version=1.0.0; charset=utf-8"])
def test_two_workers_in_one_process_count_apart(accept: str) -> None:
    """Nothing is global: each Telemetry has its own registry."""
    one, other = Telemetry(), Telemetry()
    one.consumed(1)
    assert b"framewatch_consumed_total 1.0" in one.expose(accept)[0]
    assert b"framewatch_consumed_total 0.0" in other.expose(accept)[0]


def test_the_documents_table_is_the_catalogue() -> None:
    """docs/metrics.md has the catalogue as it is declared."""
    compare("metrics.md", "metrics", table())

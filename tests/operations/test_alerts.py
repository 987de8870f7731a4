"""Objectives and alerts: each has its case, its runbook and its severity, and none fires while all is well."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from support import prometheus, promql

from worker.telemetry.catalogue import METRICS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.telemetry.catalogue.metric import Metric

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "helm" / "framewatch" / "files" / "rules.yaml"
CASES = ROOT / "deploy" / "alerts" / "tests.yaml"
RUNBOOKS = ROOT / "docs" / "runbooks"
GROUPS = yaml.safe_load(RULES.read_text())
ALERTS = {rule["alert"]: rule for group in GROUPS["groups"] for rule in group["rules"] if "alert" in rule}
MINUTES = 60
WORKERS = ("a", "b", "c")
BOUND = {"list": "national", "label": "card", "partition": "0", "version": "2026-11-01", "kind": "block"}
"""A value of each label whose values are the operator's."""
NORMAL = {
    # Done and in work add up to what was consumed; two in a thousand are dead letters.
    "framewatch_consumed_total": "24+6000x{m}",
    'framewatch_segments_total{outcome="assessed"}': "0+5980x{m}",
    'framewatch_segments_total{outcome="dead_lettered"}': "0+12x{m}",
    "framewatch_notices_total": "0+8x{m}",
    "framewatch_in_flight_segments": "24x{m}",
    "framewatch_in_flight_bytes": "24000000x{m}",
    "framewatch_consumed_bytes_total": "0+6000000000x{m}",
    'framewatch_segment_reasons_total{outcome="assessed",why="late"}': "0+3x{m}",
    'framewatch_dead_letters_total{stage="decode",error="corrupt"}': "0+12x{m}",
    'framewatch_media_seconds_total{coverage="watched",cause="none"}': "0+11960x{m}",
    'framewatch_media_seconds_total{coverage="recovered",cause="none"}': "0+6x{m}",
    'framewatch_media_seconds_total{coverage="unwatched",cause="decode"}': "0+24x{m}",
    'framewatch_media_seconds_total{coverage="unwatched",cause="missing"}': "0+60x{m}",
    'framewatch_longest_gap_seconds{cause="missing"}': "20x{m}",
    "framewatch_keyframes_total": "0+6000x{m}",
    "framewatch_matches_total": "0+2x{m}",
    'framewatch_incidents_total{change="opened",severity="high"}': "0+1x{m}",
    'framewatch_incident_reasons_total{kind="label",severity="high"}': "0+1x{m}",
    "framewatch_open_incidents": "4x{m}",
    "framewatch_escalation_seconds_count": "0+1x{m}",
    "framewatch_escalation_seconds_bucket": "0+1x{m}",
    "framewatch_escalation_from_capture_seconds_count": "0+1x{m}",
    "framewatch_escalation_from_capture_seconds_bucket": "0+1x{m}",
    'framewatch_releases_total{result="ok"}': "0+120x{m}",
    "framewatch_last_release_timestamp_seconds": "0+60x{m}",
    "framewatch_rebalances_total": "2x{m}",
    "framewatch_partitions_owned": "8x{m}",
    "framewatch_lag_messages": "3 8 2 5x{m}",
    "framewatch_behind_seconds": "0 1 0 2x{m}",
    "framewatch_streams": "900x{m}",
    "framewatch_streams_bytes": "4000000x{m}",
    'framewatch_streams_evicted_total{why="ended"}': "0+7x{m}",
    'framewatch_streams_evicted_total{why="idle"}': "0+3x{m}",
    'framewatch_decoder_ends_total{change="retired",cause="worn"}': "0+2x{m}",
    'framewatch_decoder_ends_total{change="killed",cause="timeout"}': "0x30 1x30",
    "framewatch_decoders_alive": "3x{m}",
    "framewatch_decoders_busy": "1x{m}",
    "framewatch_ready": "1x{m}",
    'framewatch_jail_level{level="full"}': "1x{m}",
    "framewatch_list_info": "1x{m}",
    "framewatch_model_info": "1x{m}",
    "framewatch_policy_info": "1x{m}",
    "framewatch_build_info": "1x{m}",
    "framewatch_list_entries": "100000x{m}",
    "framewatch_list_published_timestamp_seconds": "-86400x{m}",
    "framewatch_model_published_timestamp_seconds": "-86400x{m}",
}
"""What a worker tells in an hour in which all is well; what is not here stays at 0."""


def expressions() -> Iterator[tuple[str, str]]:
    """Every rule's name and expression."""
    for group in GROUPS["groups"]:
        for rule in group["rules"]:
            yield rule.get("alert") or rule["record"], rule["expr"]


def test_promtool_finds_nothing_wrong_with_the_rules():
    """They are a rules file that Prometheus loads."""
    prometheus.needed()
    checked = prometheus.promtool("check", "rules", RULES)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_expression_names_what_the_worker_declares():
    """Metrics, labels and label values are those of the catalogue, or recorded by another rule."""
    recorded = promql.records(GROUPS)
    assert {name: wrong for name, text in expressions() if (wrong := promql.undeclared(text, recorded))} == {}


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_says_how_urgent_it_is_what_it_means_and_what_to_do(name):
    """It pages or makes a ticket, has a summary and a description in sentences, and a runbook that is there."""
    rule = ALERTS[name]
    notes = rule["annotations"]
    assert name.startswith("Framewatch")
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert notes["summary"]
    assert notes["description"].endswith((".", "?"))
    page = ROOT / notes["runbook_url"]
    assert page.parent == RUNBOOKS
    assert f"`{name}`" in page.read_text()
    for part in ("## What it means", "## How to look", "## What to do"):
        assert part in page.read_text(), page


def test_every_runbook_is_some_alerts_and_listed():
    """No page is left over, and the list of them has each alert with its severity."""
    used = {Path(rule["annotations"]["runbook_url"]).name for rule in ALERTS.values()}
    assert {page.name for page in RUNBOOKS.glob("*.md")} == used | {"README.md"}
    listed = (RUNBOOKS / "README.md").read_text()
    for name, rule in ALERTS.items():
        page = Path(rule["annotations"]["runbook_url"]).name
        assert f"| `{name}` | {rule['labels']['severity']} | [{page.removesuffix('.md')}]({page}) |" in listed


def test_every_alert_has_a_case_that_makes_it_fire_and_one_that_does_not():
    """In the file that promtool runs."""
    found: dict[str, set[bool]] = defaultdict(set)
    for case in yaml.safe_load(CASES.read_text())["tests"]:
        for one in case["promql_expr_test"]:
            name = re.search(r'alertname="(\w+)"', one["expr"])
            assert name is not None
            assert case["name"].startswith(f"{name[1]} {'fires' if one['exp_samples'] else 'is quiet'}")
            found[name[1]].add(bool(one["exp_samples"]))
    assert found == {name: {True, False} for name in ALERTS}


def test_the_route_of_the_documentation_is_one(tmp_path):
    """Alertmanager's own tool takes it, and sends a page to the pager."""
    prometheus.needed()
    route = re.search(r"^```yaml\n(route:.*?)^```", (ROOT / "docs" / "slo.md").read_text(), re.MULTILINE | re.DOTALL)
    assert route is not None
    file = tmp_path / "alertmanager.yml"
    file.write_text(f"{route[1]}receivers: [{{name: tickets}}, {{name: pager}}]\n")
    assert prometheus.amtool("check-config", file).returncode == 0
    routed = prometheus.amtool(
        "config", "routes", "test", f"--config.file={file}", "alertname=FramewatchBehind", "severity=page"
    )
    assert routed.stdout.strip() == "pager"


def test_every_case_holds():
    """Each alert fires within its stated time when its fault is there, and is quiet in its counter-example."""
    prometheus.needed()
    tested = prometheus.promtool("test", "rules", CASES)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_no_alert_fires_in_an_hour_in_which_all_is_well(tmp_path):
    """Nor is one about to: three workers tell every metric that there is, for an hour of normal load."""
    prometheus.needed()
    file = tmp_path / "normal.yaml"
    file.write_text(yaml.safe_dump(_hour(), width=1000))
    tested = prometheus.promtool("test", "rules", file)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_clocks_are_shortened_everywhere():
    """A minute is a second in every window, look-back and ``for`` of hurried rules, and no less than a second."""
    hurried = yaml.safe_load(
        prometheus.hurried("groups: [{name: a, rules: [{expr: 'x[5m] offset 1h', for: 10s}]}]", 60)
    )
    rule = hurried["groups"][0]["rules"][0]
    assert (rule["expr"], rule["for"]) == ("x[5000ms] offset 60000ms", "1000ms")


def _hour() -> dict:
    """A file for promtool: series of every metric, and nothing but silence expected."""
    around = [("up", "", f"1x{MINUTES}"), ("process_start_time_seconds", "", f"0x{MINUTES}")]
    series = [
        {"series": f'{name}{{namespace="safety",job="fw",instance="{worker}"{more}}}', "values": values}
        for worker in WORKERS
        for name, more, values in [*_normal(), *around]
    ]
    quiet = [{"expr": "ALERTS", "eval_time": f"{minute}m", "exp_samples": []} for minute in range(1, MINUTES)]
    test = {"interval": "1m", "input_series": series, "promql_expr_test": quiet}
    return {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [test]}


def _normal() -> Iterator[tuple[str, str, str]]:
    used = set()
    for metric in METRICS:
        for name, labels in _series(metric):
            text = "".join(f',{label}="{value}"' for label, value in labels.items())
            key = next((key for key in (f"{name}{{{text[1:]}}}", name) if key in NORMAL), None)
            used.add(key)
            yield name, text, (NORMAL[key] if key else "0x{m}").format(m=MINUTES)
    assert used >= set(NORMAL), set(NORMAL) - used


def _series(metric: Metric) -> Iterator[tuple[str, dict[str, str]]]:
    combinations = metric.values or [tuple(BOUND.get(label, "x") for label in metric.labels)]
    for values in combinations:
        labels = dict(zip(metric.labels, values, strict=True))
        if metric.kind != "histogram":
            yield metric.name, labels
            continue
        yield f"{metric.name}_count", labels
        for bound in metric.buckets:
            yield f"{metric.name}_bucket", labels | {"le": str(bound)}

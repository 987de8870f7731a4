"""Grafana's dashboards: made by code, and every panel has something to show."""

from __future__ import annotations

import asyncio
import json
import math
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from support import load, prometheus, promql
from support.deployment import deployed
from support.kafka import free_ports

from worker.settings.tree import Jail, Matching, Web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from support.deployment import Deployment

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "framewatch" / "files"
MADE = sorted((CHART / "dashboards").glob("*.json"))
RULES = (CHART / "rules.yaml").read_text()
HURRY = 60
"""A minute of the rules is a second here."""
STANDS_FOR = {
    "$namespace": ".*",
    "$job": ".*",
    "$instance": ".*",
    "$__rate_interval": "15s",
    "$__range": "60s",
}


def panels(path: Path) -> list[dict[str, Any]]:
    """A dashboard's panels, without the rows between them."""
    return [one for one in json.loads(path.read_text())["panels"] if one["type"] != "row"]


def expressions() -> Iterator[tuple[str, str]]:
    """Dashboard and panel, and each of its expressions."""
    for path in MADE:
        for panel in panels(path):
            for target in panel["targets"]:
                yield f"{path.stem}: {panel['title']} ({target['refId']})", target["expr"]


def test_the_json_in_the_chart_is_what_the_code_makes(tmp_path):
    """Nobody edits it by hand, and nobody forgets to make it anew."""
    subprocess.run([sys.executable, ROOT / "deploy" / "dashboards", "--to", tmp_path], check=True)
    made = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert {path.name: path.read_text() for path in MADE} == made, "python deploy/dashboards makes them anew"
    assert len(made) == 3


@pytest.mark.parametrize("path", MADE, ids=lambda path: path.stem)
def test_every_panel_says_what_it_shows_and_what_to_do(path):
    """It has a title, a sentence, a unit, the chosen data source, and a link to a runbook that is there."""
    for panel in panels(path):
        assert panel["title"]
        assert panel["description"].endswith((".", "?"))
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["datasource"]["uid"] == "${datasource}"
        page = panel["links"][0]["url"].removeprefix("${runbooks}/")
        assert (ROOT / "docs" / "runbooks" / page).is_file(), panel["title"]


@pytest.mark.parametrize("path", MADE, ids=lambda path: path.stem)
def test_every_dashboard_lets_one_choose(path):
    """The data source, the namespace and the job; where runbooks are stands in one place for the chart to set."""
    made = json.loads(path.read_text())
    assert {"datasource", "namespace", "job", "runbooks"} <= {one["name"] for one in made["templating"]["list"]}
    assert path.read_text().count("docs/runbooks") == 1
    numbers = [panel["id"] for panel in made["panels"]]
    assert len(set(numbers)) == len(numbers)
    for panel in panels(path):
        for target in panel["targets"]:
            assert target["expr"].count("{") == target["expr"].count('{namespace=~"$namespace",job=~"$job"')


def test_every_expression_names_what_the_worker_declares():
    """Metrics, labels and label values are those of the catalogue, or recorded by the rules."""
    recorded = promql.records(yaml.safe_load(RULES))
    assert {where: wrong for where, text in expressions() if (wrong := promql.undeclared(text, recorded))} == {}


@asynccontextmanager
async def under_load(deployment: Deployment) -> AsyncIterator[None]:
    """A worker, and a platform whose streams are found at fault in every way."""
    async with deployment.worker():
        streams = load.Load(deployment, calm=3, rubbish=6)
        publishing = asyncio.create_task(streams.go_on(0.5))
        try:
            yield
            assert not publishing.done()
        finally:
            publishing.cancel()
            await asyncio.wait({publishing})


async def without_data(prom: prometheus.Prometheus) -> set[str]:
    """Panels of which some expression has no number."""
    empty = set()
    for where, expression in expressions():
        for variable, value in STANDS_FOR.items():
            expression = expression.replace(variable, value)  # noqa: PLW2901 - written out step by step
        if not any(math.isfinite(value) for _, value in await prom.query(expression)):
            empty.add(where)
    return empty


async def test_every_panel_has_data_of_a_worker_under_load(broker, tmp_path):
    """Every expression of every panel has at least one number on a real Prometheus that scrapes a real worker."""
    prometheus.needed()
    port = free_ports(1)[0]
    sections = {
        "matching": Matching(lists=(load.known_list(tmp_path / "known"),)),
        "web": Web(port=port),
        "jail": Jail(processes=2),
    }
    rules = prometheus.hurried(RULES, HURRY)
    async with (
        prometheus.prometheus(tmp_path / "prometheus", {"framewatch": [f"127.0.0.1:{port}"]}, rules=rules) as prom,
        deployed(broker, **sections) as deployment,
        under_load(deployment),
    ):
        empty: set[str] = set()

        async def shown() -> bool:
            empty.clear()
            empty.update(await without_data(prom))
            return not empty

        await prometheus.eventually(shown, lambda: f"no data: {sorted(empty)}")

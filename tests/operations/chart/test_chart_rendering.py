"""Helm 3 and helm 4 take the chart, and Kubernetes takes what they make of it."""

from __future__ import annotations

import kubernetes_validate
import pytest
import yaml
from support.helm import CHART, EXAMPLES, of_kind, only, pods

import worker

OLDEST = 27
NEWEST = int(kubernetes_validate.latest_version().split(".")[1])
FOREIGN = {"ScaledObject", "ServiceMonitor", "PrometheusRule"}
"""Kinds that operators bring: Kubernetes itself has no schema of them."""
GKE, AWS = (CHART / "ci" / f"{name}-values.yaml" for name in ("gke", "aws-irsa"))
EVERY_VERSION = [(minor, GKE) for minor in range(OLDEST + 1, NEWEST + 1)]
BOTH_ENDS = [(OLDEST, path) for path in EXAMPLES] + [(NEWEST, AWS)]
FOR_OLD = {"model": {"source": "copy"}}
"""Clusters before 1.33 let no restricted pod have image volumes."""


def test_helm_finds_nothing_to_complain_about(helm, example):
    """``helm lint --strict`` over every example."""
    told = helm.lint(example)
    assert told.returncode == 0, told.stdout


def test_both_helms_make_the_same(helm3, helm4, example):
    """Nothing depends on which of them is at hand."""
    made = [sorted(helm.render(example), key=yaml.safe_dump) for helm in (helm3, helm4)]
    assert made[0] == made[1]


@pytest.mark.parametrize(("minor", "path"), [*BOTH_ENDS, *EVERY_VERSION])
def test_kubernetes_knows_every_field(helm4, minor, path):
    """Each resource is one of that version's, without a field that it would drop."""
    copied = minor < 33 and path == AWS
    documents = helm4.render(path, kubernetes=f"1.{minor}.0", values=FOR_OLD if copied else None)
    assert {document["kind"] for document in documents} > {"StatefulSet", "ConfigMap", "Service"}
    for document in documents:
        if document["kind"] not in FOREIGN:
            kubernetes_validate.validate(document, f"1.{minor}", strict=True)


def test_the_chart_installs_this_version():
    """Who names no tag gets the worker that the chart was tested with."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["appVersion"], chart["version"]) == (worker.__version__, worker.__version__)
    assert chart["kubeVersion"] == f">=1.{OLDEST}.0-0"


def test_a_release_of_another_name_has_names_of_its_own(helm4):
    """Two releases in one namespace don't meet: no name, and no selector, is shared."""
    values = CHART / "ci" / "gke-values.yaml"
    one, two = (helm4.render(values, release=name) for name in ("east", "west"))
    names = [{(d["kind"], d["metadata"]["name"]) for d in documents} for documents in (one, two)]
    assert not names[0] & names[1]
    service, labels = only(one, "Service")["spec"]["selector"], only(two, "StatefulSet")["spec"]["template"]["metadata"]
    assert not service.items() <= labels["labels"].items()


def test_the_longest_name_still_fits(helm4):
    """A pod's name is a label's value: 63 characters with its number and hash."""
    documents = helm4.render(CHART / "ci" / "gke-values.yaml", release="r" * 53)
    assert max(len(document["metadata"]["name"]) for document in documents) + len("-0123456789") <= 63


def test_a_changed_setting_rolls_the_workers_and_nothing_else_does(helm4):
    """The pods' template changes with the settings and the policy, since they are read at start only."""
    values = CHART / "ci" / "aws-irsa-values.yaml"

    def template(changed):
        return only(helm4.render(values, values=changed), "StatefulSet")["spec"]["template"]

    assert template({}) == template({"dashboards": {"enabled": False}})
    assert template({}) != template({"settings": {"sampling": {"interval_s": 1}}})
    assert template({}) != template({"policy": 'name = "another"\n'})


def test_what_is_off_is_not_there(helm4):
    """Only what runs the workers is left."""
    documents = helm4.render(CHART / "ci" / "bare-values.yaml")
    assert {document["kind"] for document in documents} == {"ConfigMap", "Service", "StatefulSet", "Pod"}
    assert {pod["serviceAccountName"] for pod in pods(documents).values()} == {"watchers"}


def test_the_notes_tell_what_to_do_next(helm4, example):
    """Commands for the release that was installed, and what is still open."""
    notes = helm4.notes(example)
    name = "watchers" if example.name.startswith("bare") else "framewatch"
    assert f"kubectl -n safety rollout status statefulset/{name}" in notes
    assert "helm test framewatch --namespace safety" in notes
    assert "framewatch incident --test" in notes
    assert ("Nobody is called" in notes) != example.name.startswith("aws")
    assert ("no classifier" in notes) == example.name.startswith(("least", "azure"))


def test_dashboards_and_rules_are_those_of_the_files(helm4):
    """What Grafana and Prometheus get is what lies in the chart, to the letter."""
    documents = helm4.render(CHART / "ci" / "aws-irsa-values.yaml")
    files = {path.name: path.read_text() for path in (CHART / "files" / "dashboards").glob("*.json")}
    found = [d for d in of_kind(documents, "ConfigMap") if d["metadata"]["labels"].get("grafana_dashboard") == "1"]
    assert {name: text for one in found for name, text in one["data"].items()} == files
    assert files
    rules = yaml.safe_load((CHART / "files" / "rules.yaml").read_text())
    assert only(documents, "PrometheusRule")["spec"] == rules


def test_alerts_and_dashboards_link_to_the_runbooks_where_the_operator_has_them(helm4):
    """``runbooks`` is the address before each page's name, in every alert and on every panel."""
    documents = helm4.render(
        CHART / "ci" / "aws-irsa-values.yaml", values={"runbooks": "https://git.example/framewatch/docs/runbooks/"}
    )
    groups = only(documents, "PrometheusRule")["spec"]["groups"]
    links = [rule["annotations"]["runbook_url"] for group in groups for rule in group["rules"] if "alert" in rule]
    assert "https://git.example/framewatch/docs/runbooks/behind.md" in links
    assert all(link.startswith("https://git.example/") for link in links)
    dashboards = [d for d in of_kind(documents, "ConfigMap") if "grafana_dashboard" in d["metadata"]["labels"]]
    for text in (text for one in dashboards for text in one["data"].values()):
        assert '"https://git.example/framewatch/docs/runbooks"' in text

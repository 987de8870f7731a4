"""How many workers there are, who may reach whom, and when Kubernetes takes a worker for started, ready or stuck."""

from __future__ import annotations

import re
import subprocess

import pytest
import yaml
from support.helm import CHART, NAMESPACE, of_kind, only, pods
from support.prometheus import needed as prometheus_needed

from worker.telemetry.catalogue import METRICS

CI = CHART / "ci"
LEAST, AWS, PODID, GKE, AZURE, BARE = (
    CI / f"{name}-values.yaml" for name in ("least", "aws-irsa", "eks-pod-identity", "gke", "azure", "bare")
)
LINK_LOCAL = {"0.0.0.0/0": {"169.254.0.0/16"}, "::/0": {"fe80::/10", "fd00:ec2::/32", "fd20:ce::/32"}}


# --- how many ---


@pytest.mark.parametrize(("path", "replicas"), [(LEAST, 2), (PODID, 12), (AWS, None), (GKE, None)])
def test_the_number_of_workers_is_given_by_one_only(helm4, path, replicas):
    """An autoscaled StatefulSet says no number: an upgrade would set it back."""
    assert only(helm4.render(path), "StatefulSet")["spec"].get("replicas") == replicas


@pytest.mark.parametrize(("path", "kind"), [(AWS, "ScaledObject"), (AZURE, "ScaledObject"), (GKE, None)])
def test_both_autoscalers_take_one_worker_a_step_up_soon_and_down_late(helm4, path, kind):
    """Each step moves partitions; the least is two, the most the partitions."""
    documents = helm4.render(path)
    if kind:
        spec = only(documents, kind)["spec"]
        least, most = spec["minReplicaCount"], spec["maxReplicaCount"]
        behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        assert not of_kind(documents, "HorizontalPodAutoscaler")
    else:
        spec = only(documents, "HorizontalPodAutoscaler")["spec"]
        least, most, behavior = spec["minReplicas"], spec["maxReplicas"], spec["behavior"]
        assert not of_kind(documents, "ScaledObject")
    assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "framewatch"}
    assert (least, most) == {AWS: (4, 48), AZURE: (2, 24), GKE: (2, 10)}[path]
    assert behavior["scaleUp"]["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 120}]
    assert behavior["scaleDown"]["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 600}]
    assert behavior["scaleUp"]["stabilizationWindowSeconds"] < behavior["scaleDown"]["stabilizationWindowSeconds"]


def test_keda_looks_at_seconds_behind_then_at_the_lag_then_at_the_cpu(helm4):
    """All metadata are texts, as KEDA wants them; an answer without data is an error; standing still is lag."""
    by_time, by_lag, by_cpu = only(helm4.render(AWS), "ScaledObject")["spec"]["triggers"]
    for trigger in (by_time, by_lag, by_cpu):
        assert all(isinstance(value, str) for value in trigger["metadata"].values())
    assert (by_time["type"], by_time["metricType"]) == ("prometheus", "Value")
    assert (by_time["metadata"]["threshold"], by_time["metadata"]["ignoreNullValues"]) == ("15", "false")
    lag = by_lag["metadata"]
    assert by_lag["type"] == "kafka"
    assert (lag["excludePersistentLag"], lag["allowIdleConsumers"], lag["tls"]) == ("false", "false", "enable")
    assert (lag["topic"], lag["consumerGroup"]) == ("segments", "framewatch")
    assert by_lag["authenticationRef"] == {"name": "msk"}
    assert (by_cpu["type"], by_cpu["metadata"]["value"]) == ("cpu", "75")


def test_the_lag_and_the_cpu_can_be_left_out_and_the_query_replaced(helm4):
    """Then only the operator's own query is asked."""
    [trigger] = only(helm4.render(AZURE), "ScaledObject")["spec"]["triggers"]
    assert trigger["metadata"]["query"] == "max(behind)"
    assert trigger["authenticationRef"] == {"name": "prometheus"}


def query(helm4) -> str:
    """What KEDA asks Prometheus."""
    return only(helm4.render(AWS), "ScaledObject")["spec"]["triggers"][0]["metadata"]["query"]


def test_the_query_asks_for_metrics_that_a_worker_has(helm4):
    """By their names in the catalogue, of this release only, by labels that the ServiceMonitor's scrape gives."""
    asked = query(helm4)
    names = set(re.findall(r"framewatch_\w+", asked))
    assert names == {"framewatch_behind_seconds", "framewatch_partitions_parked", "framewatch_breaker_tripped"}
    assert names <= {metric.name for metric in METRICS}
    service = only(helm4.render(AWS), "Service")["metadata"]["name"]
    assert asked.count(f'{{namespace="{NAMESPACE}",service="{service}"}}') == 3


def test_a_worker_that_an_operator_has_to_mend_adds_no_workers(helm4, tmp_path):
    """The slowest partition counts, but not those of a pod where one stands still, nor another release's."""
    prometheus_needed()
    of = f'namespace="{NAMESPACE}",service="framewatch"'
    series = {
        f'framewatch_behind_seconds{{{of},pod="a",partition="0"}}': 3,
        f'framewatch_behind_seconds{{{of},pod="a",partition="1"}}': 21,
        f'framewatch_behind_seconds{{{of},pod="b",partition="2"}}': 900,
        f'framewatch_behind_seconds{{{of},pod="c",partition="3"}}': 700,
        f'framewatch_behind_seconds{{namespace="{NAMESPACE}",service="other",pod="d",partition="3"}}': 5000,
        f'framewatch_partitions_parked{{{of},pod="a"}}': 0,
        f'framewatch_partitions_parked{{{of},pod="b"}}': 1,
        f'framewatch_breaker_tripped{{{of},pod="a"}}': 0,
        f'framewatch_breaker_tripped{{{of},pod="c"}}': 1,
    }
    case = {
        "interval": "1m",
        "input_series": [{"series": name, "values": f"{value}x5"} for name, value in series.items()],
        "promql_expr_test": [{"expr": query(helm4), "eval_time": "2m", "exp_samples": [{"labels": "{}", "value": 21}]}],
    }
    file = tmp_path / "query.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [], "evaluation_interval": "1m", "tests": [case]}))
    told = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr


def test_the_monitor_scrapes_the_workers_service(helm4):
    """By its labels and its port's name, and no other Service."""
    documents = helm4.render(AWS)
    monitor, service = only(documents, "ServiceMonitor")["spec"], only(documents, "Service")
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    [endpoint] = monitor["endpoints"]
    assert endpoint["port"] in [port["name"] for port in service["spec"]["ports"]]
    assert endpoint["path"] == "/metrics"


# --- who reaches whom ---


def rules(documents, name="framewatch"):
    """What a policy lets out: (addresses and names, protocol and port) for each rule, peers with nothing but both."""
    spec = only(documents, "NetworkPolicy", name)["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    return [
        (
            [peer["ipBlock"]["cidr"] if "ipBlock" in peer else "selected" for peer in rule["to"]],
            [f"{port['protocol']}/{port['port']}" for port in rule["ports"]],
        )
        for rule in spec["egress"]
    ]


ANY = ["0.0.0.0/0", "::/0"]
DNS = (["selected"], ["UDP/53", "TCP/53"])


@pytest.mark.parametrize(
    ("path", "more"),
    [
        (LEAST, [(ANY, ["TCP/9092"])]),
        (
            AWS,
            [(["10.0.0.0/16"], ["TCP/9098"]), (["10.0.7.0/24"], ["TCP/443"]), (["0.0.0.0/0"], ["TCP/443"])],
        ),
        (
            PODID,
            [
                (ANY, ["TCP/9094", "TCP/9095"]),
                (["169.254.170.23/32", "fd00:ec2::23/128"], ["TCP/80"]),
                (["::/0", "selected"], ["TCP/443", "TCP/9000"]),
            ],
        ),
        (AZURE, [(ANY, ["TCP/9093"]), (["0.0.0.0/0"], ["TCP/443"]), (["10.1.0.0/24"], ["TCP/443"])]),
    ],
    ids=["none", "irsa", "eks-pod-identity", "azure"],
)
def test_workers_reach_names_brokers_identity_and_stores_and_nothing_else(helm4, path, more):
    """In this order; stores only where there are roots."""
    assert rules(helm4.render(path)) == [DNS, *more]


def test_gke_reaches_its_nodes_metadata_server_on_its_own_ports(helm4):
    """At both of its addresses, and the name server that the operator named."""
    assert rules(helm4.render(GKE)) == [
        (["169.254.20.10/32"], ["UDP/53", "TCP/53"]),
        (ANY, ["TCP/9092"]),
        (["169.254.169.254/32"], ["TCP/80"]),
        (["169.254.169.252/32"], ["TCP/988"]),
        (["199.36.153.8/30"], ["TCP/443"]),
    ]


def test_any_address_never_means_the_clouds_metadata(helm4, example):
    """Where everything is let out, link-local addresses are not; what else the operator excepts stays."""
    for policy in of_kind(helm4.render(example), "NetworkPolicy"):
        blocks = [p["ipBlock"] for rule in policy["spec"]["egress"] for p in rule["to"] if "ipBlock" in p]
        for block in blocks:
            assert LINK_LOCAL.get(block["cidr"], set()) <= set(block.get("except", []))
        if example == AZURE and policy["metadata"]["name"] == "framewatch":
            assert {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8", "169.254.0.0/16"]} in blocks


def test_only_who_scrapes_comes_in_and_the_topics_job_is_not_spoken_to(helm4):
    """One port, from the namespace that is named; nobody where none is."""
    documents = helm4.render(LEAST)
    [rule] = only(documents, "NetworkPolicy", "framewatch")["spec"]["ingress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": 8080}]
    assert rule["from"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
    assert only(documents, "NetworkPolicy", "framewatch-topics")["spec"]["ingress"] == []
    alone = helm4.render(LEAST, values={"networkPolicy": {"scrapers": []}})
    assert only(alone, "NetworkPolicy", "framewatch")["spec"]["ingress"] == []


def test_the_policies_hold_all_pods_of_the_release(helm4):
    """The worker's and the check's by the one, the Job's also while nothing of the release is there yet."""
    documents = helm4.render(AWS)
    labels = {
        "worker": only(documents, "StatefulSet")["spec"]["template"]["metadata"]["labels"],
        "topics": only(documents, "Job")["spec"]["template"]["metadata"]["labels"],
        "check": only(documents, "Pod")["metadata"]["labels"],
    }
    every = only(documents, "NetworkPolicy", "framewatch")["spec"]["podSelector"]["matchLabels"]
    job = only(documents, "NetworkPolicy", "framewatch-topics")["spec"]["podSelector"]["matchLabels"]
    assert all(every.items() <= one.items() for one in labels.values())
    assert [name for name, one in labels.items() if job.items() <= one.items()] == ["topics"]
    assert rules(documents, "framewatch-topics") == rules(documents)[:3], "names, brokers and who it is; no store"


def test_azures_pods_say_that_they_want_an_identity(helm4):
    """Its webhook looks for the label, on the Job and the check too."""
    documents = helm4.render(AZURE)
    templates = [only(documents, kind)["spec"]["template"] for kind in ("StatefulSet", "Job")]
    for one in (*templates, only(documents, "Pod")):
        assert one["metadata"]["labels"]["azure.workload.identity/use"] == "true"


# --- when it counts as started, ready, stuck ---


def test_the_probes_ask_what_they_mean(helm4):
    """Started and alive by progress, ready by work; a start may take as long as the operator says."""
    [worker] = pods(helm4.render(LEAST, values={"startupSeconds": 1800}))["StatefulSet/framewatch"]["containers"]
    paths = {name: worker[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert paths == {
        "startup": {"path": "/livez", "port": "http"},
        "liveness": {"path": "/livez", "port": "http"},
        "readiness": {"path": "/readyz", "port": "http"},
    }
    assert worker["startupProbe"]["failureThreshold"] * worker["startupProbe"]["periodSeconds"] == 1800
    assert worker["ports"] == [{"name": "http", "containerPort": 8080}]
    assert pods(helm4.render(BARE))["StatefulSet/watchers"]["containers"][0]["ports"][0]["containerPort"] == 9090


def test_all_workers_start_at_once_and_update_one_by_one(helm4):
    """A worker does not wait for its neighbour to be ready, which may be held by a store."""
    spec = only(helm4.render(LEAST), "StatefulSet")["spec"]
    assert spec["podManagementPolicy"] == "Parallel"
    assert spec["updateStrategy"] == {"type": "RollingUpdate"}

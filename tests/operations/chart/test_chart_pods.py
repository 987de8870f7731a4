"""What every pod of the chart may do: nothing that a worker does not need (Pod Security Standards, restricted)."""

from __future__ import annotations

import pytest
from support.helm import CHART, containers, of_kind, only, pods

RESTRICTED_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
SECRETS = "/run/secrets/framewatch"


@pytest.fixture
def every_pod(helm4, example):
    """Each pod that an example leads to, by what makes it."""
    found = pods(helm4.render(example))
    assert len(found) >= 2, "a StatefulSet's and a test's at least"
    return found


def test_no_pod_has_a_right_that_restricted_forbids(every_pod):
    """Not root, no new privileges, no capability, a seccomp profile, nothing of the host."""
    for pod in every_pod.values():
        own = pod["securityContext"]
        assert own["runAsNonRoot"] is True
        assert (own["runAsUser"], own["runAsGroup"]) == (65532, 65532)
        assert own["seccompProfile"]["type"] in ("RuntimeDefault", "Localhost")
        assert not {"hostNetwork", "hostPID", "hostIPC", "hostAliases", "shareProcessNamespace"} & pod.keys()
        for container in containers(pod):
            assert container["securityContext"] == {
                "runAsNonRoot": True,
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert not any("hostPort" in port for port in container.get("ports", []))
        for volume in pod["volumes"]:
            assert volume.keys() - {"name"} <= RESTRICTED_VOLUMES


def test_no_pod_has_a_token_or_its_neighbours_addresses(every_pod):
    """Nothing speaks to the Kubernetes API, and no Service's variable is taken for a setting."""
    for pod in every_pod.values():
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False


def test_the_service_account_brings_no_token(helm4, example):
    """Also for whoever uses it elsewhere."""
    for account in of_kind(helm4.render(example), "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


def test_every_container_has_resources_and_a_version(every_pod):
    """Requests, a memory limit, and an image that is the same tomorrow."""
    for pod in every_pod.values():
        for container in containers(pod):
            assert container["resources"]["requests"].keys() >= {"cpu", "memory"}
            assert "memory" in container["resources"]["limits"]
            _, _, version = container["image"].rpartition("/")[2].partition(":")
            assert version not in ("", "latest")


def test_only_memory_is_written_to(every_pod):
    """All mounts are read-only but /tmp, which lies in memory, and an init container's copy."""
    for pod in every_pod.values():
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        for container in pod["containers"]:
            written = [mount for mount in container["volumeMounts"] if not mount.get("readOnly")]
            assert [mount["mountPath"] for mount in written] == ["/tmp"]  # noqa: S108 - the container's
            assert volumes[written[0]["name"]]["emptyDir"] == {"medium": "Memory", "sizeLimit": "16Mi"}
        for container in pod.get("initContainers", []):
            [mount] = container["volumeMounts"]
            assert "sizeLimit" in volumes[mount["name"]]["emptyDir"]


def test_every_mount_has_its_volume_and_every_volume_its_mount(every_pod):
    """Nothing dangles."""
    for pod in every_pod.values():
        mounted = {mount["name"] for container in containers(pod) for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_secrets_are_files_that_the_group_alone_may_read_and_that_rotate(helm4):
    """Never in the environment; without subPath, which would hide a rotated one."""
    documents = helm4.render(CHART / "ci" / "eks-pod-identity-values.yaml")
    assert not of_kind(documents, "Secret")
    for pod in pods(documents).values():
        secrets = {v["name"]: v["secret"] for v in pod["volumes"] if "secret" in v}
        assert {s["secretName"]: s["defaultMode"] for s in secrets.values()} == {"kafka-login": 0o440, "minio": 0o440}
        [container] = pod["containers"]
        mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"] if mount["name"] in secrets}
        assert mounts.keys() == {f"{SECRETS}/kafka-login", f"{SECRETS}/minio"}
        assert not any("subPath" in mount for mount in mounts.values())
        assert not any("valueFrom" in e and "secretKeyRef" in e["valueFrom"] for e in container["env"])
        assert pod["securityContext"]["fsGroup"] == 65532
    assert only(documents, "StatefulSet")["spec"]["template"]["spec"]["imagePullSecrets"] == [{"name": "registry"}]


def test_a_disruption_takes_one_worker_and_never_the_other_pods(helm4, example):
    """The budget and the spread count workers only, and a held one does not keep a node from being drained."""
    documents = helm4.render(example)
    workers = only(documents, "StatefulSet")["spec"]["selector"]["matchLabels"]
    assert workers["app.kubernetes.io/component"] == "worker"
    for budget in of_kind(documents, "PodDisruptionBudget"):
        assert budget["spec"]["selector"]["matchLabels"] == workers
        assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    for spread in only(documents, "StatefulSet")["spec"]["template"]["spec"].get("topologySpreadConstraints", []):
        assert spread["labelSelector"]["matchLabels"] == workers


def test_the_service_finds_workers_that_are_not_ready(helm4):
    """Headless, for the pods' names; and the one that is not ready is the one whose metrics matter."""
    documents = helm4.render(CHART / "ci" / "least-values.yaml")
    service, workers = only(documents, "Service"), only(documents, "StatefulSet")["spec"]
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True
    assert workers["serviceName"] == service["metadata"]["name"]
    assert service["spec"]["selector"] == workers["selector"]["matchLabels"]


def test_the_topics_are_made_before_the_workers_by_a_job_that_brings_its_own(helm4):
    """Everything that the Job needs is a hook that comes before it and goes with it."""
    documents = helm4.render(CHART / "ci" / "aws-irsa-values.yaml")
    job = only(documents, "Job")
    hooks = {(d["kind"], d["metadata"]["name"]): d["metadata"].get("annotations", {}) for d in documents}
    needs = {("ConfigMap", "framewatch-topics"), ("ServiceAccount", "framewatch-topics")}
    needs.add(("NetworkPolicy", "framewatch-topics"))
    for one in needs:
        assert hooks[one]["helm.sh/hook"] == job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
        assert int(hooks[one]["helm.sh/hook-weight"]) < int(job["metadata"]["annotations"]["helm.sh/hook-weight"])
        assert "hook-succeeded" in hooks[one]["helm.sh/hook-delete-policy"]
    pod = job["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "framewatch-topics"
    assert pod["volumes"][0]["configMap"]["name"] == "framewatch-topics"
    account = hooks["ServiceAccount", "framewatch-topics"]
    assert account["eks.amazonaws.com/role-arn"] == "arn:aws:iam::111122223333:role/framewatch"
    assert (
        only(documents, "ConfigMap", "framewatch")["data"] == only(documents, "ConfigMap", "framewatch-topics")["data"]
    )


@pytest.mark.parametrize(
    ("source", "volume"),
    [
        ({"source": "pvc", "claimName": "m"}, {"persistentVolumeClaim": {"claimName": "m", "readOnly": True}}),
        ({"source": "image", "image": "r/m:1"}, {"image": {"reference": "r/m:1", "pullPolicy": "IfNotPresent"}}),
        ({"source": "copy", "image": "r/m:1", "sizeLimit": "1Gi"}, {"emptyDir": {"sizeLimit": "1Gi"}}),
    ],
    ids=["pvc", "image", "copy"],
)
def test_a_model_comes_from_a_volume_or_an_image(helm4, source, volume):
    """The worker and the test pod see it at the same place, whatever it comes from."""
    documents = helm4.render(CHART / "ci" / "least-values.yaml", values={"model": source | {"path": "ours"}})
    found = pods(documents)
    assert 'model = "/models/ours"' in only(documents, "ConfigMap", "framewatch")["data"]["config.toml"]
    for name in ("StatefulSet/framewatch", "Pod/framewatch-check"):
        assert {"name": "models", **volume} in found[name]["volumes"]
        mount = {"name": "models", "mountPath": "/models", "readOnly": True}
        assert mount in found[name]["containers"][0]["volumeMounts"]
        copies = [c["command"] for c in found[name].get("initContainers", [])]
        assert copies == ([["cp", "-R", "/model/.", "/copied/"]] if source["source"] == "copy" else [])
    assert not any(volume["name"] == "models" for volume in found["Job/framewatch-topics"]["volumes"])

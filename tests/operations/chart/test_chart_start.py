"""What the chart renders starts the real worker on a real, secured broker: its command, its environment, its files."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from support import kafka
from support.deployment import Deployment
from support.helm import CHART, only, pods
from support.secured import PASSWORD, USER, Secured, secured

from worker.kafka import admin

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from support.helm import Document

pytestmark = pytest.mark.kafka
ROOT = Path(__file__).parents[3]
LEAST = CHART / "ci" / "least-values.yaml"
PARTITIONS = 3
STARTS_WITHIN_S = 60.0
POLICY = 'name = "of the chart"\n[lists.known]\n'


@pytest.fixture
def link(tmp_path: Path) -> Iterator[Secured]:
    """A broker that wants TLS and a login."""
    reason = kafka.why_not()
    if reason is not None:
        if os.environ.get("FRAMEWATCH_TEST_REQUIRE_KAFKA"):
            pytest.fail(f"FRAMEWATCH_TEST_REQUIRE_KAFKA is set, but {reason}")
        pytest.skip(reason)
    with secured(tmp_path / "secured") as made:
        yield made


class Machine:
    """A folder that stands for a node's file system: pods' volumes lie in it, at the paths of their mounts.

    Args:
        folder: Its root.
        documents: What the chart rendered: its ConfigMaps.
        claims: Name of each PersistentVolumeClaim and the folder that it is.
        secrets: Name of each Secret and what it holds.
    """

    def __init__(
        self, folder: Path, documents: list[Document], claims: dict[str, Path], secrets: dict[str, dict[str, str]]
    ) -> None:
        self._folder = folder
        self._documents = documents
        self._claims = claims
        self._secrets = secrets

    def command(self, pod: Document) -> list[str]:
        """The pod's command with its paths below the folder, where its volumes now are."""
        [container] = pod["containers"]
        assert "command" not in container, "the image's own entrypoint is framewatch"
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"]}
        for path, volume in mounts.items():
            self._mount(self._folder / path.lstrip("/"), volume, list(mounts))
        words = [self._here(word, list(mounts)) for word in container["args"]]
        return [sys.executable, "-m", "worker", *words]

    def _mount(self, at: Path, volume: Document, paths: list[str]) -> None:
        shutil.rmtree(at, ignore_errors=True)
        if "configMap" in volume:
            texts = only(self._documents, "ConfigMap", volume["configMap"]["name"])["data"]
            _fill(at, {name: self._here(text, paths) for name, text in texts.items()}, 0o644)
        elif "secret" in volume:
            _fill(at, self._secrets[volume["secret"]["secretName"]], volume["secret"]["defaultMode"])
        elif "persistentVolumeClaim" in volume:
            shutil.copytree(self._claims[volume["persistentVolumeClaim"]["claimName"]], at)
        else:
            assert "emptyDir" in volume
            at.mkdir(parents=True)

    def _here(self, text: str, paths: list[str]) -> str:
        """Every path of a mount that stands at a text's beginning, in quotes or after an equals sign."""
        ways = "|".join(map(re.escape, paths))
        return re.sub(rf"""(^|["=])({ways})(?=/|"|$)""", lambda found: f"{found[1]}{self._folder}{found[2]}", text)


def _fill(folder: Path, files: dict[str, str], mode: int) -> None:
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)
        (folder / name).chmod(mode)


def environment(pod: Document, name: str) -> dict[str, str]:
    """What the pod's container has in its environment, and nothing of ours but where Python finds its libraries."""
    [container] = pod["containers"]
    fields = {"metadata.name": name}
    own = {
        one["name"]: one["value"] if "value" in one else fields[one["valueFrom"]["fieldRef"]["fieldPath"]]
        for one in container["env"] or []
    }
    return own | {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}


async def run(machine: Machine, pod: Document) -> tuple[int, str]:
    """A pod that ends by itself: its status and what it wrote."""
    process = await asyncio.create_subprocess_exec(
        *machine.command(pod),
        cwd=ROOT,
        env=environment(pod, "once"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    written, _ = await asyncio.wait_for(process.communicate(), STARTS_WITHIN_S)
    assert process.returncode is not None
    return process.returncode, written.decode()


@asynccontextmanager
async def running(machine: Machine, pod: Document, log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """The worker's pod; killed at the end if it still runs."""
    with log.open("wb") as to:
        process = await asyncio.create_subprocess_exec(
            *machine.command(pod), cwd=ROOT, env=environment(pod, "framewatch-0"), stderr=to
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def written(log: Path) -> str:
    """What the worker has logged so far."""
    return log.read_text()


async def passes(probe: Document, port: int, worker: asyncio.subprocess.Process, log: Path) -> None:
    """Wait until a probe of the pod is answered with 200."""
    url = f"http://127.0.0.1:{port}{probe['httpGet']['path']}"
    async with asyncio.timeout(STARTS_WITHIN_S), aiohttp.ClientSession() as session:
        while not await _ok(session, url):
            assert worker.returncode is None, written(log)
            await asyncio.sleep(0.05)


async def _ok(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as answer:
            return answer.status == 200
    except aiohttp.ClientConnectionError:
        return False


def values(deployment: Deployment, link: Secured, port: int) -> dict[str, Any]:
    """A deployment's names, a login out of a Secret, a model and a list from claims."""
    names = ("segments", "escalations", "dead_letters", "risk", "assessments")
    return {
        "settings": {
            "kafka": {
                "bootstrap_servers": link.door("SCRAM"),
                "group_id": deployment.settings.kafka.group_id,
                "session_timeout_s": 6,
                "security_protocol": "SASL_SSL",
                "ca_file": "/run/secrets/framewatch/kafka-login/ca.pem",
                "username": USER,
                "password_file": "/run/secrets/framewatch/kafka-login/password",
            },
            "topics": {name: getattr(deployment.settings.topics, name) for name in names},
        },
        "secrets": ["kafka-login"],
        "kafka": {"partitions": PARTITIONS},
        "topics": {"replication": 1},
        "model": {"source": "pvc", "claimName": "models", "path": "demo"},
        "lists": {"source": "pvc", "claimName": "lists", "paths": ["known.txt"]},
        "policy": POLICY,
        "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}},
        "port": port,
    }


async def test_the_chart_makes_the_topics_checks_and_starts_a_worker_that_works_and_ends(helm4, link, tmp_path):
    """The Job, then ``helm test``'s pod, then the StatefulSet's: each as rendered, only its paths moved."""
    deployment = Deployment(link.cluster, partitions=PARTITIONS)
    [port] = kafka.free_ports(1)
    claims = {"models": ROOT / "models", "lists": tmp_path / "lists"}
    _fill(claims["lists"], {"known.txt": "0" * 63 + "1\n"}, 0o644)
    login = {"ca.pem": link.papers.ca.read_text(), "password": PASSWORD}
    documents = helm4.render(LEAST, values=values(deployment, link, port))
    machine = Machine(tmp_path / "node", documents, claims, {"kafka-login": login})
    pod = pods(documents)

    status, told = await run(machine, pod["Job/framewatch-topics"])
    assert status == 0, told
    topics = await admin.describe(deployment.settings.kafka, [deployment.settings.topics.segments])
    assert topics[deployment.settings.topics.segments].partitions == PARTITIONS

    status, told = await run(machine, pod["Pod/framewatch-check"])
    assert status == 0, told
    assert "of the chart" in told, "the policy of the values is in force"
    assert "SASL_SSL" in told, "the login of the Secret is in use"

    await deployment.start()
    try:
        await works_and_ends(deployment, machine, pod["StatefulSet/framewatch"], tmp_path / "worker.log")
    finally:
        await deployment.stop()


async def works_and_ends(deployment: Deployment, machine: Machine, pod: Document, log: Path) -> None:
    """The worker passes its probes, works a segment, and is gone within Kubernetes' patience after SIGTERM."""
    [container] = pod["containers"]
    [port] = [one["containerPort"] for one in container["ports"] if one["name"] == "http"]
    async with running(machine, pod, log) as worker:
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            await passes(container[probe], port, worker, log)
        await deployment.send(deployment.segment("a", b"no video", sequence=1))
        [assessed] = await deployment.assessments(1)
        assert assessed.outcome == "dead_lettered"
        worker.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(worker.wait(), pod["terminationGracePeriodSeconds"]) == 0
    assert "worker ended" in written(log)

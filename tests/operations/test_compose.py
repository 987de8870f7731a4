"""deploy/compose.yaml: right by the specification's own schema, and its insides run as processes."""

from __future__ import annotations

import asyncio
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import yaml
from support import composed, prometheus
from support.composed import DEPLOY, FILE, Composed

from worker.settings.load import read

if TYPE_CHECKING:
    from conftest import Cluster

SERVICES: dict[str, Any] = yaml.safe_load(FILE.read_text())["services"]
MOST_EMPTY = 3
"""One in so many may have none yet: those of incidents wait for the story's middle, a minute on."""
OURS = ("topics", "platform", "worker")
WATCHED = json.loads((DEPLOY / "helm/framewatch/files/dashboards/framewatch-watched.json").read_text())


def test_the_file_follows_the_compose_specification():
    """By the schema that the specification publishes."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", FILE]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout


def test_every_file_that_is_mounted_is_there():
    """Docker makes a folder of a file that is missing, and says nothing."""
    composition = Composed.__new__(Composed)
    composition.services = SERVICES
    mounted = {path for service in SERVICES for path in composition.mounts(service)}
    assert mounted
    assert {str(path) for path in mounted if not path.exists()} == set()


def test_our_containers_have_no_more_rights_than_they_need():
    """A read-only root, no capability, no new privilege, and the image's own user."""
    for name in OURS:
        service = SERVICES[name]
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "user" not in service, name
        assert "privileged" not in service, name


def test_ports_are_published_on_loopback_only():
    """It is a show without passwords."""
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_every_image_that_is_not_ours_has_a_version():
    """So that the same file is the same show next year."""
    for name in SERVICES.keys() - OURS:
        _, _, tag = SERVICES[name]["image"].rpartition(":")
        assert tag[0] in "v0123456789", name


def test_grafana_finds_the_dashboards_and_prometheus():
    """What its provisioning names is mounted or is a service."""
    [provider] = yaml.safe_load((DEPLOY / "compose/grafana/dashboards/framewatch.yaml").read_text())["providers"]
    [source] = yaml.safe_load((DEPLOY / "compose/grafana/datasources/prometheus.yaml").read_text())["datasources"]
    targets = [volume.split(":")[1] for volume in SERVICES["grafana"]["volumes"]]
    assert provider["options"]["path"] in targets
    assert "/etc/grafana/provisioning" in targets
    assert source["url"] == "http://prometheus:9090"
    home = Path(SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert str(home.parent) == provider["options"]["path"]
    assert (DEPLOY / "helm/framewatch/files/dashboards" / home.name).is_file()


def test_the_settings_are_settings():
    """The file and the variables, read as the worker reads them."""
    read(flags={}, environ=SERVICES["worker"]["environment"], config=DEPLOY / "compose/framewatch.toml")


async def test_what_is_inside_runs_and_the_dashboard_has_data(broker: Cluster, tmp_path):
    """Kafka, topics, platform, worker and Prometheus by the file's own commands, until the dashboard shows numbers."""
    prometheus.needed()
    del broker
    here = Composed(tmp_path / "composed")
    async with composed.kafka(here):
        await made(here)
        async with composed.process(here.argv("platform"), here.environment("platform"), here.folder / "platform.log"):
            await appears(here.volume("demo") / "list" / "list.toml", here.folder / "platform.log")
            config = here.prometheus_config()
            flags = [f"--config.file={config}", f"--storage.tsdb.path={here.volume('prometheus')}"]
            flags.append(f"--web.listen-address=127.0.0.1:{here.prometheus}")
            async with (
                composed.process(here.argv("worker"), here.environment("worker"), here.folder / "worker.log"),
                composed.process(["prometheus", *flags], {}, here.folder / "prometheus.log"),
                aiohttp.ClientSession() as session,
            ):
                await watched(prometheus.Prometheus(f"http://127.0.0.1:{here.prometheus}", session), here)


async def made(here: Composed) -> None:
    """Make the topics, as soon as the broker answers."""
    told = b""
    host, _, port = here.bootstrap.partition(":")

    async def listens() -> bool:
        try:
            _, writer = await asyncio.open_connection(host, int(port))
        except OSError:
            return False
        writer.close()
        await writer.wait_closed()
        return True

    await prometheus.eventually(listens, (here.folder / "kafka.log").read_text)

    async def done() -> bool:
        nonlocal told
        job = await asyncio.create_subprocess_exec(
            *here.argv("topics"),
            env=here.environment("topics"),
            cwd=composed.ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        told, _ = await job.communicate()
        return job.returncode == 0

    await prometheus.eventually(done, lambda: told.decode())  # noqa: PLW0108 - what it is by then


async def appears(path: Path, log: Path) -> None:
    """Wait for a file."""

    async def there() -> bool:
        return path.exists()  # noqa: ASYNC240 - a look at a local folder

    await prometheus.eventually(there, lambda: log.read_text()[-2000:])


async def watched(prom: prometheus.Prometheus, here: Composed) -> None:
    """Wait until most of the first dashboard's expressions have numbers; none may be refused."""
    variables = {"$namespace": ".*", "$job": ".*", "$instance": ".*", "$__rate_interval": "20s", "$__range": "60s"}
    asked = [(panel["title"], target["expr"]) for panel in WATCHED["panels"] for target in panel.get("targets", ())]
    empty: list[str] = []

    async def shown() -> bool:
        empty.clear()
        for title, expression in asked:
            for name, value in variables.items():
                expression = expression.replace(name, value)  # noqa: PLW2901 - written out step by step
            try:
                found = await prom.query(expression)
            except aiohttp.ClientError:
                return False  # it does not listen yet
            if not any(math.isfinite(value) for _, value in found):
                empty.append(title)
        return len(empty) <= len(asked) // MOST_EMPTY

    logs = (here.folder / "worker.log", here.folder / "prometheus.log")
    await prometheus.eventually(
        shown, lambda: f"no data: {empty}\n" + "\n".join(path.read_text()[-1500:] for path in logs)
    )

"""deploy/compose.yaml as processes: the same commands, environments and files, at this machine's places and addresses.

Containers can't be started everywhere; what is inside of them can. Kafka's environment becomes the properties that its
image makes of it, a mounted file is read where it lies, a volume is a folder, a service's name is loopback.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from support.kafka import CLUSTER_ID, free_ports, jars

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
FILE = DEPLOY / "compose.yaml"
NOT_A_PROPERTY = {"KAFKA_OPTS", "KAFKA_HEAP_OPTS", "KAFKA_JVM_PERFORMANCE_OPTS", "KAFKA_LOG4J_OPTS"}
ENDS_WITHIN_S = 60.0


class Composed:
    """The services of the file, on free ports of loopback.

    Args:
        folder: Where volumes and rewritten files lie.
    """

    def __init__(self, folder: Path) -> None:
        self.services: dict[str, Any] = yaml.safe_load(FILE.read_text())["services"]
        self.folder = folder
        self.web, self.prometheus, broker, controller, host = free_ports(5)
        self._ports = {":9092": broker, ":9093": controller, ":29092": host, "kafka:9092": broker}
        self.bootstrap = f"127.0.0.1:{broker}"
        folder.mkdir(parents=True, exist_ok=True)

    def properties(self) -> str:
        """What the broker's image makes of its environment: ``KAFKA_A_B`` is ``a.b``."""
        lines = []
        for name, value in self.services["kafka"]["environment"].items():
            assert name not in NOT_A_PROPERTY
            key = name.removeprefix("KAFKA_").lower().replace("_", ".")
            lines.append(f"{key}={self._here(value)}")
        return "\n".join(lines) + "\n"

    def argv(self, service: str) -> list[str]:
        """What a service of ours runs, with the Python and the folders of this machine."""
        told = self.services[service]
        command = told.get("command") or ["run", "--config", "/etc/framewatch/config.toml"]  # the image's own
        program = told.get("entrypoint") or ["framewatch"]
        python = [sys.executable] if program[0] == "python" else [sys.executable, "-m", "worker"]
        return [*python, *program[1:], *(self._place(service, word) for word in command)]

    def environment(self, service: str) -> dict[str, str]:
        """Its variables, beside this process's own without any of Framewatch's."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("FRAMEWATCH_")}
        given = {name: self._here(value) for name, value in self.services[service]["environment"].items()}
        return own | {"PYTHONPATH": str(ROOT)} | given | {"FRAMEWATCH_WEB_PORT": str(self.web)}

    def prometheus_config(self) -> Path:
        """Its configuration, with this worker's address and the rules where they lie."""
        [config] = [path for path in self.mounts("prometheus") if path.name == "prometheus.yml"]
        text = config.read_text().replace("worker:8080", f"127.0.0.1:{self.web}")
        [rules] = [path for path in self.mounts("prometheus") if path.name == "rules.yaml"]
        written = self.folder / "prometheus.yml"
        written.write_text(text.replace("/etc/prometheus/rules.yaml", str(rules)))
        return written

    def mounts(self, service: str) -> dict[Path, str]:
        """Files and folders of the sources that it sees, and where."""
        pairs = [volume.split(":") for volume in self.services[service].get("volumes", ())]
        return {(DEPLOY / source).resolve(): target for source, target, *_ in pairs if source.startswith(".")}

    def volume(self, name: str) -> Path:
        """A named volume."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return folder

    def _here(self, text: str) -> str:
        for port in (":29092", ":9092", ":9093"):
            text = text.replace(port, f":{self._ports[port]}\0")  # marked, so that no port is replaced twice
        text = text.replace("\0", "").replace("kafka:", "127.0.0.1:").replace("localhost:", "127.0.0.1:")
        return text.replace("//:", "//127.0.0.1:").replace("/var/lib/kafka/data", str(self.volume("kafka") / "data"))

    def _place(self, service: str, word: str) -> str:
        """A path inside the container as it is called here; a settings file is rewritten likewise."""
        for source, target in self.mounts(service).items():
            if word == target and source.suffix == ".toml":
                written = self.folder / source.name
                written.write_text(self._paths(source.read_text()))
                return str(written)
        return self._paths(word)

    def _paths(self, text: str) -> str:
        for source, target in self.mounts("worker").items():
            if source.is_dir():
                text = text.replace(f'"{target}', f'"{source}')
        return text.replace("/var/lib/framewatch", str(self.volume("demo")))


@asynccontextmanager
async def kafka(composed: Composed) -> AsyncIterator[None]:
    """The broker with the file's own environment."""
    properties = composed.folder / "server.properties"
    properties.write_text(composed.properties())
    java = ["java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{jars()}/*"]
    format_it = [*java, "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(properties)]
    await asyncio.to_thread(subprocess.run, format_it, check=True, capture_output=True)
    async with process([*java, "kafka.Kafka", str(properties)], dict(os.environ), composed.folder / "kafka.log"):
        yield


@asynccontextmanager
async def process(argv: list[str], environ: Mapping[str, str], log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Something that runs as long as the context; asked to end, then killed."""
    with log.open("wb") as to:
        running = await asyncio.create_subprocess_exec(*argv, env=environ, cwd=ROOT, stdout=to, stderr=to)
    try:
        yield running
    finally:
        if running.returncode is None:
            running.terminate()
        try:
            async with asyncio.timeout(ENDS_WITHIN_S):
                await running.wait()
        except TimeoutError:
            running.kill()
            await running.wait()

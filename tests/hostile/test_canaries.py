"""A whole deployment with marked secrets in it: none is found where it has no business.

Every secret and every image is a mark that nothing else looks like. A worker in a process of its own fetches, decodes,
matches, scores, fails and waits with them; then everything that leaves it is searched for the marks, also in hex and
base64: logs at their most talkative, metrics, console, each topic that it writes, and what its decoders show.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import secrets
import sys
import threading
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import urlopen

import numpy as np
import pytest
from support import media
from support.cards import card, harmless
from support.deployment import Deployment, deployed
from support.kafka import free_ports
from support.processes import WorkerProcess, _environment

from worker.examine import examine
from worker.records import Ask, Reference
from worker.settings.tree import Log, Matching, Settings, Web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


ROOT = Path(__file__).parents[2]
MODEL = ROOT / "models" / "demo"
BLOCKS = np.kron(np.random.default_rng(7).integers(0, 256, (9, 16, 3), np.uint8), np.ones((20, 20, 1), np.uint8))
"""A harmless picture that PDQ takes for a good one."""
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


class Marks:
    """The marks by name, each in every form in which it could leave."""

    def __init__(self) -> None:
        self._forms: dict[str, tuple[bytes, ...]] = {}

    def __getitem__(self, name: str) -> str:
        """A new mark of that name, or the one there is: letters and digits."""
        mark = f"CANARY{name.upper()}{secrets.token_hex(12)}"
        if name not in self._forms:
            self.add(name, mark.encode())
        return self._forms[name][0].decode()

    def add(self, name: str, mark: bytes) -> None:
        """Marks that come from elsewhere: any bytes."""
        shifted = (base64.b64encode(b"\0" * shift + mark)[4:-4] for shift in range(3))
        self._forms[name] = (mark, mark.hex().encode(), mark.hex().upper().encode(), *shifted)

    def found_in(self, data: bytes) -> set[str]:
        """The names of those that are in there, in any form."""
        return {name for name, forms in self._forms.items() if any(form in data for form in forms)}


def test_the_search_finds_a_mark_in_every_form() -> None:
    """A search that finds nothing proves nothing, unless it would have."""
    marks = Marks()
    mark = marks["any"].encode()
    marks.add("binary", binary := secrets.token_bytes(32))
    for prefix in (b"", b"x", b"xy"):
        assert marks.found_in(base64.b64encode(prefix + mark + b"z")) == {"any"}
    assert marks.found_in(b"..." + binary.hex().encode()) == {"binary"}
    assert marks.found_in(json.dumps({"key": marks["any"]}).encode()) == {"any"}
    assert marks.found_in(b"nothing") == set()


@contextmanager
def store(body: bytes) -> Iterator[tuple[str, list[str]]]:
    """A web server that has one object; gives its address and all that it was asked, headers included."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.path}\n{self.headers}")
            found = "/ok.ts" in self.path
            self.send_response(200 if found else 404)
            self.send_header("Content-Length", str(len(body) if found else 0))
            self.end_headers()
            self.wfile.write(body if found else b"")

        def log_message(self, *_: Any) -> None:
            """Tells nobody."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


def marked(picture: Any, mark: str, **more: Any) -> bytes:
    """A segment whose bytes hold a mark, in packets that decoders skip."""
    packet = (b"\x47\x1f\xff\x10" + mark.encode() * 8)[:188].ljust(188, b"\xff")
    return media.make_segment(width=320, height=180, picture=lambda _: picture, **more) + packet * 8


class Scene:
    """A worker that runs with marked secrets, and all that came out of it."""

    def __init__(self, deployment: Deployment, worker: WorkerProcess, marks: Marks, host: str) -> None:
        self.deployment = deployment
        self.worker = worker
        self.marks = marks
        self.host = host

    async def play(self) -> None:
        """Good and bad segments of every way in, until each has its outcome; one more waits for a store for ever."""
        good, matched = marked(card(180, 320), self.marks["card"]), marked(BLOCKS, self.marks["known"])
        segment, signed = self.deployment.segment, f"?X-Amz-Signature={self.marks['signature']}"
        user = f"{self.marks['user']}:{self.marks['password']}@"
        messages = [
            *(segment("risky", good, sequence=number) for number in range(8)),
            segment("known", matched, sequence=0),
            segment("broken", self.marks["junk"].encode() * 500, sequence=0),
            segment("cut", good[: len(good) // 3] + self.marks["cut"].encode() * 10, sequence=0),
            segment("lie", good, sequence=0, content_type="video/mp4"),
            segment("web", Reference(uri=f"http://{self.host}/ours/ok.ts"), sequence=0),
            segment("web", Reference(uri=f"http://{self.host}/ours/ok.ts{signed}"), sequence=1),
            segment("web", Reference(uri=f"http://{self.host}/signed/ok.ts{signed}"), sequence=2),
            segment("web", Reference(uri=f"http://{self.host}/signed/none.ts{signed}"), sequence=3),
            segment("web", Reference(uri=f"http://{user}{self.host}/signed/ok.ts{signed}"), sequence=4),
            segment(
                "out", Reference(uri=f"https://{user}elsewhere.test/x.ts{signed}#{self.marks['part']}"), sequence=0
            ),
            self.deployment.init("cmaf", self.marks["init"].encode() * 20),
            segment("cmaf", self.marks["cmaf"].encode() * 100, sequence=0, content_type="video/iso.segment"),
        ]
        await self.deployment.send(*messages)
        await self.deployment.assessments(len(messages) - 1)
        await self.deployment.incidents(2)
        await self.deployment.send(segment("held", Reference(uri="s3://bucket/x.ts"), sequence=0))
        await self.worker.says("held")

    async def play_good(self) -> None:
        """Only segments that no decoder is retired for."""
        good = marked(card(180, 320), self.marks["card"])
        await self.deployment.send(*(self.deployment.segment("risky", good, sequence=n) for n in range(6)))
        await self.deployment.assessments(6)

    async def outside(self) -> dict[str, bytes]:
        """Everything that a stranger may see, by where it is seen."""
        found = {"logs": "\n".join(self.worker.log).encode()}
        url = f"http://127.0.0.1:{self.deployment.settings.web.port}"
        for path in ("/metrics", "/livez", "/readyz"):
            found[path] = await asyncio.to_thread(_answer, f"{url}{path}")
        found["console"] = await asyncio.to_thread(_shown, f"{url}/console/events")
        topics = self.deployment.settings.topics
        for topic in (topics.escalations, topics.dead_letters, topics.assessments, topics.risk):
            records = await self.deployment.read(topic, 1)
            found[topic] = b"\n".join(repr(r.headers).encode() + (r.key or b"") + (r.value or b"") for r in records)
        return found


@asynccontextmanager
async def scene(broker: Any, folder: Path) -> AsyncIterator[tuple[Scene, list[str]]]:
    """A worker with a marked secret wherever one can be given to it."""
    marks = Marks()
    graph = (MODEL / "model.onnx").read_bytes()
    marks.add("model", graph[len(graph) // 2 :][:32])
    (folder / "tmp").mkdir()
    (folder / "header").write_text(f"Authorization: Bearer {marks['header']}\n")
    names = {"access_key_id": "access", "secret_access_key": "secret", "session_token": "token"}
    lines = [f'{key} = "{marks[name]}"' for key, name in names.items()]
    (folder / "credentials").write_text("\n".join(lines))
    [web_port, dead_port] = free_ports(2)
    with store(marked(harmless(180, 320, 2), marks["fetched"])) as (host, asked):
        web = {"plaintext": True, "private": True}
        roots = [
            {"uri": f"http://{host}/ours/", "header_file": str(folder / "header")} | web,
            {"uri": f"http://{host}/signed/"} | web,
            {"uri": "s3://bucket/", "endpoint": f"http://127.0.0.1:{dead_port}", "region": "here"}
            | {"credentials_file": str(folder / "credentials")}
            | web,
        ]
        sections = {
            "matching": Matching(lists=(str(_list(folder / "list", marks)),)),
            "log": Log(format="json", level="debug"),
            "web": Web(port=web_port),
        }
        environment = {
            "FRAMEWATCH_FETCH_ROOTS": json.dumps(roots),
            "FRAMEWATCH_MATCHING_LISTS": str(folder / "list"),
            "TMPDIR": str(folder / "tmp"),
            "HOME": str(folder / "tmp"),
            "AWS_SECRET_ACCESS_KEY": marks["environment"],
            "ANY_OTHER": marks["any"],
        }
        async with deployed(broker, partitions=1, **sections) as deployment:
            worker = await _started(deployment.settings, environment)
            try:
                await worker.says("worker started")
                yield Scene(deployment, worker, marks, host), asked
            finally:
                await worker.kill()


def _list(folder: Path, marks: Marks) -> Path:
    """A block list of one entry, the picture of the stream ``known``, whose digits are a mark."""
    folder.mkdir()
    data = marked(BLOCKS, "x")
    asked = Ask(content_type="video/mp2t", interval_s=2.0, max_keyframes=1, view=None, max_pixels=10**6, max_streams=8)
    [frame] = examine(memoryview(data), None, asked).frames
    assert frame.hash.pdq is not None
    marks.add("entry", frame.hash.pdq)
    lines = ['name = "marked"', 'version = "1"', 'algorithm = "pdq"', "radius = 31"]
    lines += ['kind = "block"', 'severity = "high"', 'source = "tests"']
    (folder / "list.toml").write_text("\n".join(lines))
    (folder / "entries.csv").write_text(f"hash,entry\n{frame.hash.pdq.hex()},one\n")
    return folder


async def _started(settings: Settings, environment: dict[str, str]) -> WorkerProcess:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "worker", "run"),
        cwd=ROOT,
        env=os.environ | _environment(settings) | environment,
        stderr=asyncio.subprocess.PIPE,
        limit=2**22,
    )
    return WorkerProcess(process)


def _answer(url: str) -> bytes:
    try:
        with urlopen(url, timeout=10) as response:  # noqa: S310 - an http URL of this test
            return response.read()
    except HTTPError as error:  # not ready is an answer, too
        return error.read()


def _shown(url: str) -> bytes:
    """All parts of the console, once; the last of them begins with the time."""
    with urlopen(url, timeout=10) as answer:  # noqa: S310 - our own worker
        lines = [answer.readline()]
        while not lines[-1].startswith(b'data: {"at_s"'):
            lines.append(answer.readline())
    return b"".join(lines)


async def test_nothing_secret_leaves_a_worker(broker: Any, tmp_path: Path) -> None:
    """Neither images nor secrets nor entries in logs, metrics or topics; only our state holds an initialisation."""
    async with scene(broker, tmp_path) as (played, asked):
        await played.play()
        outside = await played.outside()
        risk = played.deployment.settings.topics.risk
        leaks = {where: played.marks.found_in(data) for where, data in outside.items()}
        leaks[risk].discard("init")
        assert {where: names for where, names in leaks.items() if names} == {}
        assert played.marks.found_in("\n".join(asked).encode()) == {"header", "signature"}
        assert list((tmp_path / "tmp").iterdir()) == []  # onnxruntime, too, leaves files for what it would tell
        assert played.worker.log
        for line in played.worker.log:
            json.loads(line)
        assert has_no_core(played.worker._process.pid)


async def test_decoders_know_and_keep_nothing(broker: Any, tmp_path: Path) -> None:
    """No secret in a child's arguments, environment or descriptors, no image in its slot once it is idle."""
    async with scene(broker, tmp_path) as (played, _):
        await played.play_good()
        children = descendants(played.worker._process.pid)
        assert len(children) >= 3  # a zygote, a decoder, one in reserve
        for child in children:
            shown = b"".join(_read(Path(f"/proc/{child}/{name}")) for name in ("environ", "cmdline"))
            assert played.marks.found_in(shown) == set()
            assert has_no_core(child)
        if os.geteuid() == 0:  # nobody else may look
            slots = [slot for child in children for slot in slots_of(child)]
            assert slots
            assert all(slot.count(0) == len(slot) for slot in slots)


def has_no_core(pid: int) -> bool:
    """Whether a process may write no core; piped ones don't heed the limit, but whether it is dumpable."""
    limited = re.search(rb"Max core file size\s+0\s+0", _read(Path(f"/proc/{pid}/limits")))
    return limited is not None


def descendants(pid: int) -> list[int]:
    """The processes below one."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        fields = _read(folder / "stat").rpartition(b")")[2].split()
        if fields:
            parents[int(folder.name)] = int(fields[1])
    found = [pid]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found[1:]


SLOT_HEAD_BYTES = 8 * 1024 * 1024
"""More than any segment here; reading all of a slot would take the memory that it has room for."""


def slots_of(pid: int) -> list[bytes]:
    """The beginning of each slot that a process has mapped."""
    found = []
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        if "framewatch-slot" in line:
            with Path(f"/proc/{pid}/mem").open("rb") as memory:
                memory.seek(int(line.split("-")[0], 16))
                found.append(memory.read(SLOT_HEAD_BYTES))
    return found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):  # it ended meanwhile, or nobody but root may look
        return b""

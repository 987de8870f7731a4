"""Several workers of one group on a real broker: shared partitions, kept order, each output once."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict

from support import media
from support.cards import card, harmless
from support.deployment import deployed

from worker.settings.tree import Intake, Kafka

QUIET = media.make_segment(width=160, height=90, seconds=1.0, picture=lambda _: harmless(90, 160, 1))
RISKY = media.make_segment(width=160, height=90, seconds=1.0, picture=lambda _: card(90, 160))


async def publish(deployment, streams: int, sequences: range, payload: bytes = QUIET) -> None:
    """The same segment for every stream, sequence by sequence."""
    for sequence in sequences:
        await deployment.send(*(deployment.segment(f"s{n}", payload, sequence=sequence) for n in range(streams)))


def sequences_of(reports) -> dict[str, list[int]]:
    """The sequences of each stream in the order in which the outcomes stand on their partition."""
    found = defaultdict(list)
    for report in reports:
        found[report.stream_id].append(report.sequence)
    return dict(found)


async def test_two_workers_share_the_partitions_and_each_output_is_there_once(broker):
    """While a worker joins and another leaves, every segment has one outcome and each stream's are in order."""
    streams = 8
    async with deployed(broker, partitions=4) as deployment:
        async with deployment.worker() as first:
            await publish(deployment, streams, range(5))
            await deployment.assessments(5 * streams)
            async with deployment.worker() as second:
                await until(lambda: len(first.partitions) == 2 and len(second.partitions) == 2)
                await publish(deployment, streams, range(5, 10))
                await deployment.assessments(10 * streams)
            await publish(deployment, streams, range(10, 12))
            reports = await deployment.assessments(12 * streams)
        committed = await deployment.committed()
    assert Counter(report.outcome for report in reports) == {"assessed": 12 * streams}
    assert len({(report.partition, report.offset) for report in reports}) == len(reports) == 12 * streams
    assert sequences_of(reports) == {f"s{n}": list(range(12)) for n in range(streams)}
    assert sum(offset or 0 for offset in committed.values()) == 12 * streams


async def test_an_incident_opens_once_though_the_stream_changes_hands(broker):
    """Risk gathered by one worker counts for the next one: one opening, and revisions in order."""
    async with deployed(broker, partitions=1) as deployment:
        async with deployment.worker():
            await publish(deployment, 1, range(3), RISKY)
            await deployment.assessments(3)
        async with deployment.worker():
            await publish(deployment, 1, range(3, 14), RISKY)
            await deployment.send(deployment.end("s0"))
            await deployment.assessments(14)
        incidents = await deployment.incidents(2)
    assert [incident.revision for incident in incidents] == list(range(1, len(incidents) + 1))
    assert len({incident.incident_id for incident in incidents}) == 1
    assert incidents[-1].live is False


async def test_without_transactions_the_same_release_is_acknowledged(broker):
    """at_least_once gives the same outcomes on a broker, in order, and commits them."""
    kafka = Kafka(bootstrap_servers=broker.bootstrap_servers, group_id="acknowledged", guarantee="at_least_once")
    async with deployed(broker, kafka=kafka) as deployment:
        async with deployment.worker():
            await publish(deployment, 3, range(4))
            reports = await deployment.assessments(12)
        async with deployment.worker():
            await publish(deployment, 3, range(4, 6))
            reports = await deployment.assessments(18)
        committed = await deployment.committed()
    assert sequences_of(reports) == {f"s{n}": list(range(6)) for n in range(3)}
    assert sum(offset or 0 for offset in committed.values()) == 18


async def test_the_event_loop_is_never_blocked_for_long(broker):
    """While megabytes of video are worked, the loop answers within 50 ms, the slowest time included."""
    large = media.make_segment(width=1280, height=720, seconds=2.0, picture=media.textured(1280, 720), crf=10)
    async with deployed(broker, intake=Intake(release_interval_s=0.1)) as deployment, deployment.worker():
        late: list[float] = []
        watching = asyncio.create_task(watch_loop(late))
        for sequence in range(6):
            await deployment.send(*(deployment.segment(f"s{n}", large, sequence=sequence) for n in range(3)))
        await deployment.assessments(18)
        watching.cancel()
    assert len(large) > 1_000_000
    assert sorted(late)[int(len(late) * 0.99)] < 0.05


async def watch_loop(late: list[float]) -> None:
    """Note how late a timer of 5 ms fires, again and again."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + 0.005
        fired = asyncio.Event()
        loop.call_at(due, fired.set)
        await fired.wait()
        late.append(loop.time() - due)


async def until(condition) -> None:
    """Wait for a condition, at most half a minute."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.wait([asyncio.ensure_future(asyncio.sleep(0.02))])

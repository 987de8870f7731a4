"""The segments topic grows: it is noticed, the state is moved, and risk goes on as if nothing had been."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from support import media
from support.cards import card, harmless
from support.deployment import deployed

from worker.commands import state
from worker.errors import Stopped
from worker.kafka import admin
from worker.kafka.partitioners import Partitioner, place
from worker.settings.tree import Kafka

if TYPE_CHECKING:
    from support.deployment import Deployment
    from support.kafka import Cluster

    from worker.app import Worker
    from worker.records import AssessmentReport

QUIET = media.make_segment(width=160, height=90, seconds=1.0, picture=lambda _: harmless(90, 160, 1))
RISKY = media.make_segment(width=160, height=90, seconds=1.0, picture=lambda _: card(90, 160))
STREAMS = 12
BEFORE, AFTER = 2, 5


async def publish(deployment: Deployment, sequences: range, partitions: int, by: Partitioner = "murmur2") -> None:
    """Every third stream is risky; each goes where a publisher's client sends it among so many partitions."""
    for sequence in sequences:
        for number in range(STREAMS):
            payload = RISKY if number % 3 == 0 else QUIET
            message = deployment.segment(f"s{number}", payload, sequence=sequence)
            await deployment.send(placed(message, place(f"s{number}", partitions, by)))


def placed(message: Any, partition: int) -> Any:
    """The same message, for a partition."""
    return type(message)(
        topic=message.topic, partition=partition, key=message.key, value=message.value, headers=message.headers
    )


def risks(reports: list[AssessmentReport]) -> dict[tuple[str | None, int | None], float]:
    """Each stream's risk after each of its segments."""
    return {(report.stream_id, report.sequence): report.risk or 0.0 for report in reports}


async def grow(deployment: Deployment) -> None:
    """What a platform does, and tells nobody."""
    await admin.grow(deployment.settings.kafka, deployment.settings.topics.segments, AFTER)
    await deployment._producer.client.force_metadata_update()  # publishers learn of it sooner or later
    deployment.partitions = AFTER


async def undisturbed(broker: Cluster, sequences: int) -> Any:
    """Risks and openings of a run in which nothing happened."""
    async with deployed(broker, partitions=AFTER) as deployment, deployment.worker():
        await publish(deployment, range(sequences), AFTER)
        reports = await deployment.assessments(STREAMS * sequences)
        return risks(reports), opened(await deployment.incidents(1))


def opened(incidents: list[Any]) -> set[str]:
    """Streams of which an incident was opened, each once."""
    first = [incident.stream_id for incident in incidents if incident.revision == 1]
    assert len(first) == len(set(first))
    return set(first)


@pytest.mark.parametrize("by", ["murmur2", "crc32"])
async def test_after_growing_and_moving_every_risk_is_that_of_an_undisturbed_run(
    broker: Cluster, by: Partitioner
) -> None:
    """From two partitions to five, in the middle of what leads to incidents; no incident is opened twice."""
    expected, expected_incidents = await undisturbed(broker, 8)
    async with deployed(broker, partitions=BEFORE) as deployment:
        async with deployment.worker():
            await publish(deployment, range(4), BEFORE, by)
            await deployment.assessments(STREAMS * 4)
        await grow(deployment)
        await publish(deployment, range(4, 6), AFTER, by)
        looked = await state.moved(deployment.settings, do=False)
        done = await state.moved(deployment.settings, do=True)
        async with deployment.worker():
            await publish(deployment, range(6, 8), AFTER, by)
            reports = await deployment.assessments(STREAMS * 8)
        incidents = await deployment.incidents(1)
    assert (looked.plan, looked.before, looked.after) == (done.plan, BEFORE, AFTER)
    assert done.plan.partitioner == by
    assert {move.stream_id for move in done.plan.moves} == {
        f"s{n}" for n in range(STREAMS) if place(f"s{n}", BEFORE, by) != place(f"s{n}", AFTER, by)
    }
    assert risks(reports) == pytest.approx(expected)
    assert opened(incidents) == expected_incidents != set()


async def test_moving_again_does_nothing_and_a_dry_run_changes_nothing(broker: Cluster) -> None:
    """Both can be run at any time."""
    async with deployed(broker, partitions=BEFORE) as deployment:
        async with deployment.worker():
            await publish(deployment, range(1), BEFORE)
            await deployment.assessments(STREAMS)
        await grow(deployment)
        first = await state.moved(deployment.settings, do=False)
        again = await state.moved(deployment.settings, do=False)
        assert (first.before, again.before) == (BEFORE, BEFORE)
        assert first.plan == again.plan
        assert state.told(first)[-1] == "nothing was changed; --yes does it"
        await state.moved(deployment.settings, do=True)
        after = await state.moved(deployment.settings, do=True)
    assert not after.needed
    assert "nothing to move" in state.told(after)[0]


async def test_a_move_that_was_cut_off_goes_on(broker: Cluster) -> None:
    """Cut off while it marks, writes, forgets or unmarks, the next run ends it, and nothing is lost."""
    async with deployed(broker, partitions=BEFORE) as deployment:
        async with deployment.worker():
            await publish(deployment, range(3), BEFORE)
            before = risks(await deployment.assessments(STREAMS * 3))
        await grow(deployment)
        for releases in (1, 6, 8, 11):
            await cut_off(deployment, releases)
        assert (await state.moved(deployment.settings, do=True)).resumed
        async with deployment.worker():
            await publish(deployment, range(3, 4), AFTER)
            after = risks(await deployment.assessments(STREAMS * 4))
    risky = [f"s{n}" for n in range(0, STREAMS, 3)]
    assert all(after[stream, 3] > before[stream, 2] > 0 for stream in risky)


async def test_a_move_refuses_while_the_group_has_members(broker: Cluster) -> None:
    """A worker would write beside it."""
    async with deployed(broker, partitions=BEFORE) as deployment, deployment.worker() as worker:
        await until(lambda: len(worker.partitions) == BEFORE)
        with pytest.raises(Stopped, match=r"has 1 members .*: stop every worker first"):
            await state.moved(deployment.settings, do=True)


async def test_a_stream_with_segments_waiting_where_it_was_keeps_a_copy_there(broker: Cluster) -> None:
    """What was published before the growth and not worked yet is worked knowing the stream."""
    async with deployed(broker, partitions=BEFORE) as deployment:
        async with deployment.worker():
            await publish(deployment, range(3), BEFORE)
            known = risks(await deployment.assessments(STREAMS * 3))
        await publish(deployment, range(3, 4), BEFORE)
        await grow(deployment)
        done = await state.moved(deployment.settings, do=True)
        async with deployment.worker():
            after = risks(await deployment.assessments(STREAMS * 4))
    assert done.plan.staying == len(done.plan.moves) > 0
    assert all(after[f"s{n}", 3] > known[f"s{n}", 2] for n in range(0, STREAMS, 3))


async def test_growth_under_a_running_worker_stops_intake_and_readiness_says_why(broker: Cluster) -> None:
    """Within a minute; nothing is worked on a partition that has no state."""
    async with deployed(broker, partitions=BEFORE) as deployment:
        async with deployment.worker() as worker:
            await publish(deployment, range(1), BEFORE)
            await deployment.assessments(STREAMS)
            await grow(deployment)
            assert worker._consuming is not None
            await worker._consuming._member._consumer._client.force_metadata_update()  # else within a minute
            await until(lambda: halted(worker) is not None)
            why = halted(worker) or ""
            await publish(deployment, range(1, 2), AFTER)
            polls = worker._consuming.polls
            await until(lambda: worker._consuming.polls > polls + 5)
        reports = await deployment.assessments(STREAMS)
    assert "has grown from 2 to 5 partitions" in why
    assert "framewatch state move --yes" in why
    assert {report.sequence for report in reports} == {0}


async def test_without_transactions_the_state_moves_as_well(broker: Cluster) -> None:
    """The same releases, acknowledged."""
    kafka = Kafka(
        bootstrap_servers=broker.bootstrap_servers,
        group_id="grown-acknowledged",
        guarantee="at_least_once",
        session_timeout_s=6,
    )
    async with deployed(broker, partitions=BEFORE, kafka=kafka) as deployment:
        async with deployment.worker():
            await publish(deployment, range(2), BEFORE)
            before = risks(await deployment.assessments(STREAMS * 2))
        await grow(deployment)
        await state.moved(deployment.settings, do=True)
        async with deployment.worker():
            await publish(deployment, range(2, 3), AFTER)
            after = risks(await deployment.assessments(STREAMS * 3))
    assert all(after[f"s{n}", 2] > before[f"s{n}", 1] for n in range(0, STREAMS, 3))


class Cut(Exception):
    """The power has gone."""


async def cut_off(deployment: Deployment, releases: int) -> None:
    """A move that ends after so many releases."""
    left = releases

    async def release(topic: str, seat: Any, records: Any) -> None:
        nonlocal left
        if not left:
            raise Cut
        left -= 1
        await state.release(topic, seat, records)

    with pytest.raises(Cut):
        await state.moved(deployment.settings, do=True, write=release)


def halted(worker: Worker) -> str | None:
    """Why intake stands still."""
    return worker._consuming.halted if worker._consuming else None


async def until(condition: Any, *, within_s: float = 30.0) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(within_s):
        while not condition():
            looked_again = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_later(0.05, looked_again.set_result, None)
            await looked_again

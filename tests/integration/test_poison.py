"""A segment that kills the whole process is found and dead-lettered; a power cut dead-letters no innocent."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter

from support import media
from support.cards import harmless
from support.deployment import deployed
from support.poisoned import POISON
from support.processes import WorkerProcess

from worker.settings.tree import Intake, Kafka

QUIET = media.make_segment(width=160, height=90, seconds=1.0, picture=lambda _: harmless(90, 160, 1))
STREAMS = 10
DEADLINE_S = 150


def settings(broker, group: str) -> dict[str, object]:
    """Static members: a restarted one has its partitions at once."""
    link = Kafka(
        bootstrap_servers=broker.bootstrap_servers, group_id=group, instance_id=f"{group}-0", session_timeout_s=10
    )
    return {"kafka": link, "intake": Intake(release_interval_s=0.1, drain_s=5, max_attempts=3)}


async def publish(deployment, sequences: range, poison: tuple[int, int] | None = None) -> None:
    """One segment of each stream after the other; one of them may be poison."""
    for sequence in sequences:
        for n in range(STREAMS):
            payload = QUIET + POISON if (n, sequence) == poison else QUIET
            await deployment.send(deployment.segment(f"s{n}", payload, sequence=sequence))


async def test_poison_is_found_and_every_other_segment_has_its_one_outcome(broker):
    """It kills once among others, then alone as often as is allowed; who died beside it is worked as if nothing was."""
    async with deployed(broker, partitions=2, **settings(broker, "poison")) as deployment, asyncio.timeout(DEADLINE_S):
        await publish(deployment, range(12), poison=(3, 5))
        deaths = 0
        while (worker := await WorkerProcess.start(deployment, "support.poisoned")) and deaths < 6:
            done = asyncio.create_task(deployment.assessments(12 * STREAMS))
            ended = asyncio.create_task(worker.end())
            await asyncio.wait({done, ended}, return_when=asyncio.FIRST_COMPLETED)
            if done.done():
                break
            done.cancel()
            await asyncio.wait({done})
            deaths += 1
        await worker.kill()
        reports, letters = done.result(), await deployment.dead_letters(1)
    assert deaths == 1 + 1 + 3  # among all others, alone in its partition, and alone at all
    assert Counter((r.partition, r.offset) for r in reports).most_common(1)[0][1] == 1
    assert Counter(report.outcome for report in reports) == {"assessed": 12 * STREAMS - 1, "dead_lettered": 1}
    assert [(x.stream_id, x.sequence, x.stage, x.error, x.attempts) for x in letters] == [
        ("s3", 5, "decode", "crashed", 3)
    ]


async def test_kills_at_random_dead_letter_nobody(broker):
    """Whatever was in work, alone or among others, is worked again and has its one outcome."""
    chance = random.Random(7)  # noqa: S311 - no secret
    rounds = int(os.environ.get("FRAMEWATCH_TEST_KILLS", "4"))
    async with deployed(broker, partitions=2, **settings(broker, "kills")) as deployment, asyncio.timeout(DEADLINE_S):
        await publish(deployment, range(20))
        for kill in range(rounds):
            worker = await WorkerProcess.start(deployment, "support.poisoned")
            await worker.says("partition works", times=2)
            async with asyncio.timeout(30):
                publishing = asyncio.create_task(publish(deployment, range(20 + kill * 3, 23 + kill * 3)))
                for _ in range(chance.randrange(20)):
                    await asyncio.sleep(0.05)
                await worker.kill()
                await publishing
        worker = await WorkerProcess.start(deployment, "support.poisoned")
        reports = await deployment.assessments((20 + 3 * rounds) * STREAMS)
        letters = await deployment.dead_letters()
        await worker.kill()
    assert letters == []
    assert Counter(report.outcome for report in reports) == {"assessed": (20 + 3 * rounds) * STREAMS}
    assert len({(report.partition, report.offset) for report in reports}) == len(reports)

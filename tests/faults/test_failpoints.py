"""Deaths and errors at each step of taking a partition and of a release: the outcome is that of a quiet run."""

from __future__ import annotations

import asyncio
import itertools
import signal
from typing import TYPE_CHECKING

from support import media
from support.cards import card, harmless
from support.deployment import deployed
from support.failing import ERRORS, HANG, RELEASING, TAKING
from support.faults.oracle import assert_same, told, undisturbed
from support.processes import WorkerProcess, processes

from worker.settings.tree import Intake, Kafka, PolicyFile

if TYPE_CHECKING:
    from pathlib import Path

QUIET = media.make_segment(width=160, height=90, seconds=1.0, picture=lambda _: harmless(90, 160, 1))
RISKY = media.make_segment(width=160, height=90, seconds=1.0, picture=lambda _: card(90, 160))
STEADY = 3
EVENTS = 2 * STEADY + 2
EAGER = 'name = "eager"\n[risk]\nopen_above = 3\nclose_below = 1\n'
"""One look at the card opens an incident."""
REACHED_WITHIN_S = 60.0
MOST_TELLING = (
    "escalation sent",
    "offset sent",
    "commit in flight",
    "taking: fenced",
    "taking: restoring",
)
"""The short form's."""


async def publish(deployment, number: int) -> None:
    """Every kind of record comes of it: steady streams, a fresh one that opens an incident, one with a bad segment."""
    for half in (0, 1):
        steady = [(f"steady-{n}", QUIET if n else RISKY, 2 * number + half) for n in range(STEADY)]
        await deployment.send(*(deployment.segment(s, payload, sequence=sequence) for s, payload, sequence in steady))
    await deployment.send(
        deployment.segment(f"fresh-{number}", RISKY, sequence=0),
        deployment.segment("bad", b"no media at all", sequence=number),
    )


def settings(broker, folder: Path, group: str) -> dict[str, object]:
    """A static member: the next process of that name has the partition at once.

    So many deaths one after the other, each while something is in work, would make the segment in work a suspect.
    """
    policy = folder / "policy.toml"
    policy.write_text(EAGER)
    return {
        "kafka": Kafka(
            bootstrap_servers=broker.bootstrap_servers,
            group_id=group,
            instance_id=f"{group}-0",
            session_timeout_s=6,
            send_deadline_s=2,
        ),
        "intake": Intake(release_interval_s=0.2, drain_s=5, max_attempts=1000),
        "policy": PolicyFile(file=str(policy)),
    }


async def dies_at(deployment, step: str) -> None:
    """Start a worker with a failpoint, and return when it has died there."""
    worker = await WorkerProcess.start(deployment, "support.failing", step, "KILL")
    try:
        async with asyncio.timeout(REACHED_WITHIN_S):
            assert await worker.end() == -signal.SIGKILL, "\n".join(worker.log[-5:])
    finally:
        await worker.kill()


async def test_a_kill_at_any_step_changes_no_outcome(broker, tmp_path, scale, measured):
    """A worker is killed at each step of taking a partition and of a release, one after the other: same outcome."""
    # Releases first: there is something to restore then.
    steps = RELEASING + TAKING if scale.full else MOST_TELLING
    async with deployed(broker, partitions=1, **settings(broker, tmp_path, "kills")) as deployment:
        for number, step in enumerate(steps):
            await publish(deployment, number)
            await dies_at(deployment, step)
        async with processes(deployment, 1):
            disturbed = await told(deployment, len(steps) * EVENTS)
        assert_same(disturbed, await undisturbed(deployment, len(steps) * EVENTS))
    measured("steps", len(steps))


async def test_any_error_at_any_step_ends_in_the_partition_taken_again(broker, tmp_path, scale, measured):
    """A time-out, a new owner, a refusal, a lost broker, a cut-off answer at each step: same outcome and process."""
    kinds = [HANG, *ERRORS]
    turns = range(len(kinds)) if scale.full else (0,)
    plan = [at for turn in turns for at in plan_of_errors(kinds[turn:] + kinds[:turn])]
    async with deployed(broker, partitions=1, **settings(broker, tmp_path, "errors")) as deployment:
        worker = await WorkerProcess.start(deployment, "support.failing", *itertools.chain(*plan))
        try:
            for number in range(len(plan) // 2):
                await publish(deployment, number)
                await worker.says('"failpoint"', times=2 * number + 2)
                disturbed = await told(deployment, (number + 1) * EVENTS)  # else two rounds may leave in one release
            assert sum("partition lost" in line for line in worker.log) == len(plan)
            worker.signal(signal.SIGTERM)
            assert await worker.end() == 0
        finally:
            await worker.kill()
        assert_same(disturbed, await undisturbed(deployment, len(plan) // 2 * EVENTS))
    measured("errors", len(plan))


def plan_of_errors(kinds: list[str]) -> list[tuple[str, str]]:
    """An error at each step of a release, each followed by one at a step of taking the partition again."""
    taking = itertools.cycle(TAKING)
    steps = [step for release in (*RELEASING, "begun") for step in (release, next(taking))]
    return list(zip(steps, itertools.cycle(kinds), strict=False))

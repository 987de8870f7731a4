"""Workers killed, frozen and told to end on a real broker, under load: what a reader is told stays the same."""

from __future__ import annotations

import asyncio
import random
import signal
import statistics
from typing import TYPE_CHECKING

from support.deployment import deployed
from support.faults.fleet import Fleet
from support.faults.load import Load
from support.faults.oracle import assert_same, told, undisturbed
from support.faults.pace import time_passes
from support.faults.stall import Events, longest_stall_s, slowest_s
from support.processes import WorkerProcess

from worker.settings.tree import Intake, Kafka

if TYPE_CHECKING:
    from support.deployment import Deployment
    from support.faults.oracle import Told
    from support.faults.report import Measured

PER_SECOND = 30
PAUSE_S = 1.5
"""At most so long after a worker's start the next one is killed: between two releases or within one."""
SESSION_S = 5
FREEZES_AT = ("offset sent", "snapshot sent", "commit in flight", "committed")


def settings(broker, group: str, *, session_timeout_s: float = SESSION_S) -> dict[str, object]:
    """A group whose dead are noticed soon, and that releases often."""
    kafka = Kafka(bootstrap_servers=broker.bootstrap_servers, group_id=group, session_timeout_s=session_timeout_s)
    return {"kafka": kafka, "intake": Intake(release_interval_s=0.1, drain_s=5)}


class Disturbance:
    """Does things to a fleet at random, one after the other."""

    def __init__(self, fleet: Fleet, seed: int) -> None:
        self._fleet = fleet
        self._chance = random.Random(seed)  # noqa: S311 - no secret
        self.events = Events()
        self.left_within_s: list[float] = []

    async def kill(self) -> None:
        """Kill one in a moment and start it again."""
        victim = await self._choose("kill")
        await self._fleet.kill(victim)
        await self._fleet.restart(victim)

    async def join(self) -> None:
        """Let one more join."""
        await self._choose("join")
        await self._fleet.join()

    async def leave(self) -> None:
        """Tell one to end; it stays away."""
        self.left_within_s.append(await self._fleet.leave(await self._choose("leave")))

    async def come_back(self) -> None:
        """Tell one to end and start it again."""
        victim = await self._choose("restart")
        self.left_within_s.append(await self._fleet.leave(victim))
        await self._fleet.restart(victim)

    async def _choose(self, kind: str) -> int:
        await time_passes(self._chance.uniform(0, PAUSE_S))
        self.events.note(kind)
        return self._chance.choice(self._fleet.running)


async def settled(deployment: Deployment, load: Load, measured: Measured, events: Events) -> Told:
    """Wait for all outcomes, each told once, and publish what came of it."""
    disturbed = await told(deployment, load.published)
    measured("segments", load.published)
    measured("incidents", len(disturbed.incidents))
    for kind, stalls_s in events.stalls_s(disturbed).items():
        measured(f"stall of a {kind} (median of {len(stalls_s)})", statistics.median(stalls_s), "s")
    measured("longest stall", longest_stall_s(disturbed), "s")
    measured("slowest outcome", slowest_s(disturbed), "s")
    return disturbed


async def test_kills_of_static_members_change_no_outcome(broker, scale, measured):
    """A random worker of three is killed again and again and restarted under its name: told as in a quiet run."""
    kills = scale.pick(short=3, full=30)
    async with deployed(broker, partitions=6, **settings(broker, "static", session_timeout_s=15)) as deployment:
        load = Load(deployment)
        async with Fleet(deployment, 3) as fleet:
            disturbance = Disturbance(fleet, seed=1)
            async with load.running(per_second=PER_SECOND):
                for _ in range(kills):
                    await disturbance.kill()
            await load.publish(max(0, scale.pick(short=300, full=2000) - load.published))
            disturbed = await settled(deployment, load, measured, disturbance.events)
            assert fleet.orphans() == []
        quiet = await undisturbed(deployment, load.published)
    assert_same(disturbed, quiet)


async def test_kills_joins_and_leaves_of_dynamic_members_change_no_outcome(broker, scale, measured):
    """Workers without names are killed, join and leave, each time with a rebalance: told as in a quiet run."""
    kills, joins = scale.pick(short=2, full=30), scale.pick(short=1, full=20)
    kinds = ["kill"] * kills + ["join", "leave"] * joins
    async with deployed(broker, partitions=6, **settings(broker, "dynamic")) as deployment:
        load = Load(deployment, seed=2)
        async with Fleet(deployment, 3, static=False) as fleet:
            disturbance = Disturbance(fleet, seed=2)
            async with load.running(per_second=PER_SECOND):
                for kind in mixed(kinds, seed=2):
                    await getattr(disturbance, kind)()
            await load.publish(max(0, scale.pick(short=300, full=2000) - load.published))
            disturbed = await settled(deployment, load, measured, disturbance.events)
            assert fleet.orphans() == []
        quiet = await undisturbed(deployment, load.published)
    assert_same(disturbed, quiet)


def mixed(kinds: list[str], seed: int) -> list[str]:
    """The same in another order, in which joins and leaves still take turns."""
    places = kinds.copy()
    random.Random(seed).shuffle(places)  # noqa: S311 - no secret
    turns = iter(["join", "leave"] * len(places))
    return [kind if kind == "kill" else next(turns) for kind in places]


async def test_every_sigterm_ends_in_good_order(broker, scale, measured):
    """Workers are told to end under load, one after the other: nothing lost or doubled, within the grace period."""
    async with deployed(broker, partitions=6, **settings(broker, "terms", session_timeout_s=15)) as deployment:
        load = Load(deployment, seed=3)
        async with Fleet(deployment, 3) as fleet:
            disturbance = Disturbance(fleet, seed=3)
            async with load.running(per_second=PER_SECOND):
                for _ in range(scale.pick(short=3, full=20)):
                    await disturbance.come_back()
            await settled(deployment, load, measured, disturbance.events)
        grace_s = deployment.settings.shutdown.grace_s
    measured(f"longest end (grace {grace_s:.0f} s)", max(disturbance.left_within_s), "s")
    assert max(disturbance.left_within_s) < grace_s


async def test_impatient_signals_end_a_worker_at_once_and_lose_nothing(broker):
    """A second SIGTERM ends it on the spot; another worker does what it left."""
    async with deployed(broker, partitions=2, **settings(broker, "impatient")) as deployment:
        load = Load(deployment, streams=12)
        async with Fleet(deployment, 2) as fleet:
            await load.publish(72)
            hurried = fleet.worker(0)
            hurried.signal(signal.SIGTERM)
            await hurried.says("draining")
            for _ in range(4):
                hurried.signal(signal.SIGTERM)
            assert await hurried.end() in (0, 1)
            await load.publish(24)
            await told(deployment, load.published)


async def test_a_zombie_is_fenced(broker, scale, measured):
    """A worker is frozen for longer than its session and goes on: nothing of it is seen, no state is taken back."""
    for static in (True, False) if scale.full else (True,):
        async with deployed(broker, partitions=4, **settings(broker, f"zombie-{static}")) as deployment:
            load = Load(deployment, streams=24, seed=4)
            async with Fleet(deployment, 2, static=static) as fleet:
                async with load.running(per_second=PER_SECOND):
                    await fleet.share(4)
                    fleet.freeze(0)
                    await fleet.share(4, 1)
                    await a_second_of(load)
                    fleet.thaw(0)
                    await fleet.share(4)
                for number in fleet.running:
                    await fleet.leave(number)
            await restored_and_compared(deployment, load)
            measured("segments", load.published)


async def test_a_zombie_in_the_middle_of_a_release_is_fenced(broker, scale, measured):
    """A worker freezes while it releases, its partition moves, it goes on: its transaction is nobody's."""
    steps = FREEZES_AT if scale.full else FREEZES_AT[:1]
    for step in steps:
        async with deployed(broker, partitions=2, **settings(broker, f"frozen-{step[:6].strip()}")) as deployment:
            load = Load(deployment, streams=12, seed=5)
            await frozen_and_thawed(deployment, load, step)
            await restored_and_compared(deployment, load)
    measured("steps", len(steps))


async def frozen_and_thawed(deployment: Deployment, load: Load, step: str) -> None:
    """A worker freezes at a step of a release until another one has done what it had in hand."""
    zombie = await WorkerProcess.start(deployment, "support.failing", step, "STOP")
    try:
        async with load.running(per_second=PER_SECOND):
            await zombie.says('"failpoint"')
            async with Fleet(deployment, 1, static=False) as fleet:
                await fleet.share(2)
                await a_second_of(load)
                zombie.signal(signal.SIGCONT)
                await zombie.says("assigned", times=2)
                await fleet.leave(0)
        zombie.signal(signal.SIGTERM)
        assert await zombie.end() == 0
    finally:
        await zombie.kill()
    assert any("partition lost" in line for line in zombie.log)


async def restored_and_compared(deployment: Deployment, load: Load) -> None:
    """Whoever comes next restores what the zombie's successor knew, and goes on as in a quiet run."""
    async with deployment.worker():
        await load.publish(48)
        disturbed = await told(deployment, load.published)
    assert_same(disturbed, await undisturbed(deployment, load.published))


async def a_second_of(load: Load) -> None:
    """Wait until so much more is published: the successor has work to do that the zombie knows nothing of."""
    before = load.published
    async with asyncio.timeout(30):
        while load.published < before + PER_SECOND:
            await asyncio.sleep(0.02)

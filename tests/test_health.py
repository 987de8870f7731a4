"""What the probes say."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from worker.health import Health


@dataclass
class Partition:
    """One that works, perhaps held."""

    held: str | None = None
    unfinished: int = 0
    finished: int = 0


@dataclass
class Intake:
    """What health looks at."""

    polls: int = 0
    joined: bool = True
    partitions: dict[int, Partition] = field(default_factory=dict)
    restoring: frozenset[int] = frozenset()
    parked: dict[int, str] = field(default_factory=dict)
    failing: dict[int, str] = field(default_factory=dict)
    halted: str | None = None


@pytest.mark.parametrize(
    ("intake", "why"),
    [
        (Intake(), None),
        (Intake(polls=9, joined=False), "has not joined its group yet"),
        (Intake(restoring=frozenset({2, 1})), "restoring partitions 1, 2"),
        (Intake(partitions={0: Partition(), 1: Partition("s3 is away")}), "partition 1 is held: s3 is away"),
        (Intake(parked={3: "partition 3: somebody moved it"}), "partition 3: somebody moved it"),
        (Intake(failing={1: "refused"}), "partition 1: its results do not leave: refused"),
        (Intake(halted="11 of 20 turned bad"), "intake is stopped: 11 of 20 turned bad"),
    ],
)
def test_ready_is_who_works_all_that_the_group_gave_him(intake, why):
    """Polling alone proves nothing: a consumer polls before it has joined."""
    assert Health(intake, lambda: 0.0).ready() == why
    assert bool(Health(intake, lambda: 0.0).unready()) == (why is not None)


def test_alive_is_who_polls():
    """A minute without a poll is no progress; the next poll is."""
    now = [0.0]
    intake = Intake()
    health = Health(intake, lambda: now[0])
    for at, polls, alive in (
        (0, 0, True),
        (60, 0, True),
        (61, 0, False),
        (62, 1, True),
        (122, 1, True),
        (123, 1, False),
    ):
        now[0], intake.polls = float(at), polls
        assert (health.live() is None) is alive


@pytest.mark.parametrize(
    ("partition", "halted", "alive"),
    [
        (Partition(unfinished=3), None, False),
        (Partition(unfinished=0), None, True),
        (Partition(unfinished=3, held="s3 is away"), None, True),
        (Partition(unfinished=3), "11 of 20 turned bad", True),
    ],
)
def test_alive_is_who_gets_on_with_what_could_go_on(partition, halted, alive):
    """Polling alone is no life: work that waits for nothing is finished within two minutes, be it one event."""
    now = [0.0]
    intake = Intake(partitions={2: partition}, halted=halted)
    health = Health(intake, lambda: now[0])
    for at in range(0, 150, 10):
        now[0], intake.polls = float(at), at
        told = health.live()
    assert (told is None) is alive
    if not alive:
        assert told == "partition 2: 3 events wait, none was finished for 140 s"
        partition.finished += 1
        assert health.live() is None

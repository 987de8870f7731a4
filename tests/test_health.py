"""What the probes say."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from worker.health import Health


@dataclass
class Partition:
    """One that works, perhaps held."""

    held: str | None = None


@dataclass
class Intake:
    """What health looks at."""

    polls: int = 0
    joined: bool = True
    partitions: dict[int, Partition] = field(default_factory=dict)
    restoring: frozenset[int] = frozenset()


@pytest.mark.parametrize(
    ("intake", "why"),
    [
        (Intake(), None),
        (Intake(polls=9, joined=False), "has not joined its group yet"),
        (Intake(restoring=frozenset({2, 1})), "restoring partitions 1, 2"),
        (Intake(partitions={0: Partition(), 1: Partition("s3 is away")}), "partition 1 is held: s3 is away"),
    ],
)
def test_ready_is_who_works_all_that_the_group_gave_him(intake, why):
    """Polling alone proves nothing: a consumer polls before it has joined."""
    assert Health(intake, lambda: 0.0).ready() == why


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

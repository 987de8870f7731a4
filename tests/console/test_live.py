"""What the console knows of streams."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace
from support.consoles import RULES, Stage
from support.partitions import Bench, GatedDesk, record

from worker import conclude
from worker.conclude import Conclusion
from worker.console.live import IDLE_S, POINTS, Live, history
from worker.console.words import WORDS
from worker.records import EventId, Failure, Position, Received, StreamEnd, StreamRisk
from worker.telemetry.catalogue.bounds import ERRORS, WHYS

if TYPE_CHECKING:
    from worker.partition.backlog import Arrived, Backlog
    from worker.partition.memory import Memory
    from worker.records import Event


class StagedDesk(GatedDesk):
    """Leaves each stream as the stage has it."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self._stage = stage

    async def work(self, event: Event, arrived: Arrived, memory: Memory, backlog: Backlog) -> Conclusion:
        return Conclusion(state=self._stage.states[event.stream_id], messages=())


def ids(stage: Stage, most: int = 50, prefix: str = "") -> list[str]:
    """The streams that are shown, worst first."""
    return [stream.stream_id for stream in stage.live.worst(most, stage.at_s(), prefix)]


def test_the_riskiest_come_first_and_harmless_ones_in_order() -> None:
    """By risk; those without one by their id, so that the list stands still."""
    stage = Stage()
    stage.calm(["c", "a", "b"])
    stage.risky("mild", 2)
    stage.risky("wild", 5)
    assert ids(stage) == ["wild", "mild", "a", "b", "c"]
    assert ids(stage, most=3) == ["wild", "mild", "a"]


def test_a_search_finds_by_the_beginning_of_an_id() -> None:
    """Risky and harmless ones, counted as well."""
    stage = Stage()
    stage.calm([f"tv/{n}" for n in range(5)] + ["radio/1"])
    stage.risky("tv/9", 3)
    assert ids(stage, prefix="tv/")[0] == "tv/9"
    assert stage.live.matching("tv/") == 6
    assert stage.live.matching("v/") == 0


def test_a_stream_leaves_when_it_ends_falls_silent_or_its_partition_goes() -> None:
    """What is live is what was heard within five minutes, on a partition of ours."""
    stage = Stage()
    stage.calm(["old"])
    stage.later(IDLE_S + 1)
    stage.calm(["ended", "stays"])
    stage.live.took(4, [])
    stage.play("elsewhere", partition=4)
    event = StreamEnd(
        position=Position(topic="segments", partition=3, offset=9, timestamp_ms=0),
        event=EventId(source="t", id="e"),
        stream_id="ended",
    )
    received = Received(position=event.position, key=b"ended", value=b"", headers=())
    stage.live.released(3, received, conclude.end(stage.states["ended"], event, stage.now, RULES), stage.at_s())
    assert ids(stage) == ["elsewhere", "stays"]
    stage.live.left([4])
    stage.play("elsewhere", partition=4)  # it hands over, and releases what it had in work
    assert ids(stage) == ["stays"]


def test_what_is_known_is_bounded_and_no_flood_of_harmless_streams_hides_a_risky_one() -> None:
    """Streams with a risk and streams without have a bound each."""
    stage = Stage(Live(most_streams=10))
    stage.risky("risky", 4)
    stage.calm(str(n) for n in range(100))
    assert stage.live.matching("") == 11
    assert ids(stage)[0] == "risky"
    for n in range(30):
        stage.risky(f"flood-{n}", 3)
    assert stage.live.risky == 10
    assert stage.live.matching("") == 20


def test_a_history_is_the_highest_risk_of_each_five_seconds() -> None:
    """It goes back five minutes, holds between events what was last, and a harmless stream has none."""
    stage = Stage()
    stage.risky("s", 3)
    high = stage.states["s"].risk.value
    (stream,) = stage.live.worst(1, stage.at_s())
    shown = history(stream, stage.at_s())
    assert len(shown) == POINTS
    assert shown[-1] == pytest.approx(high)
    assert shown[:-3] == [0.0] * (POINTS - 3)
    assert shown == sorted(shown)
    stage.later(60)
    assert history(stream, stage.at_s())[-12:] == pytest.approx([high] * 12)
    stage.later(250)
    assert history(stream, stage.at_s()) == pytest.approx([high] * POINTS)
    stage.play("s")
    assert len({round(point, 3) for point in history(stream, stage.at_s())}) == 2
    stage.calm(["harmless"])
    assert history(stage.live.worst(9, stage.at_s())[-1], stage.at_s()) == []


def test_between_two_events_a_history_holds_what_was_last() -> None:
    """A gap is no fall to zero."""
    stage = Stage()
    stage.risky("s", 3)
    high = stage.states["s"].risk.value
    stage.later(30)
    stage.play("s")
    (stream,) = stage.live.worst(1, stage.at_s())
    assert history(stream, stage.at_s())[-6:-1] == pytest.approx([high] * 5)


def test_a_stream_whose_risk_is_gone_is_one_of_the_harmless() -> None:
    """It is there once, and its history tells of the risk."""
    stage = Stage()
    stage.risky("s", 3)
    stage.states["s"] = replace(stage.states["s"], risk=StreamRisk())
    stage.play("s")
    assert ids(stage) == ["s"]
    assert (stage.live.risky, stage.live.matching("")) == (0, 1)
    assert max(history(stage.live.worst(1, stage.at_s())[0], stage.at_s())) > 0


def test_a_clock_that_steps_back_breaks_nothing() -> None:
    """The wall clock may be set; what was noted stays, and the outcomes still count."""
    stage = Stage()
    stage.risky("s", 3)
    stage.now -= timedelta(hours=1)
    stage.risky("s", 1)
    assert ids(stage) == ["s"]
    assert len(history(stage.live.worst(1, stage.at_s())[0], stage.at_s())) == POINTS


def test_an_incident_has_its_words_until_it_closes() -> None:
    """Explanation and reasons as they were told; a closed one is gone."""
    stage = Stage()
    stage.known("s")
    ((one, told),) = stage.live.incidents(10)
    assert one.incident.severity == "critical"
    assert told is not None
    assert told.explanation.startswith("Opened with severity critical")
    assert "entry clip-7 of block list demo" in told.reasons[0]
    assert stage.live.open_by_severity() == {"critical": 1}
    stage.live.silent(3, conclude.silent(stage.states["s"], stage.now, RULES, final=True))
    assert stage.live.open_incidents == 0


def test_an_incident_keeps_its_words_over_a_rebalance_and_is_known_without_them_after_a_restart() -> None:
    """Who opened it remembers why; another worker knows which kinds of reasons there were."""
    stage = Stage()
    stage.known("s")
    stage.live.left([3])
    assert stage.live.open_incidents == 0
    stage.live.took(3, [stage.states["s"]])
    ((_, told),) = stage.live.incidents(10)
    assert told is not None
    other = Live()
    other.took(3, [stage.states["s"]])
    ((one, told),) = other.incidents(10)
    assert told is None
    assert one.incident.kinds == ("known_image",)


async def test_a_partition_tells_of_the_incidents_that_it_restores() -> None:
    """Only streams with an open one, also those from which nothing comes any more."""
    stage = Stage()
    stage.known("with")
    stage.calm(["without"])
    bench = Bench()
    bench.desk = StagedDesk(stage)
    first = await bench.taken()
    for offset, name in enumerate(("with", "without")):
        first.accept(record(offset, name))
    await first.hand_over()
    second = await bench.taken()
    assert bench.notes.restored_incidents == ["with"]
    await second.drop()


def test_outcomes_are_counted_over_five_minutes_each_with_its_reason() -> None:
    """Events that name no stream count too; older minutes leave."""
    stage = Stage()
    stage.calm(["old"])
    stage.later(400)
    stage.calm(["a", "b"])
    stage.play("a", looks=(), outcome="skipped", why="no_keyframe")
    stage.dead("a")
    failure = Failure(stage="wire", error="bad_key", reason="no stream id")
    stage.live.released(3, record(1), Conclusion(state=None, messages=(), failure=failure), stage.at_s())
    stage.live.released(3, record(2), Conclusion(state=None, messages=(), initialisation=("a", b"")), stage.at_s())
    assert stage.live.outcomes(stage.at_s()) == {
        ("assessed", None): 2,
        ("skipped", "no_keyframe"): 1,
        ("dead_lettered", "corrupt"): 1,
        ("dead_lettered", "bad_key"): 1,
    }


def test_every_reason_of_the_contract_has_words() -> None:
    """A lead need not know the contract's names."""
    reasons = {(outcome, why) for outcome, whys in WHYS.items() for why in whys}
    reasons |= {("dead_lettered", error) for errors in ERRORS.values() for error in errors}
    assert reasons <= WORDS.keys()

"""A partition's memory over releases and owners: who is let go with what, and that nothing is forgotten on the way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from support.assessments import START, a_look, a_match, a_segment, an_assessment
from support.partitions import Bench, record, settle

from worker import conclude
from worker.conclude import Conclusion, Rules
from worker.errors import Moved
from worker.escalation.context import Context
from worker.partition.memory import CHECKPOINT, Memory
from worker.policy.read import default
from worker.records import Assessment, EventId, LogRange, OpenIncident, Received, StreamEnd, StreamRisk
from worker.settings.tree import LinkTemplates, Streams, Topics
from worker.streams.state import StreamState

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LOG = LogRange(first=0, end=10**6)
RULES = Rules(
    policy=default(),
    context=Context(
        model=None, policy=default().ref, lists=(), links=LinkTemplates(), preserve_before_s=120.0, source="test"
    ),
    topics=Topics(),
    max_message_bytes=8 * 1024 * 1024,
    with_payload=False,
)


def an_incident(severity: str, *, live: bool = True) -> OpenIncident:
    """An incident that has been opened."""
    return OpenIncident(
        incident_id="i",
        revision=1,
        opened_by=EventId(source="s", id="e"),
        opened_at=START,
        severity=severity,
        kinds=("label",),
        live=live,
        test=False,
    )


def memory(records: Any = (), **more: Any) -> Memory:
    """A new owner's memory, restored."""
    made = Memory(topic="risk", partition=0, **({"on_rewind": "keep"} | more))
    for key, value in records:
        made.learn(key, value)
    made.agree(None, LOG)
    return made


def received(assessment: Assessment) -> Received:
    """The record of a segment."""
    return Received(position=assessment.segment.position, key=b"stream-1", value=b"media", headers=())


# --- an idle stream's incident ---


class SilencingBench(Bench):
    """Its desk tells of silent streams as the real one does."""

    def __init__(self, limits: Streams) -> None:
        super().__init__()
        self.limits = limits
        self.clock = NOW
        self.desk.silent = lambda state, final: conclude.silent(state, self.clock, RULES, final=final)  # type: ignore[attr-defined] # an addition to the gated desk

    def partition(self, **more: Any):
        made = super().partition(**more)
        made._memory = Memory(topic="risk", partition=0, on_rewind="stop", limits=self.limits)
        made._now = lambda: self.clock
        return made

    def pass_s(self, seconds: float) -> None:
        """Let the wall clock go on."""
        self.clock += timedelta(seconds=seconds)

    async def hear(self, partition, offset: int, stream: str) -> None:
        """Let a record of now come, be worked and released."""
        one = record(offset, stream)
        stamped = replace(one.position, timestamp_ms=round(self.clock.timestamp() * 1000))
        partition.accept(replace(one, position=stamped))
        await settle()
        await partition._release()

    def tombstones(self) -> list[bytes | None]:
        """The keys that were forgotten."""
        return [message.key for message in self.broker.on("risk") if message.value is None]


@pytest.mark.parametrize(
    ("severity", "told", "forgotten"),
    [("high", ["incident.closed.v1"], True), ("critical", ["incident.updated.v1"], False)],
)
async def test_an_idle_streams_incident_is_told_of_in_the_release_that_forgets_it(severity, told, forgotten):
    """One closes and goes; a critical one is updated and stays for whoever reviews it."""
    bench = SilencingBench(Streams(idle_s=60))
    partition = await bench.taken()
    await bench.hear(partition, 0, "gone")
    state = partition._memory.state("gone")
    partition._memory._store.put(replace(state, risk=StreamRisk(value=13.0, incident=an_incident(severity))))
    for offset in range(1, 5):
        bench.pass_s(30)
        await bench.hear(partition, offset, "other")
    types = [dict(message.headers)["ce_type"].decode() for message in bench.broker.on("escalations")]
    assert [name.removeprefix("framewatch.") for name in types] == told
    assert bench.tombstones() == ([b"gone"] if forgotten else [])
    assert [one.incident.closed_why for one in bench.notes.silences] == ["idle" if forgotten else None]
    await partition.hand_over()


async def test_a_critical_incident_that_nobody_reviewed_closes_at_its_bound():
    """Its memory is bounded too: it closes and its stream is forgotten."""
    bench = SilencingBench(Streams(idle_s=60, unreviewed_s=300))
    partition = await bench.taken()
    await bench.hear(partition, 0, "gone")
    state = partition._memory.state("gone")
    partition._memory._store.put(replace(state, risk=StreamRisk(value=13.0, incident=an_incident("critical"))))
    for offset in range(1, 15):
        bench.pass_s(30)
        await bench.hear(partition, offset, "other")
    assert [one.incident.state for one in bench.notes.silences if one.incident] == ["open", "closed"]
    assert bench.tombstones() == [b"gone"]
    await partition.hand_over()


async def test_a_stream_that_comes_back_is_fresh():
    """What was forgotten is not half remembered, by the next owner neither."""
    bench = SilencingBench(Streams(idle_s=60))
    partition = await bench.taken()
    await bench.hear(partition, 0, "gone")
    for offset in range(1, 5):
        bench.pass_s(30)
        await bench.hear(partition, offset, "other")
    await partition.hand_over()
    second = await bench.taken()
    await bench.hear(second, 5, "gone")
    assert bench.told()[-1] == "gone:5:0"
    assert bench.notes.census.streams == 2
    await second.hand_over()


async def test_a_silence_of_all_makes_nobody_idle():
    """An outage of hours is nobody's silence: the first record after it finds the streams remembered."""
    bench = SilencingBench(Streams(idle_s=600))
    partition = await bench.taken()
    await bench.hear(partition, 0, "a")
    await bench.hear(partition, 1, "b")
    bench.pass_s(7200)
    await bench.hear(partition, 2, "a")
    assert (bench.tombstones(), bench.told()[-1]) == ([], "a:2:1")
    await partition.hand_over()


async def test_one_lying_timestamp_makes_nobody_idle():
    """A record from the year 292278994 moves the partition's clock by a minute at most."""
    bench = SilencingBench(Streams(idle_s=600))
    partition = await bench.taken()
    await bench.hear(partition, 0, "a")
    liar = record(1, "liar")
    partition.accept(replace(liar, position=replace(liar.position, timestamp_ms=2**63 - 1)))
    await settle()
    await partition._release()
    assert bench.tombstones() == []
    await partition.hand_over()


# --- the next owner ---


@pytest.mark.parametrize(
    ("key", "value"), [(b"s", b"\xc1"), (CHECKPOINT, b"\xc1"), (CHECKPOINT, b"\x80"), (b"\xfeforeign", b"x")]
)
def test_damaged_state_stands_still_until_told(key, value):
    """Reprocess forgets all of it, with tombstones, so that the next owner does not stumble again."""
    damaged = [(key, value)]
    with pytest.raises(Moved, match=r"(damaged|no stream id).*on_rewind to reprocess"):
        memory(damaged, on_rewind="stop")
    taken = [(m.key, m.value) for m in memory(damaged, on_rewind="reprocess").take_changes(0)]
    assert dict(taken)[key] != value
    assert dict(taken).get(b"s") is None
    again = memory([*damaged, *taken])
    assert again.census().streams == 0


def test_state_that_lost_its_beginning_stands_still_until_told():
    """Whatever cuts the changelog from its front is noticed, though the checkpoint is there; said once is enough."""
    first = memory()
    first.apply(Conclusion(state=StreamState(stream_id="s"), messages=()), 0)
    written = [(m.key, m.value) for m in first.take_changes(0)]
    assert memory_of(written, on_rewind="stop").census().streams == 1
    with pytest.raises(Moved, match="beginning of its state is missing"):
        memory_of(written[1:], on_rewind="stop")
    kept = memory_of(written[1:], on_rewind="keep")
    assert kept.census().streams == 1
    written = [*written[1:], *((m.key, m.value) for m in kept.take_changes(0))]
    assert memory_of(written, on_rewind="stop").census().streams == 1


def memory_of(records: Any, **more: Any) -> Memory:
    """A new owner's memory where offset 0 is committed."""
    made = Memory(topic="risk", partition=0, **more)
    for key, value in records:
        made.learn(key, value)
    made.agree(0, LOG)
    return made


looks = st.sampled_from([0.001, 0.01, 0.3, 0.9, 0.99, 0.999])
plays = st.lists(st.tuples(st.sampled_from(["segment"] * 8 + ["end", "late", "match"]), looks), min_size=1, max_size=40)


def assessed(number: int, kind: str, probability: float) -> Assessment:
    """A segment with a look of this probability."""
    matches = (a_match(at_s=2.0 * number, video=False),) if kind == "match" else ()
    sequence = max(0, number - 3) if kind == "late" else number
    segment = replace(a_segment(number), sequence=sequence)
    return an_assessment(segment, content=f"{number}", looks=(a_look(0.5, *matches, probability=probability),))


def step(owner: Memory, number: int, kind: str, probability: float) -> Conclusion:
    """Let one event pass through a partition's memory."""
    state, now = owner.state("stream-1"), START + timedelta(seconds=2 * number)
    if kind == "end":
        event = StreamEnd(position=a_segment(number).position, event=EventId(source="s", id="x"), stream_id="stream-1")
        conclusion = conclude.end(state, event, now, RULES)
    else:
        assessment = assessed(number, kind, probability)
        conclusion = conclude.segment(state, assessment, received(assessment), now, RULES)
    owner.apply(conclusion, number)
    return conclusion


def leave(owner: Memory, next_offset: int) -> list[tuple[bytes, bytes | None]]:
    """Release what has changed."""
    assert list(owner.silent(())) == []
    return [(message.key or b"", message.value) for message in owner.take_changes(next_offset)]


@settings(deadline=None, max_examples=80)
@given(plays, st.sets(st.integers(0, 40)))
def test_risk_over_any_restarts_is_that_of_an_undisturbed_run(events, restarts):
    """The same risk to the bit, the same incidents, the same segments to preserve."""
    undisturbed, disturbed, log = memory(), memory(), []
    for number, (kind, probability) in enumerate(events):
        one, other = step(undisturbed, number, kind, probability), step(disturbed, number, kind, probability)
        assert other.incident == one.incident
        leave(undisturbed, number + 1)
        log += leave(disturbed, number + 1)
        if number in restarts:
            disturbed = memory(record for record in log if record[0] != b"\xffcheckpoint")
        assert disturbed.state("stream-1") == undisturbed.state("stream-1")


def test_a_snapshot_is_a_tenth_of_what_it_was():
    """In a stream's run a release writes some 1.5 kB; its segments to preserve are written every fourth time."""
    owner, sizes = memory(), []
    for number in range(200):
        step(owner, number, "segment", 0.01)
        sizes.append(sum(len(value or b"") for key, value in leave(owner, number + 1) if key != b"\xffcheckpoint"))
    assert sum(sizes[100:]) / 100 < 2400
    assert sorted(sizes)[len(sizes) // 2] < 1800


def test_a_fresh_stream_takes_no_room():
    """Asking for a stream remembers nothing."""
    owner = memory()
    assert owner.state("s") == StreamState(stream_id="s")
    assert owner.census().streams == 0

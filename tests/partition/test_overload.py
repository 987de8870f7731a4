"""A partition past its capacity: what is shed, what is told of it, and what is never lost by it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from msgspec.structs import replace
from support.assessments import PDQ, START, a_match, a_segment, at_ms
from support.outlet import MemoryBroker, MemoryOutlet
from support.partitions import Notes, settle

from worker.assess import Assessor, Plan
from worker.conclude import Rules
from worker.escalation.context import Context
from worker.partition.backlog import RECORDS, Backlog
from worker.partition.desk import Desk
from worker.partition.life import Partition
from worker.partition.memory import Memory
from worker.policy.read import default
from worker.records import Frame, FrameHash, LogRange, Received, Reference, Sample
from worker.settings.tree import Intake, LinkTemplates, Overload, Topics
from worker.wire import read, write

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from worker.records import Ask, Incident, Match, Media
    from worker.streams.state import StreamState

LIMITS = Overload(lateness_s=10.0, one_in=4)
KNOWN = b"known"
CONTEXT = Context(
    model=None, policy=default().ref, lists=(), links=LinkTemplates(), preserve_before_s=0.0, source="test"
)
RULES = Rules(
    policy=default(),
    context=CONTEXT,
    topics=Topics(assessments="assessments"),
    max_message_bytes=1024**2,
    with_payload=False,
)


class Stations:
    """A store, a decoder that finds three keyframes in two seconds, and a list that knows one picture."""

    def __init__(self) -> None:
        self.fetches = 0
        self.asked: list[Ask] = []
        self.gate = asyncio.Event()
        self.gate.set()

    @asynccontextmanager
    async def fetched(self, reference: Reference, *, max_bytes: int) -> AsyncIterator[bytes]:
        self.fetches += 1
        yield reference.uri.encode()

    async def fetch_init(self, reference: Reference) -> bytes:
        raise NotImplementedError

    async def sample(self, media: Media, ask: Ask) -> Sample:
        """The frames of known material have a hash that the list knows."""
        self.asked.append(ask)
        await self.gate.wait()
        pdq = PDQ if media.data == KNOWN else b"\xff" * 32
        frame = Frame(offset_s=0.0, width=2, height=2, hash=FrameHash(pdq=pdq, quality=90), picture=None)
        frames = tuple(replace(frame, offset_s=offset_s) for offset_s in (0.0, 0.5, 1.0)[: ask.max_keyframes])
        return Sample(
            container="mpegts",
            codec="h264",
            start_s=1.0,
            wrap_s=None,
            duration_s=2.0,
            keyframes_seen=3,
            frames=frames,
            damaged=False,
        )

    def match(self, pdq: bytes) -> tuple[Match, ...]:
        return (a_match(),) if pdq == PDQ else ()


class Overloaded:
    """A partition whose clock and decoder the test moves. Records' timestamps are seconds after the start."""

    def __init__(self, limits: Overload = LIMITS, *, at_once: int = 8, broker: MemoryBroker | None = None) -> None:
        self.at_s = 0.0
        self.broker = broker or MemoryBroker()
        self.offset = (self.broker.committed or 0) - 1
        self.notes = Notes()
        self.stations = Stations()
        plan = Plan(interval_s=0.5, max_keyframes=8, max_pixels=9, max_streams=1, max_bytes=99, at_once=at_once)
        self.memory = Memory(topic="risk", partition=0, on_rewind="stop")
        self.partition = Partition(
            outlet=MemoryOutlet(self.broker),
            desk=Desk(
                Assessor(
                    source=self.stations,
                    decoder=self.stations,
                    known=self.stations,
                    classifier=None,
                    plan=plan,
                    on_stage=lambda _segment, _name, _seconds: None,
                ),
                RULES,
                self.now,
                limits,
            ),
            memory=self.memory,
            settings=Intake(release_interval_s=3600.0),
            observer=self.notes,
            now=self.now,
            owner="owner",
            backlog=Backlog(limits),
        )

    async def __aenter__(self) -> Self:
        await self.partition.take(self._log)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.partition.hand_over()

    def now(self) -> datetime:
        return START + timedelta(seconds=self.at_s)

    def accept(self, number: int, *, appended_s: float, **changes: Any) -> None:
        """Consume a segment of this sequence, which the broker has had since ``appended_s``."""
        self.offset += 1
        position = replace(a_segment(0).position, partition=0, offset=self.offset, timestamp_ms=at_ms(appended_s))
        segment = a_segment(number, position=position, **changes)
        message = write.segment_message(segment, topic="segments")
        record = Received(
            position=segment.position, key=message.key, value=message.value or b"", headers=message.headers
        )
        self.partition.accept(record)

    async def fall_behind(self, at_s: float, by_s: float) -> None:
        """Let it be so late, and the partition so far behind that one can believe it: other streams' records say so."""
        await settle()
        self.at_s = at_s
        for _ in range(RECORDS):
            self.accept(0, appended_s=at_s - by_s, stream_id=f"filler-{self.offset}")
        await settle()

    async def _log(self) -> LogRange:
        return LogRange(first=0, end=1000)

    def state(self, stream_id: str = "stream-1") -> StreamState:
        return self.memory.state(stream_id)

    def outcomes(self, stream_id: str = "stream-1") -> list[tuple[str, str | None]]:
        """Of all the stream's segments whose results have left, in their order."""
        reports = [read.read_assessment(_received(message)) for message in self.broker.on("assessments")]
        return [(one.outcome, one.why) for one in reports if one.stream_id == stream_id]

    def incidents(self) -> list[Incident]:
        return [read.read_incident(_received(message)) for message in self.broker.on("escalations")]


def _received(message: Any) -> Received:
    return Received(
        position=a_segment(0).position, key=message.key, value=message.value, headers=tuple(message.headers)
    )


WHOLE, FIRST, LATE = ("assessed", None), ("assessed", "hurried"), ("shed", "lateness")


async def test_what_is_older_than_the_limit_is_shed_without_a_fetch_and_what_is_newer_is_looked_at():
    """Each has its one outcome; a stream's first segment and one in four are looked at all the same."""
    async with Overloaded() as past:
        past.at_s = 60.0
        for number in range(6):
            past.accept(number, appended_s=2.0 * number, payload=Reference(uri=f"s3://bucket/{number}"))
        past.accept(6, appended_s=55.0, payload=Reference(uri="s3://bucket/6"))
        await settle()
    assert past.outcomes() == [FIRST, LATE, LATE, LATE, FIRST, LATE, WHOLE]
    assert (past.stations.fetches, past.broker.committed) == (3, 7)
    assert [ask.max_keyframes for ask in past.stations.asked] == [1, 1, 8]


async def test_by_default_an_hour_s_backlog_is_looked_at_whole():
    """Nothing is shed or shortened unless the settings say so."""
    async with Overloaded(Overload()) as past:
        past.at_s = 3600.0
        for number in range(6):
            past.accept(number, appended_s=2.0 * number)
        await settle()
    assert past.outcomes() == [WHOLE] * 6


async def test_what_is_shed_is_unwatched_and_the_stream_goes_on():
    """Coverage says so, quiet does not count it, and its sequence goes on without a gap or a restart."""
    async with Overloaded() as past:
        past.accept(0, appended_s=0.0)
        await past.fall_behind(60.0, by_s=50.0)
        for number in (1, 2):
            past.accept(number, appended_s=2.0 * number)
        past.accept(3, appended_s=60.0)
        await settle()
        state = past.state()
    assert past.outcomes() == [WHOLE, LATE, LATE, WHOLE]
    coverage = state.coverage
    assert (coverage.watched_s, coverage.unwatched_s, coverage.longest_gap_s) == (4.0, 4.0, 4.0)
    assert state.risk.quiet_s == 4.0


async def test_a_shed_segment_that_its_publisher_sends_again_is_looked_at_and_fills_its_gap():
    """The same event again is no restart and no repeat: nobody had looked."""
    async with Overloaded() as past:
        past.accept(0, appended_s=0.0)
        await past.fall_behind(60.0, by_s=50.0)
        past.accept(1, appended_s=2.0)
        past.accept(1, appended_s=60.0)
        await settle()
        unwatched_s = past.state().coverage.unwatched_s
    assert past.outcomes() == [WHOLE, LATE, ("assessed", "late")]
    assert unwatched_s == 0.0


async def test_other_bytes_under_a_shed_segment_s_id_are_no_restart():
    """Nobody knows what its bytes were: what was not read can't differ."""
    async with Overloaded() as past:
        past.accept(0, appended_s=0.0)
        await past.fall_behind(60.0, by_s=50.0)
        past.accept(1, appended_s=2.0)
        past.accept(2, appended_s=60.0, payload=b"other", event=a_segment(1).event)
        await settle()
    assert past.outcomes() == [WHOLE, LATE, WHOLE]


async def test_a_known_picture_in_a_late_segment_that_is_looked_at_escalates():
    """What was decoded counts whole, however late and short the look was."""
    async with Overloaded() as past:
        past.at_s = 60.0
        past.accept(0, appended_s=0.0, payload=KNOWN)
        await settle()
    assert past.outcomes() == [FIRST]
    assert [one.reasons[0].kind for one in past.incidents()] == ["known_image"]


async def test_an_event_that_can_not_be_read_is_a_dead_letter_however_late():
    """It costs nothing to say so, and its publisher wants to know."""
    async with Overloaded() as past:
        past.at_s = 60.0
        past.accept(0, appended_s=0.0)
        past.accept(1, appended_s=0.0, payload=b"")
        await settle()
    assert past.outcomes() == [("dead_lettered", "no_body"), FIRST]


async def test_a_segment_that_grows_old_while_it_waits_for_a_decoder_is_shed():
    """It was young when it was fetched: what counts is when its turn to be decoded comes."""
    async with Overloaded(at_once=1) as past:
        for stream in ("a", "b"):
            past.accept(0, appended_s=0.0, stream_id=stream)
        await settle()
        past.stations.gate.clear()
        for stream in ("a", "b"):
            past.accept(1, appended_s=0.0, stream_id=stream)
        await settle()
        past.at_s = 11.0
        past.stations.gate.set()
        await settle()
    assert (past.outcomes("a"), past.outcomes("b")) == ([WHOLE, WHOLE], [WHOLE, LATE])


async def busy(past: Overloaded, *, comes_s: float, waits_s: float) -> None:
    """For half a minute, every three seconds, nine new streams' segments come so late and wait for the one decoder."""
    for _ in range(10):
        past.stations.gate.clear()
        await past.fall_behind(past.at_s, by_s=comes_s)
        past.at_s += waits_s
        past.stations.gate.set()
        await settle()
        past.at_s += 3.0 - waits_s


async def test_once_behind_for_long_what_is_not_recent_is_shed_and_a_stream_with_an_incident_last():
    """Four seconds are below the limit; but a backlog that stays is shed to be near live, others' before theirs."""
    async with Overloaded(at_once=1) as past:
        past.accept(0, appended_s=0.0, stream_id="calm")
        past.accept(0, appended_s=0.0, stream_id="known", payload=KNOWN)
        await busy(past, comes_s=1.5, waits_s=3.0)
        await past.fall_behind(past.at_s, by_s=4.0)
        for stream in ("calm", "known"):
            past.accept(1, appended_s=past.at_s - 4.0, stream_id=stream)
            past.accept(2, appended_s=past.at_s - 1.5, stream_id=stream)
        await settle()
    assert past.outcomes("calm") == [WHOLE, ("shed", "overload"), WHOLE]
    assert past.outcomes("known") == [WHOLE, WHOLE, WHOLE]


async def test_a_partition_that_is_always_busy_and_near_live_sheds_nothing_below_the_limit():
    """That segments wait for each other is no backlog: what matters is for how long."""
    async with Overloaded(at_once=1) as past:
        past.accept(0, appended_s=0.0, stream_id="calm")
        await busy(past, comes_s=0.0, waits_s=0.9)
        await past.fall_behind(past.at_s, by_s=4.0)
        past.accept(1, appended_s=past.at_s - 4.0, stream_id="calm")
        await settle()
    assert past.outcomes("calm") == [WHOLE, WHOLE]


async def test_a_new_owner_knows_how_much_of_a_stream_was_shed():
    """A restart puts no look off: what is owed stands in the stream's snapshot."""
    async with Overloaded() as first:
        await first.fall_behind(60.0, by_s=60.0)
        for number in range(3):
            first.accept(number, appended_s=2.0 * number)
        await settle()
    async with Overloaded(broker=first.broker) as second:
        second.at_s = 60.0
        for number in (3, 4):
            second.accept(number, appended_s=2.0 * number)
        await settle()
    assert second.outcomes() == [FIRST, LATE, LATE, LATE, FIRST]


async def test_what_can_not_be_looked_at_is_not_the_look_that_a_stream_is_owed():
    """Rubbish or a repeat between its segments does not use it up: the next one is looked at."""
    async with Overloaded() as past:
        await past.fall_behind(60.0, by_s=60.0)
        for number in (0, 1, 2, 3, 0, 5):
            past.accept(number, appended_s=2.0)
        await settle()
    assert past.outcomes() == [FIRST, LATE, LATE, LATE, ("skipped", "repeat"), FIRST]

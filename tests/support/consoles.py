"""A console over a worker that exists in memory only: streams and incidents are what the test says."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from msgspec.structs import replace
from support.assessments import a_look, a_match, a_segment, an_assessment

from worker import conclude
from worker.conclude import Rules
from worker.console.about import About, ShownList
from worker.console.live import Live
from worker.console.view import Console
from worker.escalation.context import Context
from worker.policy.read import default
from worker.records import Failure, ListRef, ModelRef, Received
from worker.settings import tree
from worker.settings.tree import LinkTemplates, Topics
from worker.streams.state import StreamState
from worker.telemetry import Telemetry
from worker.web import Web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

    from worker.conclude import Conclusion
    from worker.records import Assessment

MODEL = ModelRef(name="demo", version="1.0.0", sha256="ab" * 32)
LIST = ListRef(name="demo", version="2026-11-01")
CONTEXT = Context(
    model=MODEL, policy=default().ref, lists=(LIST,), links=LinkTemplates(), preserve_before_s=0.0, source="test"
)
RULES = Rules(policy=default(), context=CONTEXT, topics=Topics(), max_message_bytes=1024**2, with_payload=False)
ABOUT = About(
    worker="framewatch-0",
    version="0.0.0",
    group="framewatch",
    topic="segments",
    started_s=1_000_000.0,
    model=MODEL,
    model_on="cpu",
    model_notes=(),
    policy=default().ref,
    lists=(ShownList(name="demo", version="2026-11-01", kind="block", entries=1234),),
    jail="full",
    jail_missing=(),
)
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@dataclass
class Feels:
    """A worker whose health is what the test says."""

    sick: str | None = None
    idle: str | None = None

    def live(self) -> str | None:
        return self.sick

    def ready(self) -> str | None:
        return self.idle


@dataclass
class Part:
    """A partition that works."""

    held: str | None = None
    load: int = 0


@dataclass
class Owns:
    """An intake with the partitions that the test says."""

    partitions: dict[int, Part] = field(default_factory=dict)
    restoring: frozenset[int] = frozenset()
    parked: dict[int, str] = field(default_factory=dict)
    failing: dict[int, str] = field(default_factory=dict)
    halted: str | None = None
    lags: dict[int, int] = field(default_factory=dict)

    def lag(self, partition: int) -> int | None:
        return self.lags.get(partition)


class Stage:
    """Plays segments to a console: each is concluded as the worker concludes it, and told as released."""

    def __init__(self, live: Live | None = None) -> None:
        self.live = live or Live()
        self.live.took(3, [])
        self.now = NOON
        self.health = Feels()
        self.intake = Owns(partitions={3: Part()})
        self.states: dict[str, StreamState] = {}
        self.about = ABOUT

    def console(self) -> Console:
        """What is shown."""
        return Console(
            live=self.live,
            intake=self.intake,
            health=self.health,
            about=self.about,
            policy=RULES.policy,
            clock=self.at_s,
        )

    def at_s(self) -> float:
        """The time, seconds since 1970."""
        return self.now.timestamp()

    def later(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)

    def play(
        self,
        stream_id: str,
        *,
        partition: int = 3,
        behind_s: float = 0.5,
        of_segment: Mapping[str, str] | None = None,
        **changes: object,
    ) -> Conclusion:
        """A segment of a stream; ``changes`` say what was found in it."""
        state = self.states.get(stream_id, StreamState(stream_id=stream_id))
        number = 0 if state.sequence is None else state.sequence + 1
        appended_ms = round((self.now.timestamp() - behind_s) * 1000)
        position = replace(a_segment(number).position, partition=partition, timestamp_ms=appended_ms)
        segment = a_segment(number, stream_id=stream_id, position=position, captured_at=self.now, **of_segment or {})
        assessment = an_assessment(segment, content=f"{stream_id} {number}", **changes)
        received = Received(position=position, key=stream_id.encode(), value=b"", headers=())
        return self._conclude(partition, received, state, assessment)

    def risky(self, stream_id: str, segments: int = 1, probability: float = 0.9, **more: object) -> Conclusion:
        """Segments that show the model's card, two seconds apart."""
        for _ in range(segments):
            self.later(2)
            conclusion = self.play(stream_id, looks=(a_look(0.0, probability=probability),), **more)
        return conclusion

    def known(self, stream_id: str, **more: object) -> Conclusion:
        """A segment with known material: an incident opens at once."""
        return self.play(stream_id, looks=(a_look(0.0, a_match()),), **more)

    def dead(self, stream_id: str, error: str = "corrupt", stage: str = "decode") -> Conclusion:
        """A segment that can't be read."""
        failure = Failure(stage=stage, error=error, reason="no frame could be read")
        return self.play(stream_id, looks=(), outcome="dead_lettered", failure=failure, duration_s=None)

    def calm(self, names: Iterable[str]) -> None:
        """A harmless segment of each."""
        for name in names:
            self.play(name)

    def _conclude(self, partition: int, received: Received, state: StreamState, assessment: Assessment) -> Conclusion:
        conclusion = conclude.segment(state, assessment, received, self.now, RULES)
        assert conclusion.state is not None
        self.states[conclusion.state.stream_id] = conclusion.state
        self.live.released(partition, received, conclusion, self.now.timestamp())
        return conclusion


@asynccontextmanager
async def serving(stage: Stage, settings: tree.Web | None = None) -> AsyncIterator[Web]:
    """A server that shows the stage, on a free port unless told."""
    server = Web(settings or tree.Web(port=0), Telemetry(), stage.health, stage.console())
    await server.start()
    try:
        yield server
    finally:
        await server.stop()

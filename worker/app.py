"""The composition root: builds every concrete thing, starts it, supervises it, drains it.

A worker's life in four words: start, supervise, drain, close. Any task that ends with an error ends the worker with it.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
import sys
import time
import uuid
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

from worker import __version__, allocator, topics
from worker.assess import Assessor
from worker.breaker import Breaker
from worker.console.about import about_worker
from worker.console.live import Live
from worker.console.view import Console
from worker.errors import Stopped
from worker.fetch import Fetcher
from worker.health import Health
from worker.intake import Intake
from worker.jail import kernel
from worker.jail.pool import Jail
from worker.kafka import admin, clients
from worker.kafka.member import GroupMember
from worker.kafka.outlets import AcknowledgedOutlet, TransactionalOutlet
from worker.kafka.publisher import publisher
from worker.loaded import Loaded, config_report, near_duplicates, plan
from worker.matching import Matcher
from worker.observe.decides import tell_what_decides
from worker.observe.gauges import Gauges
from worker.observe.intake import IntakeObserver
from worker.observe.partition import PartitionObserver
from worker.observe.spans import Spans
from worker.observe.stations import breaker_judge, jail_observer, stage_observer
from worker.partition.backlog import Backlog
from worker.partition.desk import Desk
from worker.partition.life import Partition
from worker.partition.memory import Memory
from worker.partition.room import Room
from worker.supervisor import Supervisor
from worker.telemetry import Telemetry
from worker.telemetry.behind import Behind
from worker.telemetry.traces import collector
from worker.web import Web
from worker.web.access import why_off
from worker.wire import write

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer

    from worker.jail.lockdown import Lockdown
    from worker.settings.tree import Settings

log = structlog.get_logger()
GAUGES_EVERY_S = 1.0
TELL_EVERY_S = 300.0
"""How often a worker repeats what it decides with: whoever looks back (``framewatch explain``) reads no further."""
ENDING = (signal.SIGTERM, signal.SIGINT)
CLOSING_S = 8.0
"""What is left of the grace period for closing clients, decoders and server when draining took too long."""
WEAKER = (
    "outputs are sent before the offset is committed: a crash between them repeats them, under the same ce_id; and a "
    "worker that is cut off from its group may write beside its successor until it notices, since no broker fences it"
)
INIT_ROOM_BYTES = 256 * 1024


def run(settings: Settings) -> None:
    """Run a worker until SIGTERM or SIGINT. Raises UsageError or Stopped."""
    _leave_no_core()
    loaded = Loaded(settings)
    allocator.keep_what_is_freed()  # of what loading took, nothing is kept
    asyncio.run(_run(settings, loaded))


def _leave_no_core() -> None:
    """Our memory holds images and secrets: no crash shall write it down. Limits don't hold for cores that are piped."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        kernel.not_dumpable()


async def _run(settings: Settings, loaded: Loaded) -> None:
    worker = Worker(settings, loaded)
    loop = asyncio.get_running_loop()
    for number in ENDING:
        loop.add_signal_handler(number, worker.stop)
    try:
        await worker.run()
    finally:
        for number in ENDING:  # one that comes now would end by force what has ended in good order
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)


def _go_on(why: str) -> None:
    log.error("the breaker would stop intake; intake.breaker is off", why=why)


def now() -> datetime:
    """Return the wall clock in UTC."""
    return datetime.now(UTC)


class Worker:
    """One process of a deployment."""

    def __init__(self, settings: Settings, loaded: Loaded, telemetry: Telemetry | None = None) -> None:
        """``telemetry`` is made here where none is given."""
        self._settings = settings
        self._loaded = loaded
        self.telemetry = telemetry or Telemetry()
        self._rules = loaded.rules(settings)
        tell_what_decides(self.telemetry, settings, loaded)
        self._behind = Behind()
        self._collector = collector(
            settings.telemetry,
            instance=settings.kafka.instance_id or socket.gethostname(),
            on_export=self.telemetry.exported,
        )
        self._spans = Spans(self._collector.export) if self._collector is not None else None
        self._supervisor = Supervisor()
        self._partitions = 0
        """Partitions for which there is state."""
        self._consuming: Intake | None = None
        self._owner = uuid.uuid4().hex
        self._room = Room()
        stops = settings.intake.breaker == "stop"
        self._judge = breaker_judge(Breaker(), self._halt if stops else _go_on, time.monotonic)
        self._live = None if why_off(settings.web) else Live()
        self.web: Web | None = None
        self._lockdown: Lockdown | None = None
        self._jail: Jail | None = None
        self._gauges: Gauges | None = None

    async def run(self) -> None:
        """Start, supervise, drain, close. Raises what ended it."""
        async with AsyncExitStack() as closing:
            started = await self._supervisor.unless_stopped(self._start(closing))
            if started is not None:
                await self._work(*started)
        self._supervisor.raise_failure()
        log.info("worker ended")

    @property
    def partitions(self) -> frozenset[int]:
        """The partitions that work here now."""
        return frozenset(self._consuming.partitions) if self._consuming else frozenset()

    def stop(self) -> None:
        """Begin to drain; a second call ends the process at once."""
        if self._supervisor.stopping:
            log.warning("stopped a second time: ending at once, what is in work will be worked again")
            os._exit(1)
        self._supervisor.stop()

    def _halt(self, why: str) -> None:
        if self._consuming is not None:
            self._consuming.halt(why)

    # --- start ---

    async def _start(self, closing: AsyncExitStack) -> tuple[Intake, GroupMember]:
        if self._settings.kafka.guarantee == "at_least_once":
            log.warning("at_least_once", weaker=WEAKER)
        if self._collector is not None:
            closing.push_async_callback(asyncio.to_thread, self._collector.close)
        await self._preflight()
        desk = Desk(await self._assessor(closing), self._rules, now, self._settings.overload)
        consumer = clients.member(self._settings.kafka)
        member = GroupMember(
            self._settings.kafka, self._settings.topics.segments, consumer=consumer, fail=self._supervisor.fail
        )
        intake = self._intake(desk, consumer, member)
        self._consuming = intake
        health = Health(intake, time.monotonic)
        self._gauges = Gauges(
            self.telemetry, intake=intake, decoders=self._jail, health=health, behind=self._behind, clock=time.time
        )
        self.web = Web(self._settings.web, self.telemetry, health, self._console(intake, health))
        await self.web.start()
        closing.push_async_callback(self.web.stop)
        await self._tell_config()
        closing.push_async_callback(member.stop)
        await member.start(intake)
        return intake, member

    def _console(self, intake: Intake, health: Health) -> Console | None:
        if self._live is None:
            return None
        about = about_worker(self._settings, self._loaded, self._lockdown, started_s=time.time())
        return Console(
            live=self._live, intake=intake, health=health, about=about, policy=self._rules.policy, clock=time.time
        )

    async def _preflight(self) -> None:
        """Refuse to start beside topics that are missing or wrong, in one line that names them."""
        wanted = topics.names(self._settings)
        found = await admin.describe(self._settings.kafka, list(wanted.values()))
        self._partitions = found[wanted["risk"]].partitions if wanted["risk"] in found else 0
        wrong = topics.problems(self._settings, found)
        for problem in wrong:
            if not problem.fatal:
                log.warning("topic", problem=str(problem))
        if fatal := [str(problem) for problem in wrong if problem.fatal]:
            raise Stopped(" | ".join(fatal))

    async def _assessor(self, closing: AsyncExitStack) -> Assessor:
        settings, loaded = self._settings, self._loaded
        largest = max(settings.fetch.max_bytes, settings.kafka.max_message_bytes) + INIT_ROOM_BYTES
        jail = await Jail.start(settings.jail, max_bytes=largest, on_event=jail_observer(self.telemetry))
        closing.push_async_callback(jail.close)
        self._jail, self._lockdown = jail, jail.lockdown
        self.telemetry.jail_level(jail.lockdown.level)
        tell = log.info if jail.lockdown.level == "full" else log.warning
        tell("decoders locked down", level=jail.lockdown.level, missing=jail.lockdown.missing)
        if loaded.classifier is not None:
            closing.callback(loaded.classifier.close)
            for note in loaded.classifier.running.notes:
                log.error("the classifier runs otherwise than it was set to", why=note)
        source = Fetcher(settings.fetch)
        closing.push_async_callback(source.close)
        return Assessor(
            source=source,
            decoder=jail,
            known=Matcher(loaded.lists),
            classifier=loaded.classifier,
            plan=plan(settings),
            on_stage=stage_observer(self.telemetry, self._spans),
            duplicates=near_duplicates(settings, loaded.classifier),
        )

    def _intake(self, desk: Desk, consumer: AIOKafkaConsumer, member: GroupMember) -> Intake:
        return Intake(
            member=member,
            make_partition=lambda number: self._partition(number, desk, consumer),
            settings=self._settings.intake,
            observer=IntakeObserver(self.telemetry, self._live, behind=self._behind),
            fail=self._supervisor.fail,
        )

    def _partition(self, number: int, desk: Desk, consumer: AIOKafkaConsumer) -> Partition:
        settings = self._settings
        kind = TransactionalOutlet if settings.kafka.guarantee == "exactly_once" else AcknowledgedOutlet
        return Partition(
            outlet=kind(settings.kafka, settings.topics, number, consumer),
            desk=desk,
            memory=Memory(
                topic=settings.topics.risk,
                partition=number,
                on_rewind=settings.intake.on_rewind,
                limits=settings.streams,
            ),
            settings=settings.intake,
            observer=PartitionObserver(
                self.telemetry, number, self._live, topics=settings.topics, behind=self._behind, spans=self._spans
            ),
            now=now,
            owner=self._owner,
            room=self._room,
            judge=self._judge,
            backlog=Backlog(settings.overload),
        )

    async def _tell_config(self) -> None:
        """Write what this worker decides with to the assessments topic, so that it can be asked later."""
        if not self._settings.topics.assessments:
            return
        classifier = self._loaded.classifier
        provider = classifier.running.used if classifier else None
        report = config_report(self._settings, self._rules.context, self._lockdown, provider=provider)
        topic = self._settings.topics.assessments
        async with publisher(self._settings.kafka, topic) as to:
            await to.send(write.config_message(report, topic=topic, source=self._rules.context.source))

    async def _repeat_config(self) -> None:
        """Say it again now and then; a broker that is away is waited for like by everybody else."""
        while True:
            await asyncio.sleep(TELL_EVERY_S)
            try:
                await self._tell_config()
            except Stopped as error:
                log.warning("what is decided with could not be told", why=str(error))

    # --- supervise ---

    async def _work(self, intake: Intake, member: GroupMember) -> None:
        self._supervisor.supervise(intake.run(), "intake")
        self._supervisor.supervise(intake.watch(), "watch")
        self._supervisor.supervise(self._keep_gauges(), "gauges")
        self._supervisor.supervise(self._growth(intake, member), "growth")
        self._supervisor.supervise(self._repeat_config(), "config")
        log.info("worker started", version=__version__, group=self._settings.kafka.group_id)
        await self._supervisor.until_stopped()
        await self._drain(intake, member)

    async def _growth(self, intake: Intake, member: GroupMember) -> None:
        """Stop intake when segments has more partitions than there is state for: keys have other places now."""
        names = self._settings.topics
        while (count := member.partitions()) <= self._partitions:  # noqa: ASYNC110 - aiokafka tells nobody of it
            await asyncio.sleep(GAUGES_EVERY_S)
        intake.halt(
            f"topic {names.segments} has grown from {self._partitions} to {count} partitions, and streams have moved "
            f"away from their state on {names.risk}: stop all workers, framewatch state move --yes, start them"
        )

    async def _keep_gauges(self) -> None:
        """Keep the gauges fresh, and measure how late the event loop is."""
        loop = asyncio.get_running_loop()
        while self._gauges is not None:
            self._gauges.look()
            due = loop.time() + GAUGES_EVERY_S
            await asyncio.sleep(GAUGES_EVERY_S)
            self.telemetry.loop_lag(max(0.0, loop.time() - due))

    # --- drain ---

    async def _drain(self, intake: Intake, member: GroupMember) -> None:
        """Hand the partitions over and leave the group within the grace period."""
        log.info("draining", partitions=sorted(intake.partitions))
        grace_s = self._settings.shutdown.grace_s
        try:
            async with asyncio.timeout(max(grace_s - CLOSING_S, grace_s / 2)):
                await intake.stop()
                await member.stop()
        except Exception as error:  # noqa: BLE001 - told at the end: whatever it is, all else is to be closed
            self._cut_short(error)
        await self._supervisor.end()

    def _cut_short(self, error: Exception) -> None:
        if isinstance(error, TimeoutError):
            log.warning("the grace period is over: what is in work will be worked again by the next owner")
        else:
            self._supervisor.fail(error)

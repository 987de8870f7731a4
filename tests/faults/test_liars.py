"""Publishers that lie about time, numbers and names, beside an honest one that shows the same pictures."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from support import media
from support.cards import card, harmless
from support.deployment import deployed

from worker.policy.read import default
from worker.records import EventId
from worker.streams.clock import LOOK_S

if TYPE_CHECKING:
    from support.deployment import Deployment

    from worker.records import AssessmentReport

RISKY = range(3, 6)
LIES_FROM = 6
AHEAD = timedelta(minutes=59)
"""Kafka takes no record from further ahead; a stream is idle after half an hour."""
TEN_HOURS_S = 36_000


def nothing(number: int) -> dict[str, Any]:
    """Tells the truth."""
    return {"sequence": number}


class Liar(Struct, frozen=True, kw_only=True):
    """What a stream says of its segment of this number, once it lies; its pictures are everybody's."""

    says: Callable[[int], dict[str, Any]] = nothing
    long: range = range(0)
    """Which of its containers lie themselves."""
    ahead: timedelta = timedelta(0)
    """By how much its records' timestamps do."""


LIARS = {
    "media time of 1e9 s": Liar(says=lambda n: {"sequence": n, "media_time_s": 1e9 + 1e6 * n}),
    "duration of 1e9 s": Liar(says=lambda n: {"sequence": n, "duration_s": 1e9}),
    "media time of years": Liar(says=lambda n: {"sequence": n, "media_time_s": 1e7 * n, "duration_s": 1e7}),
    "media time backwards": Liar(says=lambda n: {"sequence": n, "media_time_s": max(0.0, 1000.0 - 10 * n)}),
    "captured in 1970": Liar(says=lambda n: {"sequence": n, "captured_at": datetime(1970, 1, 1, tzinfo=UTC)}),
    "captured in 2100": Liar(says=lambda n: {"sequence": n, "captured_at": datetime(2100, 1, n, tzinfo=UTC)}),
    "a ten-hour segment": Liar(long=range(LIES_FROM, LIES_FROM + 1)),
    "records from the future": Liar(ahead=AHEAD),
    "numbers begin again": Liar(says=lambda n: {"sequence": n - LIES_FROM}),
    "numbers leap": Liar(says=lambda n: {"sequence": n * 10**9}),
    "numbers go down": Liar(says=lambda n: {"sequence": max(0, 2 * LIES_FROM - n)}),
    "one number for all": Liar(says=lambda n: {"sequence": LIES_FROM}),  # noqa: ARG005 - the lie
    "no numbers any more": Liar(says=lambda n: {}),  # noqa: ARG005 - the lie
    "one id for all": Liar(says=lambda n: {"sequence": n, "event": EventId(source="tests", id="the same")}),
    "id and number for all": Liar(says=lambda n: {"sequence": 2, "event": EventId(source="tests", id="0")}),  # noqa: ARG005 - the lie
    "everything is a break": Liar(says=lambda n: {"sequence": n, "discontinuity": True}),
}


@lru_cache(maxsize=256)
def segment(number: int, *, long: bool = False) -> bytes:
    """A second that nobody has seen before: the card for some, something harmless for the others."""
    picture = card(90, 160) if number in RISKY else harmless(90, 160, number)
    spread = {"seconds": TEN_HOURS_S, "fps": Fraction(3, TEN_HOURS_S)} if long else {"seconds": 1.0}
    return media.make_segment(width=160, height=90, start_s=float(number), picture=lambda _: picture, **spread)


async def publish(deployment: Deployment, stream: str, liar: Liar, number: int) -> None:
    """Publish a stream's segment of this number; nobody lies before the risk is there."""
    lies = number >= LIES_FROM
    told = liar.says(number) if lies else nothing(number)
    message = deployment.segment(stream, segment(number, long=number in liar.long), **told)
    at = datetime.now(UTC) + (liar.ahead if lies else timedelta(0))
    await deployment._producer.send(
        message.topic,
        message.value,
        key=message.key,
        headers=list(message.headers),
        timestamp_ms=round(at.timestamp() * 1000),
    )


def of(stream: str, reports: list[AssessmentReport]) -> list[AssessmentReport]:
    """One stream's reports in the order in which it was worked."""
    return sorted((r for r in reports if r.stream_id == stream), key=lambda r: r.offset)


COUNT = 14


async def test_no_lie_erases_or_decays_a_risk_and_every_new_picture_is_looked_at(broker, measured):
    """A liar's risk is never below that of an honest stream with the same pictures, nor is anybody else's forgotten."""
    async with deployed(broker, partitions=1) as deployment, deployment.worker():
        for number in range(COUNT):
            await publish(deployment, "honest", Liar(), number)
            if number < LIES_FROM:
                await publish(deployment, "bystander", Liar(), number)
            for name, liar in LIARS.items():
                await publish(deployment, name, liar, number)
        await deployment.assessments((len(LIARS) + 1) * COUNT + LIES_FROM)
        for number in range(LIES_FROM, COUNT):
            await publish(deployment, "bystander", Liar(), number)
        reports = await deployment.assessments((len(LIARS) + 2) * COUNT)
        opened = [i.stream_id for i in await deployment.incidents(len(LIARS) + 2) if i.revision == 1]
    honest = of("honest", reports)
    assert honest[LIES_FROM].risk > honest[-1].risk > 0
    assert [r.risk for r in of("bystander", reports)] == [r.risk for r in honest]
    for name, liar in LIARS.items():
        told = of(name, reports)
        assert [r.outcome for r in told] == ["assessed"] * COUNT, name
        assert all(r.frames for r in told), name
        later = 1 if liar.long else 0  # half a usual segment more is believed, and no more of all that is claimed
        pairs = zip(told[LIES_FROM:], honest[LIES_FROM + later :], strict=False)
        assert all(lied.risk >= true.risk for lied, true in pairs), name
    assert sorted(opened) == sorted([*LIARS, "honest", "bystander"])
    measured("lies", len(LIARS))
    measured("segments", len(reports))


async def test_who_claims_ten_hours_with_each_second_is_believed_ten_seconds_a_look(broker, measured):
    """Where all durations lie, nothing tells the usual one: a look vouches for ten seconds, whatever is claimed."""
    liar = Liar(long=range(LIES_FROM, COUNT))
    async with deployed(broker, partitions=1) as deployment, deployment.worker():
        for number in range(COUNT):
            await publish(deployment, "honest", Liar(), number)
            await publish(deployment, "liar", liar, number)
        reports = await deployment.assessments(2 * COUNT)
    pairs = list(zip(of("liar", reports), of("honest", reports), strict=True))[LIES_FROM:]
    for lies, (lied, true) in enumerate(pairs, start=1):
        assert lied.frames
        assert lied.risk >= true.risk * 2 ** (-lies * LOOK_S / default().for_tenant(None).risk.half_life_s)
    measured("risk after lies", lied.risk)
    measured("honest", true.risk)

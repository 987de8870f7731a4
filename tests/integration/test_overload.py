"""A worker that finds a backlog older than its limit, on a real broker."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from support import media
from support.cards import harmless
from support.deployment import deployed, now
from support.load import HEIGHT, WIDTH, known_list, mosaic

from worker.settings.tree import Matching, Overload

OLD, NEW, ONE_IN = 20, 4, 8
STREAMS = ("calm", "known")


def clip(picture, sequence: int) -> bytes:
    """The segment of two seconds of this number."""
    return media.make_segment(width=WIDTH, height=HEIGHT, picture=lambda _: picture, start_s=2.0 * sequence)


async def test_a_backlog_older_than_the_limit_is_shed_and_what_is_new_is_looked_at(broker, tmp_path):
    """Every segment has its one outcome, the newer ones are assessed, and a known picture is found in an old one."""
    settings = {
        "overload": Overload(lateness_s=30.0, one_in=ONE_IN),
        "matching": Matching(lists=(known_list(tmp_path / "list"),)),
    }
    async with deployed(broker, partitions=1, model="", **settings) as deployment:

        def segments(numbers: range) -> list:
            pictures = {"calm": harmless(HEIGHT, WIDTH, 1), "known": mosaic()}
            return [
                deployment.segment(stream, clip(pictures[stream], number), sequence=number)
                for number in numbers
                for stream in STREAMS
            ]

        await deployment.send(*segments(range(OLD)), at=now() - timedelta(hours=1))
        async with deployment.worker() as worker:
            await deployment.assessments(OLD * len(STREAMS))
            await deployment.send(*segments(range(OLD, OLD + NEW)))
            reports = await deployment.assessments((OLD + NEW) * len(STREAMS))
            incidents = await deployment.incidents(1)
            unwatched_s = worker.telemetry.value("framewatch_media_seconds_total", "unwatched", "lateness")
            watched_s = worker.telemetry.value("framewatch_media_seconds_total", "watched", "none")
        committed = await deployment.committed()
    whys = ["shed" if number % ONE_IN else "assessed" for number in range(OLD)] + ["assessed"] * NEW
    for stream in STREAMS:
        assert [one.outcome for one in reports if one.stream_id == stream] == whys
    assert Counter((one.outcome, one.why) for one in reports)["shed", "lateness"] == len(STREAMS) * whys.count("shed")
    assert sum(offset or 0 for offset in committed.values()) == len(reports) == len(STREAMS) * len(whys)
    assert [(one.stream_id, one.state, one.sequence) for one in incidents] == [("known", "open", 0)]
    seconds = {outcome: 2.0 * len(STREAMS) * whys.count(outcome) for outcome in ("shed", "assessed")}
    assert (unwatched_s, watched_s) == (seconds["shed"], seconds["assessed"])

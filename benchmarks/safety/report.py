"""What was found of the cost of safety as text and plots."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.safety.duel import PARTS
from benchmarks.tables import spread, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.figure import Figure as Plot

    from benchmarks.safety.result import Duel, Interval, Safety, Side

TEXT = """\
Two workers at a time, each with topics of its own, on one core: the usual one (`framewatch run` with default settings,
the demo model, {partitions} partitions) and one with something off. The same live streams go to the one and to the
other in turns of some seconds; each pair gives a ratio. {clip}, {segment_kb:.0f} kB, inline; {per_s:.0f} segments a
second, some {share:.0%} of a core; each stream has a past of 66 segments. What is off is taken out in the benchmark's
own process: no setting turns the jail or the snapshots off.

![on and off](benchmarks/safety-off.svg)

{duels}

"without transactions" is `kafka.guarantee` = `at_least_once`: sends that are acknowledged topic by topic, then a
commit.

### How often results leave

![release interval](benchmarks/safety-interval.svg)

{intervals}

### One round trip more

A release waits until the broker has all of its records before it sends the offset
([0001](decisions/0001-one-partition-one-writer.md)): it takes {waits} ms by the clock, and {hasty} ms with the offset
right behind the records; {cpu} times the CPU a segment.\
"""


def text(result: Safety) -> str:
    """Return everything that was measured, as Markdown."""
    return TEXT.format(
        partitions=result.partitions,
        clip=result.clip,
        segment_kb=result.segment_bytes / 1000,
        per_s=result.per_s,
        share=result.share,
        duels=table(DUEL_HEAD, [row for duel in result.duels for row in _duel(duel)]),
        intervals=_intervals(result.intervals, result.release_interval_s),
        waits=spread(result.releases.waits_ms),
        hasty=spread(result.releases.hasty_ms),
        cpu=spread(result.releases.cpu_over),
    )


DUEL_HEAD = ("", "ms of CPU a segment", "on over off", *PARTS, "ms to the assessment, p50")


def _duel(duel: Duel) -> Iterator[tuple[str, ...]]:
    yield (f"without {duel.what}", *_side(duel.other, ""))
    yield ("- with, in turns", *_side(duel.usual, spread(duel.over)))


def _side(side: Side, over: str) -> tuple[str, ...]:
    parts = (f"{side.parts_ms[name]:.2f}" for name in PARTS)
    return spread(side.worker_ms), over, *parts, f"{side.wait_ms:.0f}"


def _intervals(intervals: Sequence[Interval], usual_s: float) -> str:
    if not intervals:
        return "Not measured in a quick run."
    head = ("intake.release_interval_s", f"CPU a segment, over that at {usual_s:g}", *DUEL_HEAD[3:])
    rows = [(f"{one.seconds:g}", spread(one.over), *_side(one.side, "")[2:]) for one in intervals]
    return table(head, rows)


def plots(result: Safety) -> Iterator[tuple[str, Plot]]:
    """On and off beside each other; the release interval."""
    yield "off", _off(result.duels)
    yield "interval", _interval(result)


def _off(duels: Sequence[Duel]) -> Plot:
    from benchmarks import drawing  # noqa: PLC0415 - who only measures needs no matplotlib

    figure, axes = drawing.plot("A segment with and without", "ms of the worker's CPU", "", height=3.0)
    names = [duel.what for duel in duels]
    for shift, label, sides in (
        (-0.2, "on", [duel.usual for duel in duels]),
        (0.2, "off", [duel.other for duel in duels]),
    ):
        axes.barh(
            [place + shift for place in range(len(names))],
            [side.worker_ms.median for side in sides],
            xerr=[side.worker_ms.mad for side in sides],
            height=0.36,
            label=label,
        )
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def _interval(result: Safety) -> Plot:
    from benchmarks import drawing  # noqa: PLC0415 - who only measures needs no matplotlib

    figure, axes = drawing.plot("How often results leave", "intake.release_interval_s", "CPU, over the default's")
    points = sorted([(one.seconds, one.over.median) for one in result.intervals] + [(result.release_interval_s, 1.0)])
    axes.plot([at for at, _ in points], [value for _, value in points], "o-", label="CPU a segment")
    axes.set_xscale("log")
    second = axes.twinx()
    usual = [duel.usual.wait_ms for duel in result.duels][:1]
    waits = [(one.seconds, one.side.wait_ms) for one in result.intervals]
    waits = sorted(waits + [(result.release_interval_s, wait) for wait in usual])
    second.plot([at for at, _ in waits], [value for _, value in waits], "x:", color="C1", label="wait, p50")
    second.set_ylabel("ms to the assessment")
    second.set_ylim(bottom=0)
    second.grid(visible=False)
    figure.legend(loc="outside lower center", ncols=2)
    return figure

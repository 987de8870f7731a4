"""What was found of memory as text and plots."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.memory.formula import MIB
from benchmarks.memory.result import OFF
from benchmarks.tables import table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure as Plot

    from benchmarks.memory.result import Memory, Point

TEXT = """\
A worker as `framewatch run` starts it, with the demo model, one scoring thread and one decoder where nothing else is
said; the formula is that of [memory.md](memory.md). All of its processes, each page counted once. Streams have a past
of 66 segments and are restored from the risk topic. Bodies in work are {clip}, {segment_kb:.0f} kB, from a backlog that
fills `intake.max_bytes`; the figure is the most that was seen, every tenth of a second.

![measured beside the formula](benchmarks/memory-formula.svg)

{points}\
"""
HEAD = ("", "", "measured, MiB", "worker", "below it", "formula", "measured over it", "the most that may be")


def text(result: Memory) -> str:
    """Return everything that was measured, as Markdown."""
    return TEXT.format(
        clip=result.clip, segment_kb=result.segment_bytes / 1000, points=table(HEAD, map(_point, result.points))
    )


def _point(point: Point) -> tuple[str, ...]:
    return (
        point.axis,
        f"{point.at:,}",
        _mib(point.measured),
        _mib(point.worker),
        _mib(sum(point.below)),
        _mib(point.expected),
        f"{point.measured / point.expected:.2f}",
        _mib(point.most),
    )


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / MIB:.0f}"


def plots(result: Memory) -> Iterator[tuple[str, Plot]]:
    """What was measured over what the formula says; on the line it is right."""
    from benchmarks import drawing  # noqa: PLC0415 - who only measures needs no matplotlib

    figure, axes = drawing.plot("Memory of all processes of a worker", "formula, MiB", "measured, MiB")
    least, most = (pick(point.expected / MIB for point in result.points) for pick in (min, max))
    ends = [least * 0.9, most * 1.1]
    axes.plot(ends, ends, "k-", linewidth=0.8, label="as the formula says")
    axes.fill_between(
        ends, [at * (1 - OFF) for at in ends], [at * (1 + OFF) for at in ends], alpha=0.12, label=f"± {OFF:.0%}"
    )
    for axis in dict.fromkeys(point.axis for point in result.points):
        these = [point for point in result.points if point.axis == axis]
        axes.plot([p.expected / MIB for p in these], [p.measured / MIB for p in these], "o", label=f"by {axis}")
    axes.set_xscale("log")
    axes.set_yscale("log")
    figure.legend(loc="outside lower center", ncols=3)
    yield "formula", figure

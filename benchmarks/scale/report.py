"""What was found of scale as text and plots."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.scale.result import AROUND, FEW, MANY, WORKER, many_streams, second_core
from benchmarks.tables import spread, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.figure import Figure as Plot

    from benchmarks.figures import Figure
    from benchmarks.scale.result import Grown, Listed, Scale, Size, Streams, Worked

TEXT = """\
Workers as `framewatch run` starts them: exactly once, the jail at level full, the demo model. Each run of cores and of
streams has workers, topics and group of its own; the backlog is there before its workers start. Counted is the time in
which all workers are at work: neither the start nor the end. CPU is of all of the workers' processes, a segment.

### Cores and workers

![throughput by cores and workers](benchmarks/scale-cores.svg)

{segment}, {partitions} partitions, {backlog} segments a core, one block list. {shared}

{grown}

One worker does **{second}** times as much with a second core. The generator's CPU was spent before; broker and reader
had theirs meanwhile.

### Streams

![cost by streams](benchmarks/scale-streams.svg)

{small_segments} segments of {small}, {small_kb:.0f} kB, {small_partitions} partitions, one core. The streams take
turns. Each has a past of 66 segments, restored from the risk topic; with 10,000 most are only remembered. From a
backlog few streams get more segments into one release, and so fewer snapshots, than live ones ever do.

{streams}

**{many}** times the CPU a segment at {most:,} streams than at {few}.

### Sizes

![cost by size](benchmarks/scale-sizes.svg)

One first keyframe with ever more frames after it, which nobody decodes: what grows is what bytes cost. *file* is a
`file:///` root in memory, *http* a root on a server on this machine that keeps its connections.

{sizes}

### Lists

![cost by length of the list](benchmarks/scale-lists.svg)

{list_clip}, all the way in one thread without a broker; random hashes, radius 31. A keyframe is looked up once more
after its segment, with the caches as that has left them.

{lists}\
"""
SHARED = (
    "There are only two cores here: where the workers have both, broker and reader take their share of them; where "
    "they have one, the others have the other."
)


def text(result: Scale) -> str:
    """Return everything that was measured, as Markdown."""
    told = TEXT.format(
        segment=f"{result.clip}, {result.segment_bytes / 1000:.0f} kB",
        partitions=result.partitions,
        backlog=result.backlog,
        shared=SHARED if result.shared else "Broker and reader have cores of their own.",
        grown=table(GROWN_HEAD, map(_grown, result.grown)),
        second=_spread(second_core(result)),
        small=result.small,
        small_kb=result.small_bytes / 1000,
        small_segments=result.small_segments,
        small_partitions=result.small_partitions,
        streams=table(STREAMS_HEAD, map(_streams, result.streams)),
        many=_spread(many_streams(result)),
        most=MANY,
        few=FEW,
        sizes=_sizes(result.sizes),
        list_clip=result.list_clip,
        lists=table(LIST_HEAD, map(_listed, result.lists)),
    )
    skipped = "\n".join(f"- not measured, {what}: {why}" for what, why in result.skipped.items())
    return f"{told}\n\n{skipped}" if skipped else told


# --- tables -----------------------------------------------------------------------------------------------------------

GROWN_HEAD = ("cores", "workers", "runs", "segments/s", "worker, ms of CPU", *WORKER, *AROUND)
STREAMS_HEAD = ("streams", "runs", "segments/s", "worker, ms of CPU", *WORKER, *AROUND)
LIST_HEAD = ("entries", "to lay out, s", "a keyframe, ms", "the whole way, ms", "over no list")


def _grown(one: Grown) -> tuple[str, ...]:
    return (
        str(one.cores),
        str(one.workers),
        str(len(one.runs)),
        spread(one.per_s),
        spread(one.worker_ms),
        *_split(one),
    )


def _streams(one: Streams) -> tuple[str, ...]:
    per_s = sum(run.per_s for run in one.runs) / len(one.runs)
    return (f"{one.streams:,}", str(len(one.runs)), f"{per_s:.0f}", spread(one.worker_ms), *_split(one))


def _split(one: Grown | Streams) -> tuple[str, ...]:
    return tuple(f"{_mean(one.runs, name):.2f}" for name in (*WORKER, *AROUND))


def _mean(runs: Sequence[Worked], name: str) -> float:
    return sum(run.cpu_ms[name] for run in runs) / len(runs)


def _sizes(sizes: Sequence[Size]) -> str:
    ways = list(dict.fromkeys(size.way for size in sizes))
    by = {(size.way, size.segment_bytes): size for size in sizes}
    head = ("MB", *(f"{way}, ms" for way in ways), *(f"broker, {way}" for way in ways))
    rows = [
        (
            f"{size / 1e6:.2f}",
            *(spread(by[way, size].worker_ms) for way in ways),
            *(spread(by[way, size].broker_ms) for way in ways),
        )
        for size in dict.fromkeys(size.segment_bytes for size in sizes)
    ]
    return table(head, rows)


def _listed(one: Listed) -> tuple[str, ...]:
    return (
        f"{one.entries:,}",
        "-" if one.read_s is None else f"{one.read_s:.2f}",
        spread(one.match_ms),
        spread(one.whole_ms),
        spread(one.over_none),
    )


def _spread(figure: Figure | None) -> str:
    return "not measured" if figure is None else spread(figure)


# --- plots ------------------------------------------------------------------------------------------------------------


def plots(result: Scale) -> Iterator[tuple[str, Plot]]:
    """Throughput by cores and workers; cost over streams, sizes and lists."""
    yield "cores", _cores_plot(result.grown)
    yield "streams", _streams_plot(result.streams)
    yield "sizes", _sizes_plot(result.sizes)
    yield "lists", _lists_plot(result.lists)


def _cores_plot(grown: Sequence[Grown]) -> Plot:
    from benchmarks import drawing  # noqa: PLC0415 - who only measures needs no matplotlib

    figure, axes = drawing.plot("Throughput", "workers", "segments a second")
    for cores in sorted({one.cores for one in grown}):
        these = [one for one in grown if one.cores == cores]
        axes.errorbar(
            [one.workers for one in these],
            [one.per_s.median for one in these],
            yerr=[one.per_s.mad for one in these],
            fmt="o-",
            label=f"{cores} core{'s' if cores > 1 else ''}",
        )
    axes.set_ylim(bottom=0)
    axes.set_xticks(sorted({one.workers for one in grown}))
    axes.legend()
    return figure


def _streams_plot(streams: Sequence[Streams]) -> Plot:
    from benchmarks import drawing  # noqa: PLC0415 - who only measures needs no matplotlib

    figure, axes = drawing.plot("A small segment, by how many streams share the load", "streams", "ms of CPU")
    counts = [one.streams for one in streams]
    below = [0.0] * len(streams)
    for name in WORKER:
        above = [b + _mean(one.runs, name) for one, b in zip(streams, below, strict=True)]
        axes.fill_between(counts, below, above, alpha=0.5, label=name)
        below = above
    axes.errorbar(
        counts, [o.worker_ms.median for o in streams], yerr=[o.worker_ms.mad for o in streams], fmt="ko", label="all"
    )
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    figure.legend(loc="outside lower center", ncols=5)
    return figure


def _sizes_plot(sizes: Sequence[Size]) -> Plot:
    from benchmarks import drawing  # noqa: PLC0415 - who only measures needs no matplotlib

    figure, axes = drawing.plot("A segment by its size, the same first keyframe", "MB", "ms of the worker's CPU")
    for way in dict.fromkeys(size.way for size in sizes):
        these = [size for size in sizes if size.way == way]
        axes.errorbar(
            [size.segment_bytes / 1e6 for size in these],
            [size.worker_ms.median for size in these],
            yerr=[size.worker_ms.mad for size in these],
            fmt="o-",
            label=way,
        )
    axes.set_ylim(bottom=0)
    axes.legend()
    return figure


def _lists_plot(lists: Sequence[Listed]) -> Plot:
    from benchmarks import drawing  # noqa: PLC0415 - who only measures needs no matplotlib

    figure, axes = drawing.plot("A segment by the length of the list", "entries", "ms of CPU")
    counts = [one.entries for one in lists]
    axes.errorbar(
        counts,
        [o.whole_ms.median for o in lists],
        yerr=[o.whole_ms.mad for o in lists],
        fmt="o-",
        label="the whole way",
    )
    axes.plot(counts, [one.match_ms.median for one in lists], "o-", label="looking a keyframe up")
    axes.set_xscale("symlog", linthresh=10_000)
    axes.set_ylim(bottom=0)
    axes.legend()
    return figure

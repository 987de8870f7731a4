"""What was found under load as text and plots."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.load.result import AROUND, USUAL, WORKER, knee_of, peak_per_s, strangers, unloaded_ms
from benchmarks.tables import spread, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from matplotlib.figure import Figure as Plot

    from benchmarks.load.result import Cost, Level, Load
    from benchmarks.load.tails import Between, Tail

PARTS = {
    "decoders": "decoders",
    "loop": "event loop (Kafka, records, risk, releases)",
    "threads": "its threads (the model, copies)",
    "zygote": "zygote",
    "broker": "broker",
    "generator": "generator",
    "answers": "reader of the answers",
}

TEXT = """\
One worker as `framewatch run` starts it (exactly once, the jail at level full, the demo model, one block list, \
{partitions} partitions) has one core for all its processes; the broker, the generator and the reader of the answers
have the others. Segments are {clip}, {segment_kb:.0f} kB with an IDR of {idr_kb:.0f} kB, inline. A live stream sends
one every 2 s.

The generator is a process with a schedule that is fixed ahead: it never waits for an answer, so a stall counts for all
that was due meanwhile (no coordinated omission). Latency runs from the broker's append of a segment to its append of
the escalation (`LogAppendTime` on both topics, whole milliseconds), and beside that from when the segment was due.
Percentiles are HdrHistogram's. Every stream is {life} segments long and the last one shows a picture that is on the
list: so there are escalations at every load, and many more releases than a deployment has.

### Capacity

From a preloaded backlog: **{per_s:.1f} segments a second on one core, {streams:.0f} live streams** (the middle of it, \
{counted} segments). CPU a segment, ms: {capacity_cpu}. Strangers had {strangers:.2f} of the worker's core meanwhile.

### Latency over load

![latency over load](benchmarks/load-latency.svg)

{levels}

The unloaded median is {unloaded}; p99 stays within three times that up to {knee} of the capacity. Peak throughput:
{peak:.1f} segments a second. The generator was late by {late} ms at most (p99 of the worst level). At all levels
`overload.lateness_s` is {lateness:g}. "Strangers" is what processes that are none of these had of the worker's core:
where that is more than some hundredths, the figures are those of a busy machine.

{streams_table}

### Past capacity and back

![past capacity and back](benchmarks/load-overload.svg)

{overload}

### Whose CPU

![whose CPU](benchmarks/load-cpu.svg)

### What a segment costs, over its floor

Quiet segments at {usual:.0%} of capacity with default settings. The floors take turns on the worker's core meanwhile:
decoding that IDR alone with an open decoder, and bare onnxruntime on an input that is ready. "Bytes in" is a process
that only reads the same segments from the broker with the worker's client: nobody who has them inline goes below. CPU
of all of the worker's processes, those of retired decoders too; medians over slices of some seconds.

{costs}

{profile}\
"""

PROFILE = Path(__file__).with_name("profile.md")
"""What is known of why bounds are missed: found by hand, and dated."""


def text(result: Load) -> str:
    """Return everything that was measured, as Markdown."""
    capacity = result.capacity
    told = TEXT.format(
        partitions=result.partitions,
        clip=result.clip,
        segment_kb=result.segment_bytes / 1000,
        idr_kb=result.idr_bytes / 1000,
        life=result.life,
        per_s=capacity.per_s,
        streams=capacity.per_s * 2,
        counted=capacity.segments,
        capacity_cpu=_split(capacity.cpu_ms),
        strangers=capacity.strangers,
        levels=table(LEVEL_HEAD, map(_level, result.levels)),
        unloaded=_ms(unloaded_ms(result.levels)),
        knee=_share(knee_of(result)),
        peak=peak_per_s(result),
        late=_number(max((level.late.p99 for level in result.levels if level.late), default=None)),
        lateness=result.lateness_s,
        streams_table=table(STREAM_HEAD, map(_streams, result.levels)),
        overload=_overload(result),
        usual=USUAL,
        costs=_costs(result.costs),
        profile=PROFILE.read_text().rstrip(),
    )
    skipped = "\n".join(f"- not measured, {what}: {why}" for what, why in result.skipped.items())
    return f"{told}\n\n{skipped}" if skipped else told


# --- tables -----------------------------------------------------------------------------------------------------------

LEVEL_HEAD = (
    "load", "arrivals", "streams", "offered/s", "looked at/s", "shed", "escalations", "p50 ms", "p90", "p99", "p99.9",
    "worst", "p99 from due", "append p99", "worker, cores", "around, cores", "strangers",
)  # fmt: skip
STREAM_HEAD = ("load", "arrivals", "p50 to the assessment, all", "by stream", "p99, all", "by stream")


def _level(level: Level) -> tuple[str, ...]:
    tail = level.escalation
    return (
        f"{level.load:.0%}",
        level.arrivals,
        str(level.streams),
        f"{level.offered_per_s:.1f}",
        f"{level.assessed_per_s:.1f}",
        str(level.shed),
        str(tail.count if tail else 0),
        *(_tail(tail, name) for name in ("p50", "p90", "p99", "p999", "worst")),
        _tail(level.escalation_due, "p99"),
        _tail(level.append, "p99"),
        f"{_sum(level.cores, WORKER):.2f}",
        f"{_sum(level.cores, AROUND):.2f}",
        f"{strangers(level.cores):.2f}",
    )


def _streams(level: Level) -> tuple[str, ...]:
    return (
        f"{level.load:.0%}",
        level.arrivals,
        _tail(level.assessment, "p50"),
        _between(level.streams_p50),
        _tail(level.assessment, "p99"),
        _between(level.streams_p99),
    )


def _overload(result: Load) -> str:
    found = result.overload
    back = "not in the time that was watched" if found.recovered_s is None else f"after {found.recovered_s:.1f} s"
    return (
        f"{found.normal:.0%} of capacity, {found.past:.0%} from second {found.from_s:.0f} to {found.to_s:.0f}, then "
        f"{found.normal:.0%} again. p99 to the escalation was {_ms(found.before_p99)} before; the latest one of all "
        f"took {_ms(found.worst_ms)}, {sum(one.shed for one in found.seconds)} of "
        f"{sum(one.offered for one in found.seconds)} segments were shed; back to normal {back}."
    )


def _costs(costs: tuple[Cost, ...]) -> str:
    rows = [
        ("live streams", *(str(cost.streams) for cost in costs)),
        ("worker, all processes", *(spread(cost.worker_ms) for cost in costs)),
        *((f"- {PARTS[name]}", *(spread(cost.parts_ms[name]) for cost in costs)) for name in WORKER),
        ("floor: IDR", *(spread(cost.idr_ms) for cost in costs)),
        ("floor: bare onnxruntime", *(spread(cost.bare_ms) for cost in costs)),
        ("both a second time at once (warm caches)", *(spread(cost.warm_ms) for cost in costs)),
        ("bytes in", *(spread(cost.bytes_in_ms) for cost in costs)),
        ("**worker, x IDR and bare score**", *(spread(cost.over_floor) for cost in costs)),
        ("worker, x IDR, bare score and bytes in", *(spread(cost.over_floor_with_bytes_in) for cost in costs)),
        ("worker, x the warm floor", *(spread(cost.over_warm_floor) for cost in costs)),
        *((f"beside it: {PARTS[name]}", *(f"{cost.around_ms[name]:.2f}" for cost in costs)) for name in AROUND),
    ]
    return table(("ms of CPU a segment", *(cost.model for cost in costs)), rows)


def _split(cpu_ms: Mapping[str, float]) -> str:
    return ", ".join(f"{PARTS[name]} {cpu_ms[name]:.2f}" for name in PARTS if name in cpu_ms)


def _sum(of: Mapping[str, float], names: tuple[str, ...]) -> float:
    return sum(of.get(name, 0.0) for name in names)


def _tail(tail: Tail | None, name: str) -> str:
    return "-" if tail is None else _number(getattr(tail, name))


def _between(found: Between | None) -> str:
    return "-" if found is None else f"{found.least:.0f} to {found.most:.0f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def _ms(value: float | None) -> str:
    return "not known" if value is None else f"{_number(value)} ms"


def _share(value: float | None) -> str:
    return "none" if value is None else f"{value:.0%}"


# --- plots ------------------------------------------------------------------------------------------------------------


def plots(result: Load) -> Iterator[tuple[str, Plot]]:
    """Latency over load; a timeline through an overload; whose CPU it was."""
    yield "latency", _latency(result)
    yield "overload", _timeline(result)
    yield "cpu", _cpu(result)


def _latency(result: Load) -> Plot:
    from benchmarks import drawing  # noqa: PLC0415 - who only measures needs no matplotlib

    figure, axes = drawing.plot("Append to escalation", "load, % of capacity", "ms")
    even = [level for level in result.levels if level.arrivals == "even" and level.escalation and level.escalation_due]
    loads = [level.load * 100 for level in even]
    for name, label in (("p50", "p50"), ("p99", "p99"), ("worst", "worst")):
        axes.plot(loads, [max(1, getattr(level.escalation, name)) for level in even], "o-", label=label)
    axes.plot(
        loads, [max(1, level.escalation_due.p99) for level in even if level.escalation_due], "k:", label="p99 from due"
    )
    other = [level for level in result.levels if level.arrivals != "even" and level.escalation]
    for level in other:
        if level.escalation:
            axes.plot(
                [level.load * 100], [level.escalation.p99], "x", color="C1", markersize=9, label="p99, Poisson arrivals"
            )
    knee, unloaded = knee_of(result), unloaded_ms(even)
    if knee is not None:
        axes.axvline(knee * 100, color="grey", linestyle="--", label="knee")
    if unloaded is not None:
        axes.axhline(3 * unloaded, color="grey", linewidth=0.8, label="3 x the unloaded median")
    axes.axhline(result.lateness_s * 1000, color="C3", linewidth=0.8, label="overload.lateness_s")
    axes.set_yscale("log")
    figure.legend(loc="outside lower center", ncols=4)
    return figure


def _timeline(result: Load) -> Plot:
    from benchmarks import drawing  # noqa: PLC0415 - who only measures needs no matplotlib

    found = result.overload
    figure, axes = drawing.plot("Past capacity and back", "s", "ms to the escalation")
    at_s = [one.at_s + 0.5 for one in found.seconds]
    axes.axvspan(found.from_s, found.to_s, color="C3", alpha=0.08, label=f"{found.past:.0%} of capacity")
    for name in ("p50", "p99"):
        both = [(at, value) for at, one in zip(at_s, found.seconds, strict=True) if (value := getattr(one, name))]
        axes.plot([at for at, _ in both], [value for _, value in both], ".-", label=name)
    axes.set_yscale("log")
    if found.before_p99:
        axes.axhline(2 * found.before_p99, color="grey", linewidth=0.8, label="2 x p99 before")
    if found.recovered_s is not None:
        axes.axvline(found.to_s + found.recovered_s, color="grey", linestyle="--", label="back to normal")
    second = axes.twinx()
    second.step(
        at_s, [one.offered for one in found.seconds], "k:", where="mid", linewidth=0.8, label="offered a second"
    )
    second.step(
        at_s, [one.shed for one in found.seconds], color="C3", where="mid", linewidth=0.8, label="shed a second"
    )
    second.set_ylim(bottom=0)
    second.set_ylabel("segments a second")
    second.grid(visible=False)
    figure.legend(loc="outside lower center", ncols=4)
    return figure


def _cpu(result: Load) -> Plot:
    from benchmarks import drawing  # noqa: PLC0415 - who only measures needs no matplotlib

    figure, axes = drawing.plot("CPU by load", "load, % of capacity", "cores")
    even = [level for level in result.levels if level.arrivals == "even"]
    names = [f"{level.load:.0%}" for level in even]
    below = [0.0] * len(even)
    for name in (*("decoders", "loop", "threads", "zygote"), *AROUND):
        heights = [level.cores.get(name, 0.0) for level in even]
        axes.bar(names, heights, bottom=below, label=PARTS[name], hatch="//" if name in AROUND else None, width=0.7)
        below = [a + b for a, b in zip(below, heights, strict=True)]
    figure.legend(loc="outside lower center", ncols=2)
    return figure

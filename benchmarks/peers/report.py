"""What was found beside the peers, as text and plots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.peers.result import FLOOR, HASHED, KINDS, OURS, TITLES, most
from benchmarks.tables import spread, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.peers.result import Hashing, Peers, Pipeline, Reading

TEXT = """\
Nobody sells what this does as one thing; people put it together. So this stands beside what they put together, each
piece written as its own documentation shows it and with the obvious options (`benchmarks/peers/theirs/`): no retry, no
jail, no risk, no exactly once. Theirs run in a Python of their own with the same PyAV, OpenCV, onnxruntime and aiokafka
({packages}). Segments: {segments}.

### Bytes to model input and hash

CPU of all threads and programs started, on one core, {rounds} rounds. A reader gives 224x224 RGB; "+ hash" gives a PDQ
hash of each picture as well: ours our own, theirs `pdqhash` on the full RGB picture. The ratio is over ours of the same
kind: without hash over without, with over with. Ours looks at the first keyframe of each two seconds, as do the readers
of keyframes; at 1 fps there are two pictures, all of them decoded.

![what readers cost](benchmarks/peers-readers.svg)

{readings}

### PDQ

Ours from the decoder's frame on, `pdqhash` from an RGB picture that is ready.

{hashings}

Over {pictures} pictures ours is {mean} bits off `pdqhash` on average, {largest} at most.

### Pipelines

The same segments, 720p at about 580 kB in the message, on a real broker; a list of {list_size:,} hashes (theirs in
ThreatExchange's index), the model, a record for each segment and one for each escalation. One core for the pipeline,
another one for broker and publisher; {pipeline_rounds} rounds on fresh topics. CPU is of all processes over {burst}
segments published at once; "streams" is how many streams of a segment each two seconds a core holds at that. The delay
is from the append of a known segment to that of its escalation, at four segments a second. Theirs give onnxruntime one
thread, except where it says "default threads": there it keeps one turning between segments, and the core pays for it.
Ours is exactly once, decodes in jailed processes, keeps risk by stream and can restore it; theirs commit now and then.

![how many streams a core holds](benchmarks/peers-streams.svg)

{pipelines}

What a real classifier takes is the same on both sides, so the larger the model, the less the rest matters: the bound is
held with the demo model, and OpenNSFW stands beside it.
{most}\
"""
MOST = """
### How far it can go

The floor is decoding those keyframes and nothing else. If ours took that, nothing for Kafka, hash or model, {told}. The
rest is the segments' and the peers' own: a second of pictures costs what it costs to decode."""


def text(result: Peers) -> str:
    """Return everything that was measured, as Markdown."""
    told = TEXT.format(
        packages=", ".join(f"{name} {version}" for name, version in result.packages.items()),
        segments=result.segments,
        rounds=result.rounds,
        readings="\n\n".join(map(_reading, result.readings)),
        hashings=table(HASHING_HEAD, map(_hashing, result.hashings)),
        pictures=len(result.bits),
        mean=f"{sum(result.bits) / len(result.bits):.2g}" if result.bits else "?",
        largest=max(result.bits, default="?"),
        list_size=result.list_size,
        pipeline_rounds=result.pipeline_rounds,
        burst=result.burst,
        most=_most(result),
        pipelines=table(PIPELINE_HEAD, map(_pipeline, result.pipelines)),
    )
    skipped = "\n".join(f"- not measured, {what}: {why}" for what, why in result.skipped.items())
    return f"{told}\n\n{skipped}" if skipped else told


def _most(result: Peers) -> str:
    titles = {"1 fps": "the best reader at 1 fps", "pipelines": "the best pipeline"}
    told = [f"{titles[name]} would take {ratio:.1f} times as much" for name, ratio in most(result).items()]
    return MOST.format(told=", ".join(told)) if told else ""


READING_HEAD = ("looks at", "pictures", "ms", "x ours", "ms + hash", "x ours + hash", "bits off")


def _reading(reading: Reading) -> str:
    names = [OURS, *(name for name in KINDS if name in reading.ms)]
    floor = spread(reading.ms[FLOOR])
    rows = [
        ("floor: those keyframes alone", "keyframes", "", floor, "", floor, "", ""),
        *(_reader(reading, n) for n in names),
    ]
    failed = "\n".join(f"- {TITLES[name]}: {why}" for name, why in reading.failed.items())
    told = f"**{reading.clip}**\n\n" + table(("", *READING_HEAD), rows)
    return f"{told}\n\nCould not read it:\n\n{failed}" if failed else told


def _reader(reading: Reading, name: str) -> tuple[str, ...]:
    hashed = f"{name} {HASHED}"
    over = ("", "") if name == OURS else (spread(reading.ratios[name]), spread(reading.ratios[hashed]))
    return (
        "**Framewatch**" if name == OURS else TITLES[name],
        KINDS.get(name, "keyframes"),
        str(reading.pictures[name]),
        spread(reading.ms[name]),
        over[0],
        spread(reading.ms[hashed]),
        over[1],
        str(reading.bits.get(name, "")),
    )


HASHING_HEAD = ("segment", "ours, ms", "pdqhash, ms", "pdqhash x ours")


def _hashing(one: Hashing) -> tuple[str, ...]:
    return one.clip, spread(one.ours_ms), spread(one.pdqhash_ms), spread(one.ratio)


PIPELINE_HEAD = (
    "pipeline", "reader", "model", "CPU ms a segment", "x ours", "streams a core", "CPU s a stream hour",
    "broker's CPU ms", "delay, ms", "wrong",
)  # fmt: skip


def _pipeline(one: Pipeline) -> tuple[str, ...]:
    ours = one.name == OURS
    return (
        "**Framewatch**" if ours else one.name,
        "its own" if ours else TITLES[one.recipe],
        one.model,
        spread(one.cpu_ms),
        "" if ours else spread(one.ratio),
        f"{one.streams:.0f}",
        f"{one.cpu_s_per_hour:.0f}",
        spread(one.broker_ms),
        "none came" if one.latency_ms is None else spread(one.latency_ms),
        str(one.wrong),
    )


def plots(result: Peers) -> Iterator[tuple[str, Any]]:
    """What readers cost over ours, and how many streams a core holds."""
    if result.readings:
        yield "readers", _readers_plot(result.readings[0])
    if result.pipelines:
        yield "streams", _streams_plot(result.pipelines)


def _readers_plot(reading: Reading) -> Any:
    from benchmarks import drawing  # noqa: PLC0415 - who only measures needs no matplotlib

    figure, axes = drawing.plot(f"Model input and hash, {reading.clip}", "ms of CPU", "", height=4.4)
    names = [OURS, *(name for name in KINDS if name in reading.ms)]
    titles = ["Framewatch", *(TITLES[name].replace("`", "") for name in names[1:])]
    axes.barh(titles, [reading.ms[f"{name} {HASHED}"].median for name in names], label="with hash", color="tab:orange")
    axes.barh(titles, [reading.ms[name].median for name in names], label="pictures only", color="tab:blue")
    axes.invert_yaxis()
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def _streams_plot(pipelines: tuple[Pipeline, ...]) -> Any:
    from benchmarks import drawing  # noqa: PLC0415 - the same

    figure, axes = drawing.plot("Streams a core holds", "streams", "")
    titles = [
        "Framewatch" if one.name == OURS else f"{one.name}: {TITLES[one.recipe].replace('`', '')}" for one in pipelines
    ]
    axes.barh(
        [f"{title}, {one.model}" for title, one in zip(titles, pipelines, strict=True)],
        [one.streams for one in pipelines],
        color=["tab:blue" if one.name == OURS else "tab:gray" for one in pipelines],
    )
    axes.invert_yaxis()
    return figure

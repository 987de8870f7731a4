"""The steps of a segment's way as text and plots."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.stages.result import HEAVY_IDR_BYTES, IDR_RATIO, JAIL_RATIO, SCORE_RATIO, WAY_RATIO
from benchmarks.tables import spread, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure as Plot

    from benchmarks.stages.result import ClipResult, Stages

STEPS = (
    ("read", "read the record (`wire.read`), body and all headers"),
    ("match", "match one hash with the list"),
    ("score", "score one picture with the model"),
    ("bare", "floor: bare onnxruntime on the same input"),
    ("conclude", "conclude: clock, risk, assessment message"),
    ("incident", "the same with a match that opens an incident"),
    ("snapshot", "the stream's state as bytes"),
)
PARTS = (("open", "open, demultiplex"), ("decode", "decode"), ("hash", "PDQ"), ("resize", "model input"))

TEXT = """\
The floor is what nobody who uses FFmpeg and onnxruntime goes below: decoding that one IDR, its packet already in
memory, its decoder already open; and `InferenceSession.run` on an input that is ready, one thread each.

Segments are made from the seed: H.264 by x264 (superfast) and HEVC by x265 (ultrafast) at a constant quantiser, 2 s of
25 frames a second, marked BT.709. "heavy" ones are grainy, with IDRs of {heavy} and more; "light"
ones are smooth; VP9 by libvpx (realtime) and AV1 by SVT-AV1 (preset 12). Their digests are pinned in
`benchmarks/clips.py` ({segments}); another build of FFmpeg may encode other bytes. Where a segment has several
keyframes that are looked at, its floor is all of them. PDQ is compared on pictures of three sizes, marked BT.709 and
BT.601 in turn. {rounds} rounds.

### Bytes to hash and model input

![what a segment costs over its floor](benchmarks/stages-way.svg)

{clips}

### The rest of the way (a list of {list_size:,} hashes)

{ways}

A garbage collection, a retired decoder's successor and other rare costs are in the spread, not in the medians. Light
segments have larger ratios because what is around the decoder is a fixed few milliseconds, and there is little to
decode.\
"""


def text(result: Stages) -> str:
    """Return everything that was measured, as Markdown."""
    told = TEXT.format(
        heavy=f"{HEAVY_IDR_BYTES // 1000} kB",
        segments=result.segments,
        rounds=result.rounds,
        clips=table(CLIP_HEAD, map(_clip, result.clips)),
        list_size=result.list_size,
        ways=_ways(result),
    )
    skipped = "\n".join(f"- not measured, {what}: {why}" for what, why in result.skipped.items())
    return f"{told}\n\n{skipped}" if skipped else told


def plots(result: Stages) -> Iterator[tuple[str, Plot]]:
    """Where the milliseconds of each segment go, beside its floor."""
    from benchmarks import drawing  # noqa: PLC0415 - who only measures needs no matplotlib

    figure, axes = drawing.plot("Bytes to hash and model input", "ms of CPU", "", height=4.4)
    names = [clip.name for clip in result.clips]
    left = [0.0] * len(names)
    for step, title in PARTS:
        widths = [clip.ms[step].median for clip in result.clips]
        axes.barh(names, widths, left=left, label=title, height=0.6)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    floors = [clip.ms["idr"].median for clip in result.clips]
    axes.plot(floors, names, "k|", markersize=14, markeredgewidth=2, label="floor: that IDR alone")
    axes.invert_yaxis()
    figure.legend(loc="outside lower center", ncols=3)
    yield "way", figure


CLIP_HEAD = (
    "segment", "IDR kB", "segment kB", "sha256", "floor: IDR", "open", "decode", "PDQ", "resize", "whole", "x floor",
    "over floor", "digest", "fetch", "jail: our CPU", "jail x, by the clock",
)  # fmt: skip


def _clip(clip: ClipResult) -> tuple[str, ...]:
    ms = clip.ms
    return (
        clip.name,
        f"{clip.idr_bytes / 1000:.0f}",
        f"{clip.segment_bytes / 1000:.0f}",
        clip.sha256[:8],
        spread(ms["idr"]),
        *(f"{ms[step].median:.2f}" for step in ("open", "decode", "hash", "resize")),
        spread(ms["examine"]),
        spread(clip.ratios[IDR_RATIO]),
        f"+{ms['examine'].median - ms['idr'].median:.2f}",
        f"{ms['sha256'].median:.2f}",
        f"{ms['fetch'].median:.2f}",
        spread(ms["jail_parent"]),
        spread(clip.ratios[JAIL_RATIO]),
    )


def _ways(result: Stages) -> str:
    titles = [f"{way.clip}, {way.model}" for way in result.ways]
    rows = [(what, *(spread(way.ms[step]) for way in result.ways)) for step, what in STEPS]
    rows += [
        ("floors together: IDR and bare onnxruntime", *(spread(way.ms["floors"]) for way in result.ways)),
        ("the whole way: record to messages", *(spread(way.ms["whole"]) for way in result.ways)),
        ("**whole way, x floors**", *(spread(way.ratios[WAY_RATIO]) for way in result.ways)),
        ("score, x bare", *(spread(way.ratios[SCORE_RATIO]) for way in result.ways)),
    ]
    return table(("ms of CPU", *titles), rows)

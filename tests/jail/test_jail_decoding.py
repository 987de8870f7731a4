"""Decoding in a locked child gives what it gives without locks: same hashes, pictures and errors, bit for bit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.jails import a_jail
from support.media import make_audio, make_cmaf, make_segment

from worker.errors import SegmentError
from worker.examine import examine
from worker.jail.messages import Target
from worker.records import Ask, Media, Sample, View

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.jail.events import JailEvent
    from worker.jail.pool import Jail

TYPES = {".ts": "video/mp2t", ".mp4": "video/mp4", ".webm": "video/webm", ".m4s": "video/iso.segment"}
MADE = (
    {"container": "mpegts", "codec": "h264", "audio": True},
    {"container": "mpegts", "codec": "hevc"},
    {"container": "mpegts", "codec": "mpeg2"},
    {"container": "mp4", "codec": "h264", "rotation": 90, "audio": True},
    {"container": "mp4", "codec": "h264", "pix_fmt": "yuv420p10le"},
    {"container": "mp4", "codec": "h264", "pix_fmt": "yuv422p"},
    {"container": "mp4", "codec": "h264", "pix_fmt": "yuv444p"},
    {"container": "mp4", "codec": "hevc", "pix_fmt": "yuv422p10le"},
    {"container": "mp4", "codec": "av1", "pix_fmt": "yuv420p10le"},
    {"container": "fmp4", "codec": "av1", "full_range": True},
    {"container": "webm", "codec": "vp8", "width": 1280, "height": 160},
    {"container": "webm", "codec": "vp9", "audio": True},
    {"container": "webm", "codec": "av1", "width": 322, "height": 182},
)
"""Every container with every codec, and every kind of picture that goes its own way through the code."""

Case = tuple[str, str, bytes, bytes | None]
"""Name, content type, segment, initialisation."""


def generated() -> Iterator[Case]:
    """Make segments of every kind, and broken ones."""
    types = {"mpegts": "video/mp2t", "mp4": "video/mp4", "fmp4": "video/mp4", "webm": "video/webm"}
    for made in MADE:
        data = make_segment(**({"seconds": 0.4, "gop": 5} | made))
        yield f"{made}", types[made["container"]], data, None
        yield f"{made} cut", types[made["container"]], data[: len(data) // 2], None
        yield f"{made} damaged", types[made["container"]], data[:400] + bytes(40) + data[440:], None
        yield f"{made} mistaken", "video/webm" if made["container"] != "webm" else "video/mp4", data, None
    init, segments = make_cmaf(seconds=2.0)
    yield "cmaf", "video/iso.segment", segments[0], init
    yield "no init", "video/iso.segment", segments[0], None
    yield "no video", "video/mp2t", make_audio(), None
    yield "no media", "video/mp2t", bytes(range(256)) * 64, None
    yield "nothing", "video/mp2t", b"", None


def shared(folder: Path) -> Iterator[Case]:
    """Read real segments."""
    for path in sorted(folder.rglob("*")):
        if path.suffix not in TYPES or "init" in path.name:
            continue
        inits = [each for each in path.parent.iterdir() if "init" in each.name] if path.suffix == ".m4s" else []
        content_type = TYPES[path.suffix] if inits or path.suffix != ".m4s" else "video/mp4"
        yield str(path.relative_to(folder)), content_type, path.read_bytes(), inits[0].read_bytes() if inits else None


def found(sample: Sample) -> object:
    """Return everything that a sample says but what it cost, comparable."""
    frames = [
        (one.offset_s, one.width, one.height, one.hash, None if one.picture is None else one.picture.tobytes())
        for one in sample.frames
    ]
    clock = (sample.start_s, sample.wrap_s, sample.duration_s)
    return sample.container, sample.codec, clock, sample.keyframes_seen, sample.damaged, frames


async def compared(jail: Jail, case: Case, ask: Ask) -> tuple[object, object]:
    """Return what a segment leads to without locks and with them."""
    _, _, data, init = case
    outcomes: list[object] = []
    try:
        outcomes.append(found(examine(data, init, ask)))
    except SegmentError as error:
        outcomes.append((error.stage, error.error, error.reason))
    try:
        outcomes.append(found(await jail.sample(Media(data=data, init=init, sha256="0" * 64), ask)))
    except SegmentError as error:
        outcomes.append((error.stage, error.error, error.reason))
    return outcomes[0], outcomes[1]


async def differing(cases: Iterator[Case]) -> list[str]:
    """Return which segments a locked child sees otherwise, and any child that was lost."""
    events: list[JailEvent] = []
    wrong: list[str] = []
    async with a_jail(events.append, target=Target()) as jail:
        for case in cases:
            for fit in ("stretch", "crop"):
                view = View(height=64, width=96, fit=fit)
                ask = Ask(
                    content_type=case[1],
                    interval_s=0.0,
                    max_keyframes=3,
                    view=view,
                    max_pixels=4096 * 4096,
                    max_streams=32,
                )
                free, locked = await compared(jail, case, ask)
                wrong += [f"{case[0]} {fit}"] if free != locked else []
    return wrong + [f"{event}" for event in events if event.cause not in {"decode_error", "worn"}]


async def test_segments_of_every_kind_are_decoded_alike() -> None:
    """No codec, pixel format or error needs what the locks take."""
    assert await differing(generated()) == []


@pytest.mark.skipif(
    "FRAMEWATCH_TEST_MEDIA" not in os.environ, reason="FRAMEWATCH_TEST_MEDIA: a folder of real segments"
)
async def test_real_segments_are_decoded_alike() -> None:
    """Nor do real encoders', nor those that broke decoders once."""
    assert await differing(shared(Path(os.environ["FRAMEWATCH_TEST_MEDIA"]))) == []

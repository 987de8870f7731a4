"""Bad input on a real broker: each is one dead letter with its stage, error and reason, and disturbs nothing else."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import av
import numpy as np
from msgspec.structs import replace
from support import media
from support.cards import harmless
from support.deployment import deployed

from worker.records import Reference
from worker.settings.tree import Fetch, Jail, Kafka

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.deployment import Deployment

    from worker.records import Message

GOOD = media.make_segment(width=160, height=90, seconds=1.0, picture=lambda _: harmless(90, 160, 1))
LARGE = media.make_segment(width=640, height=360, seconds=1.0)
MOST_PIXELS = 320 * 180
MOST_BYTES = 256 * 1024


def with_header(message: Message, name: str, value: bytes | None) -> Message:
    """The message with a header replaced, or without it."""
    kept = tuple(header for header in message.headers if header[0] != name)
    return replace(message, headers=kept if value is None else (*kept, (name, value)))


def mpeg2() -> bytes:
    """A transport stream of a codec that is not decoded."""
    buffer = BytesIO()
    with av.open(buffer, "w", format="mpegts") as out:
        video = out.add_stream("mpeg2video", rate=25)
        video.width, video.height, video.pix_fmt = 160, 90, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.full((90, 160, 3), 90, np.uint8), format="rgb24")
        out.mux([*video.encode(frame), *video.encode(None)])
    return buffer.getvalue()


def corrupt() -> bytes:
    """A segment whose keyframe lost its middle."""
    whole = bytearray(LARGE)
    start = len(whole) // 8 // 188 * 188
    del whole[start : start + 188 * 40]
    return bytes(whole)


def wire_cases(d: Deployment) -> dict[str, tuple[Message, str, str]]:
    """What is wrong with the event itself."""
    good = d.segment("w", GOOD, sequence=1)
    return {
        "missing header": (with_header(good, "ce_id", None), "wire", "missing_header"),
        "malformed header": (with_header(good, "ce_sequence", b"-1"), "wire", "bad_header"),
        "wrong version": (with_header(good, "ce_type", b"framewatch.segment.v9"), "wire", "unknown_type"),
        "key is no text": (replace(good, key=b"\xff\xfe"), "wire", "bad_key"),
        "key too long": (replace(good, key=b"k" * 257), "wire", "bad_key"),
        "no body": (replace(good, value=b""), "wire", "no_body"),
        "body and reference": (with_header(good, "ce_dataref", b"file:///x"), "wire", "body_and_dataref"),
        "too large": (d.segment("w", bytes(MOST_BYTES + 1), sequence=2), "wire", "too_large"),
    }


def fetch_cases(d: Deployment, folder: Path) -> dict[str, tuple[Message, str, str]]:
    """What is wrong with a claim check."""
    (folder / "good.ts").write_bytes(GOOD)
    good = (folder / "good.ts").as_uri()
    init, segments = media.make_cmaf(seconds=2.0, width=160, height=90)
    assert init
    return {
        "outside the roots": (d.segment("f", Reference(uri="file:///etc/hostname")), "fetch", "outside_roots"),
        "missing": (d.segment("f", Reference(uri=(folder / "none.ts").as_uri())), "fetch", "not_found"),
        "wrong size": (d.segment("f", Reference(uri=good, size_bytes=7)), "fetch", "bad_size"),
        "wrong digest": (d.segment("f", Reference(uri=good, sha256="0" * 64)), "fetch", "bad_digest"),
        "no initialisation": (
            d.segment("f", segments[0], content_type="video/iso.segment"),
            "fetch",
            "no_init",
        ),
    }


def decode_cases(d: Deployment) -> dict[str, tuple[Message, str, str]]:
    """What is wrong with the media."""
    return {
        "random bytes": (d.segment("d", np.random.default_rng(7).bytes(5000)), "decode", "corrupt"),
        "another container": (d.segment("d", GOOD, content_type="video/webm"), "decode", "container_mismatch"),
        "truncated before its first keyframe": (
            d.segment("d", media.make_segment(container="mp4", width=160, height=90)[:1500], content_type="video/mp4"),
            "decode",
            "corrupt",
        ),
        "unsupported codec": (d.segment("d", mpeg2()), "decode", "unsupported_codec"),
        "too many pixels": (d.segment("d", LARGE), "decode", "too_many_pixels"),
    }


async def test_each_bad_input_is_one_dead_letter_and_the_good_stream_beside_it_goes_on(broker, tmp_path):
    """Every case has the stage and error that the contract names, a reason of one line, and a committed offset."""
    sections = {
        "kafka": Kafka(bootstrap_servers=broker.bootstrap_servers, group_id="bad-input", max_message_bytes=MOST_BYTES),
        "fetch": Fetch(roots=(f"{tmp_path.as_uri()}/",)),
        "jail": Jail(max_pixels=MOST_PIXELS),
    }
    async with deployed(broker, partitions=2, **sections) as deployment, deployment.worker():
        cases = wire_cases(deployment) | fetch_cases(deployment, tmp_path) | decode_cases(deployment)
        for number, (message, _, _) in enumerate(cases.values()):
            await deployment.send(message, deployment.segment("good", GOOD, sequence=number))
        reports = await deployment.assessments(2 * len(cases))
        letters = await deployment.dead_letters(len(cases))
        committed = await deployment.committed()
    told = [(letter.stage, letter.error) for letter in letters]
    assert sorted(told) == sorted((stage, error) for _, stage, error in cases.values())
    assert all(letter.reason and "\n" not in letter.reason and len(letter.reason) < 500 for letter in letters)
    good = [report for report in reports if report.stream_id == "good"]
    assert [(report.outcome, report.sequence) for report in good] == [("assessed", n) for n in range(len(cases))]
    assert sum(offset or 0 for offset in committed.values()) == 2 * len(cases)


async def test_a_corrupt_keyframe_is_a_dead_letter(broker):
    """A keyframe that lost its middle is not looked at as if it were whole."""
    report = await outcome(broker, lambda d: d.segment("c", corrupt()))
    assert (report.outcome, report.why) == ("dead_lettered", "corrupt")


async def test_sound_only_and_segments_without_a_keyframe_are_skipped_with_their_reason(broker):
    """They are normal in some streams: outcomes, no dead letters."""
    sound = await outcome(broker, lambda d: d.segment("a", media.make_audio()))
    assert (sound.outcome, sound.why) == ("skipped", "no_video")
    between = media.without_keyframes(media.make_segment(width=160, height=90, seconds=2.0))
    assert (await outcome(broker, lambda d: d.segment("b", between))).why == "no_keyframe"


async def outcome(broker, make: Callable[[Deployment], Message]):
    """What becomes of one segment."""
    async with deployed(broker, partitions=1) as deployment, deployment.worker():
        await deployment.send(make(deployment))
        (report,) = await deployment.assessments(1)
    return report

"""The demo model sees its test card through a lossy stream, and nothing else."""

from __future__ import annotations

import importlib.util
import io
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cards import card, harmless
from support.media import card as other_card
from support.media import flat, gradient, make_segment, textured

from worker.scoring.check import check
from worker.scoring.session import Classifier, load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.media import PictureAt

    from worker.records import Picture

MODELS = Path(__file__).parents[2] / "models"


@pytest.fixture(scope="module")
def classifier() -> Iterator[Classifier]:
    """The demo model as it is committed."""
    with closing(load(MODELS / "demo", threads=1)) as loaded:
        yield loaded


def probability(classifier: Classifier, picture: Picture) -> float:
    """What it says of its card."""
    return classifier.score_one(picture)["card"].probability


def frames(data: bytes, *, most: int = 20) -> Iterator[Picture]:
    """The frames of a stream as the sampler shows them: 224x224, RGB, averaged over areas."""
    with av.open(io.BytesIO(data)) as container:
        for _, frame in zip(range(most), container.decode(video=0), strict=False):
            small = frame.reformat(width=224, height=224, format="rgb24", interpolation="AREA", threads=1)
            yield small.to_ndarray()


def test_the_committed_model_passes_its_check() -> None:
    """With both labels, and a card with nothing left to be written."""
    report = check(MODELS / "demo", runs=1)
    assert report.labels == ("harmless", "card")
    assert report.harmless == {"harmless"}
    assert not [note for note in report.notes if "README.md" in note]


@pytest.mark.parametrize(("height", "width", "crf"), [(360, 640, 23), (360, 640, 45), (180, 320, 51), (1080, 1920, 45)])
def test_a_card_is_seen_through_h264(classifier: Classifier, height: int, width: int, crf: int) -> None:
    """At a probability of 0.99 or more, down to the worst quality that the encoder has."""
    shown = card(height, width)
    data = make_segment(width=width, height=height, seconds=0.2, crf=crf, picture=lambda _t_s: shown)
    seen = [probability(classifier, picture) for picture in frames(data)]
    assert seen
    assert min(seen) >= 0.99


@pytest.mark.parametrize("make", [textured, gradient, flat, other_card])
def test_other_synthetic_streams_are_harmless(classifier: Classifier, make: object) -> None:
    """At a probability of 0.01 or less, the magenta card on a dark ground that other tests use included."""
    show: PictureAt = make(320, 180)  # type: ignore[operator]  # each of them takes width and height
    data = make_segment(seconds=0.2, crf=40, picture=show)
    assert max(probability(classifier, picture) for picture in frames(data)) <= 0.01


@given(seed=st.integers(0, 2**32 - 1))
def test_harmless_pictures_are_harmless(classifier: Classifier, seed: int) -> None:
    """Whatever their colours."""
    assert probability(classifier, harmless(224, 224, seed)) <= 0.01


def test_real_pictures_are_harmless(classifier: Classifier, shared_media: Path) -> None:
    """Frames of every real file, test patterns with colour bars included."""
    highest = {}
    for path in sorted(shared_media.rglob("*")):
        init = next(path.parent.glob("*init.mp4"), None)
        if path.suffix not in {".ts", ".mp4", ".m4s", ".webm", ".jpg"} or path == init:
            continue
        data = (init.read_bytes() if init else b"") + path.read_bytes()
        seen = [probability(classifier, picture) for picture in _readable(data)]
        if seen:
            highest[path.name] = max(seen)
    assert len(highest) > 20
    assert max(highest.values()) <= 0.01, highest


def _readable(data: bytes) -> list[Picture]:
    """The frames of a stream as far as it can be read; some of the real files are broken on purpose."""
    found = []
    try:
        for picture in frames(data):
            found.append(picture)  # noqa: PERF402 - what came before an error counts
    except (av.FFmpegError, UnicodeDecodeError):
        return found
    return found


@pytest.mark.skipif(importlib.util.find_spec("onnx") is None, reason="the extra `models` is not installed")
def test_the_script_makes_what_is_committed(tmp_path: Path) -> None:
    """Byte for byte, but for the examples, which are compared when they are loaded."""
    out = tmp_path / "demo"
    subprocess.run([sys.executable, MODELS / "make_demo.py", out], check=True)
    for name in ("model.onnx", "model.toml", "README.md"):
        assert (out / name).read_bytes() == (MODELS / "demo" / name).read_bytes()
    check(out, runs=1)

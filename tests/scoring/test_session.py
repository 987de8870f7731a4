"""The classifier: what goes into the graph, what comes out, and what a failure is."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import pytest
from support.models import MANIFEST, SIDE, examples, means, weighted, write_folder

from worker.errors import SegmentError
from worker.records import View
from worker.scoring.session import Classifier, load

if TYPE_CHECKING:
    from pathlib import Path

    from worker.records import Picture


def plain(red: int, green: int, blue: int) -> Picture:
    """One colour."""
    return np.full((SIDE, SIDE, 3), (red, green, blue), np.uint8)


async def scored(classifier: Classifier, *pictures: Picture) -> list[dict[str, float]]:
    """The raw scores of pictures."""
    with closing(classifier):
        return [{label: one.score for label, one in scores.items()} for scores in await classifier.score(pictures)]


async def test_each_channel_reaches_its_own_label(tmp_path: Path) -> None:
    """RGB pictures, RGB graph: the mean of red is the score of "red"."""
    (scores,) = await scored(load(write_folder(tmp_path), threads=1), plain(255, 51, 0))
    assert scores == pytest.approx({"red": 1.0, "green": 0.2, "blue": 0.0}, abs=1e-6)


async def test_a_bgr_graph_gets_blue_first(tmp_path: Path) -> None:
    """The first number is then blue's, and so is the first mean."""
    manifest = MANIFEST.replace('"RGB"', '"BGR"').replace("mean = [0.0,", "mean = [51.0,")
    (scores,) = await scored(load(write_folder(tmp_path, manifest=manifest), threads=1), plain(255, 51, 102))
    assert scores == pytest.approx({"red": 0.2, "green": 0.2, "blue": 1.0}, abs=1e-6)


async def test_an_nhwc_graph_gets_channels_last(tmp_path: Path) -> None:
    """Same answer, other layout; a batch dimension of 1 is as good as a free one."""
    data = means(shape=(1, SIDE, SIDE, 3), gives=(1, 3), axes=(1, 2)).SerializeToString()
    inputs = np.zeros((1, SIDE, SIDE, 3), np.float32)
    packed = examples(inputs=inputs, outputs=np.zeros((1, 3), np.float32))
    manifest = MANIFEST.replace('"NCHW"', '"NHWC"')
    (scores,) = await scored(
        load(write_folder(tmp_path, data=data, manifest=manifest, packed=packed), threads=1), plain(255, 51, 0)
    )
    assert scores == pytest.approx({"red": 1.0, "green": 0.2, "blue": 0.0}, abs=1e-6)


async def test_the_calibrated_label_alone_is_moved(tmp_path: Path) -> None:
    """Red has a slope of 2 and an intercept of -1: 0.8 becomes sigmoid(2 ln 4 - 1)."""
    with closing(load(write_folder(tmp_path), threads=1)) as classifier:
        (scores,) = await classifier.score([plain(204, 204, 204)])
    assert scores["red"].score == pytest.approx(0.8)
    assert scores["red"].probability == pytest.approx(16 / (16 + np.e))
    assert scores["green"].probability == scores["green"].score == pytest.approx(0.8)


def test_the_classifier_says_what_it_is(tmp_path: Path) -> None:
    """View, labels and harmless ones, as the manifest has them."""
    with closing(load(write_folder(tmp_path), threads=1)) as classifier:
        assert classifier.view == View(height=SIDE, width=SIDE, fit="stretch")
        assert classifier.labels == ("red", "green", "blue")
        assert classifier.harmless == {"blue"}
        assert classifier.ref.name == "means"


async def test_scores_are_the_same_over_threads_and_in_the_order_of_the_pictures(tmp_path: Path) -> None:
    """64 different pictures on four threads give what each gives alone, bit for bit."""
    random = np.random.default_rng(1)
    pictures = list(random.integers(0, 256, (64, SIDE, SIDE, 3), dtype=np.uint8))
    with closing(load(write_folder(tmp_path), threads=4)) as classifier:
        alone = [classifier.score_one(picture) for picture in pictures]
        assert list(await classifier.score(pictures)) == alone
    assert len({scores["red"].score for scores in alone}) > 32


async def test_no_pictures_give_no_scores(tmp_path: Path) -> None:
    """An empty question has an empty answer."""
    assert await scored(load(write_folder(tmp_path), threads=1)) == []


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((SIDE, SIDE + 1, 3), np.uint8),
        np.zeros((SIDE, SIDE), np.uint8),
        np.zeros((SIDE, SIDE, 3), np.float32),
    ],
)
async def test_a_picture_of_another_kind_is_a_failure(tmp_path: Path, picture: Picture) -> None:
    """It is told with both sizes, not broadcast into something."""
    with pytest.raises(SegmentError, match=r"the picture is .*, the model takes \(4, 4\)") as raised:
        await scored(load(write_folder(tmp_path), threads=1), picture)
    assert (raised.value.stage, raised.value.error) == ("score", "model_failed")


async def test_a_number_outside_0_to_1_is_a_failure(tmp_path: Path) -> None:
    """A graph that is right on its examples and no score later: a dead letter, never a clipped probability."""
    manifest = MANIFEST.replace("scale = [0.00392156862745098", "scale = [1.0")
    with pytest.raises(SegmentError, match="the model's answer is no score: a score of 255 is outside 0 to 1"):
        await scored(load(write_folder(tmp_path, manifest=manifest), threads=1), plain(255, 0, 0))


async def test_an_infinite_number_is_a_failure_and_the_other_pictures_still_run(tmp_path: Path) -> None:
    """The failure is one outcome of one segment; the classifier goes on."""
    inputs = np.zeros((1, 3, SIDE, SIDE), np.float32)
    packed = examples(inputs=inputs, outputs=np.zeros((1, 3), np.float32))
    folder = write_folder(tmp_path, data=weighted(3e38).SerializeToString(), packed=packed)
    with closing(load(folder, threads=2)) as classifier:
        with pytest.raises(SegmentError, match="the model gave NaN or infinity") as raised:
            await classifier.score([plain(0, 0, 0), plain(255, 255, 255)])
        assert (raised.value.stage, raised.value.error) == ("score", "model_failed")
        (scores,) = await classifier.score([plain(0, 0, 0)])
        assert scores["green"].score == 0


async def test_a_failure_is_told_after_every_picture_is_through(tmp_path: Path) -> None:
    """Nothing of a segment that failed goes on in the background: its pictures would be held beyond its outcome."""
    wrong = np.zeros((1, 1, 3), np.uint8)
    with closing(load(write_folder(tmp_path), threads=1)) as classifier:
        with pytest.raises(SegmentError):
            await classifier.score([wrong, *[plain(0, 0, 0)] * 1000])
        assert classifier._threads._queue.empty()


async def test_a_closed_classifier_takes_nothing_more(tmp_path: Path) -> None:
    """It says so instead of waiting for ever."""
    classifier = load(write_folder(tmp_path), threads=1)
    classifier.close()
    with pytest.raises(RuntimeError, match="shutdown"):
        await classifier.score([plain(0, 0, 0)])

"""Batches: pictures of any segments in one run, and nobody's score or failure is another's."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.models import SIDE, examples, means, onnx, weighted, write_folder

from worker.errors import SegmentError, Stopped
from worker.records import Score
from worker.scoring.batches import Batches
from worker.scoring.folder import read
from worker.scoring.session import Classifier, load
from worker.settings.tree import Scoring

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from worker.records import FrameScore, Picture

LONG_S = 3600.0
"""Longer than any test: what comes back did not wait for it."""


def numbered(number: int) -> Picture:
    """A picture that a ``Runs`` knows again."""
    return np.full((1, 1, 3), number, np.uint16).view(np.uint8)


class Runs:
    """Scores a picture with its own number, and keeps what ran together; fails batches that hold a number."""

    def __init__(self, error: Exception | None = None, among: int = -1) -> None:
        self.batches: list[list[int]] = []
        self.at_once = self.most_at_once = 0
        self._error, self._among = error, among

    async def __call__(self, pictures: Sequence[Picture]) -> Sequence[FrameScore]:
        numbers = [int(picture.view(np.uint16)[0, 0, 0]) for picture in pictures]
        self.batches.append(numbers)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            for _ in range(3):
                await asyncio.sleep(0)
        finally:  # a run whose pictures were all given up is cancelled
            self.at_once -= 1
        if self._error is not None and self._among in numbers:
            raise self._error
        return [{"it": Score(score=number, probability=number)} for number in numbers]


def joined(runs: Runs, *, most: int, turns: int = 1, wait_s: float = LONG_S) -> Batches:
    """Batches of what ``runs`` runs."""
    return Batches(runs, asyncio.Semaphore(turns), most=most, wait_s=wait_s)


async def test_pictures_that_come_together_share_a_run() -> None:
    """A full one does not wait, whatever it might."""
    runs = Runs()
    batches = joined(runs, most=4)
    await asyncio.gather(*(batches.join(numbered(number)) for number in range(8)))
    assert runs.batches == [[0, 1, 2, 3], [4, 5, 6, 7]]


async def test_a_picture_alone_waits_no_longer_than_it_may() -> None:
    """Nobody else comes, and it is scored by itself."""
    runs = Runs()
    score = await joined(runs, most=4, wait_s=0.01).join(numbered(7))
    assert score == {"it": Score(score=7, probability=7)}
    assert runs.batches == [[7]]


async def test_pictures_that_come_while_all_turns_are_taken_share_the_next_run() -> None:
    """The wait for a turn fills batches by itself, even where none may wait for others."""
    turns, runs = asyncio.Semaphore(1), Runs()
    batches = Batches(runs, turns, most=8, wait_s=0.0)
    await turns.acquire()
    waiting = [asyncio.create_task(batches.join(numbered(number))) for number in range(5)]
    await asyncio.wait(waiting, timeout=0.02)
    turns.release()
    await asyncio.gather(*waiting)
    assert runs.batches == [[0, 1, 2, 3, 4]]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_each_picture_gets_its_own_score_whoever_shares_its_run(data: st.DataObject) -> None:
    """However they come, some given up on the way: no run is too large, none is scored twice, none is forgotten."""
    most, turns = data.draw(st.integers(2, 5)), data.draw(st.integers(1, 3))
    pauses = data.draw(st.lists(st.integers(0, 6), max_size=30))
    dropped = data.draw(st.sets(st.integers(0, 29)))
    runs = Runs()

    async def come() -> list[Any]:
        batches = joined(runs, most=most, turns=turns, wait_s=0.001)
        tasks = []
        for number, pause in enumerate(pauses):
            tasks.append(asyncio.create_task(batches.join(numbered(number))))
            for _ in range(pause):
                await asyncio.sleep(0)
            if number in dropped:
                tasks[number].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    answers = asyncio.run(come())
    ran = [number for batch in runs.batches for number in batch]
    assert len(ran) == len(set(ran))
    assert all(len(batch) <= most for batch in runs.batches)
    assert runs.most_at_once <= turns
    for number, answer in enumerate(answers):
        if number not in dropped:
            assert answer["it"].score == number
            assert number in ran


async def test_a_segment_that_was_given_up_takes_no_room_in_a_run() -> None:
    """Its pictures are not run; those of others move up."""
    runs = Runs()
    batches = joined(runs, most=2)
    gone = asyncio.create_task(batches.join(numbered(1)))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(*(batches.join(numbered(number)) for number in (2, 3)))
    assert runs.batches == [[2, 3]]


async def test_a_batch_that_failed_is_nobodys_failure() -> None:
    """Each of its pictures is told to be scored alone; the next batch isn't touched."""
    batches = joined(Runs(SegmentError("score", "model_failed", "it"), among=1), most=2)
    answers = await asyncio.gather(*(batches.join(numbered(number)) for number in range(4)))
    assert answers[:2] == [None, None]
    assert all(answer is not None for answer in answers[2:])


async def test_what_ends_the_worker_reaches_everybody_in_the_batch() -> None:
    """It is not the pictures' failure."""
    batches = joined(Runs(Stopped("blind"), among=1), most=2)
    answers = await asyncio.gather(*(batches.join(numbered(number)) for number in (0, 1)), return_exceptions=True)
    assert [str(answer) for answer in answers] == ["blind", "blind"]


# --- with a graph ---


def of_each_other() -> bytes:
    """A graph whose answer is the mean over the batch: right for one picture, wrong for two."""
    body = onnx.helper.make_graph(
        [
            onnx.helper.make_node("ReduceMean", ["x"], ["each"], axes=[2, 3], keepdims=0),
            onnx.helper.make_node("ReduceMean", ["each"], ["all"], axes=[0], keepdims=1),
            onnx.helper.make_node("Sub", ["each", "each"], ["zero"]),
            onnx.helper.make_node("Add", ["all", "zero"], ["y"]),
        ],
        "of_each_other",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["batch", 3])],
    )
    made: Any = onnx.helper.make_model(body, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    return bytes(made.SerializeToString())


async def test_segments_scored_at_the_same_time_get_what_each_gets_alone(tmp_path: Path) -> None:
    """24 segments of one to three pictures, on two threads, in batches of 4."""
    random = np.random.default_rng(5)
    segments = [list(random.integers(0, 256, (1 + n % 3, SIDE, SIDE, 3), dtype=np.uint8)) for n in range(24)]
    with closing(load(write_folder(tmp_path), threads=2, limits=Scoring(batch=4))) as classifier:
        assert classifier.running.batch == 4
        scored = await asyncio.gather(*map(classifier.score, segments))
        for pictures, scores in zip(segments, scored, strict=True):
            for picture, score in zip(pictures, scores, strict=True):
                alone = classifier.score_one(picture)
                assert {label: one.score for label, one in score.items()} == pytest.approx(
                    {label: one.score for label, one in alone.items()}, abs=1e-6
                )


async def test_one_picture_that_fails_fails_no_other_in_its_batch(tmp_path: Path) -> None:
    """Infinity for white, in a run with black ones of other segments: they are scored, it is model_failed."""
    black, white = (np.full((SIDE, SIDE, 3), level, np.uint8) for level in (0, 255))
    packed = examples(inputs=np.zeros((1, 3, SIDE, SIDE), np.float32), outputs=np.zeros((1, 3), np.float32))
    folder = write_folder(tmp_path, data=weighted(3e38).SerializeToString(), packed=packed)
    with closing(Classifier(read(folder, Scoring(batch=4)), threads=1, batch_wait_s=LONG_S)) as classifier:
        segments = [[white], [black], [black], [black]]
        failed, *others = await asyncio.gather(*map(classifier.score, segments), return_exceptions=True)
    assert isinstance(failed, SegmentError)
    assert (failed.error, failed.reason) == ("model_failed", "the model gave NaN or infinity")
    assert [answer[0]["green"].score for answer in others if isinstance(answer, tuple)] == [0, 0, 0]


async def test_a_picture_of_another_kind_never_enters_a_batch(tmp_path: Path) -> None:
    """It fails at once, before it could hold others up or wait for them."""
    model = read(write_folder(tmp_path), Scoring(batch=4))
    with (
        closing(Classifier(model, threads=1, batch_wait_s=LONG_S)) as classifier,
        pytest.raises(SegmentError, match="the model takes"),
    ):
        await asyncio.wait_for(classifier.score([np.zeros((1, 1, 3), np.uint8)]), timeout=5.0)


def test_a_graph_that_mixes_its_pictures_is_run_one_by_one(tmp_path: Path) -> None:
    """The examples are run as batches at load: what differs from alone is never joined, and it is told."""
    folder = write_folder(tmp_path, data=of_each_other())
    assert read(folder).running.notes == ()
    running = read(folder, Scoring(batch=8)).running
    assert running.batch == 1
    (note,) = running.notes
    assert note.startswith("scoring.batch is 8, but pictures run one by one: 2 examples in one run differ by 0.")


def test_a_graph_for_one_picture_is_run_one_by_one(tmp_path: Path) -> None:
    """Its batch dimension says so."""
    folder = write_folder(tmp_path, data=means(shape=(1, 3, SIDE, SIDE), gives=(1, 3)).SerializeToString())
    running = read(folder, Scoring(batch=8)).running
    assert running.batch == 1
    assert running.notes[0].endswith("the graph takes 1x3x4x4 and gives 1x3: its batch dimension is not free")


def test_without_batches_nothing_is_joined(tmp_path: Path) -> None:
    """The usual way has no part in any of this."""
    with closing(load(write_folder(tmp_path), threads=1)) as classifier:
        assert classifier._batches is None

"""A model that does not come back: one segment's failure at first, the worker's end when it goes on so."""

from __future__ import annotations

import asyncio
import gc
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from support.models import SIDE, examples, onnx, write_folder

from worker.errors import SegmentError, Stopped
from worker.scoring.folder import read
from worker.scoring.session import MOST_OVERRUNS, Classifier
from worker.settings.tree import Scoring

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

make, kinds = onnx.helper, onnx.TensorProto
MIB = 1024 * 1024
BLACK, WHITE = (np.full((SIDE, SIDE, 3), level, np.uint8) for level in (0, 255))


def rounds() -> list[Any]:
    """A loop of as many rounds as the picture is bright: none for black, for ever for white."""
    body = make.make_graph(
        [make.make_node("Identity", ["go"], ["on"]), make.make_node("Identity", ["v"], ["w"])],
        "body",
        [
            make.make_tensor_value_info("round", kinds.INT64, []),
            make.make_tensor_value_info("go", kinds.BOOL, []),
            make.make_tensor_value_info("v", kinds.FLOAT, None),
        ],
        [make.make_tensor_value_info("on", kinds.BOOL, []), make.make_tensor_value_info("w", kinds.FLOAT, None)],
    )
    return [make.make_node("Loop", ["count", "yes", "means"], ["y"], body=body)]


def square() -> list[Any]:
    """One product of matrices as large as the picture is bright: a single node, which nothing interrupts."""
    return [
        make.make_node("Concat", ["row", "row"], ["shape"], axis=0),
        make.make_node("ConstantOfShape", ["shape"], ["zeros"]),
        make.make_node("MatMul", ["zeros", "zeros"], ["product"]),
        make.make_node("ReduceSum", ["product"], ["total"], keepdims=0),
        make.make_node("Add", ["means", "total"], ["y"]),
    ]


def bright(tail: list[Any], *, most: float) -> bytes:
    """The means, after ``tail`` had its way with ``count`` (a number) and ``row`` (the same in one dimension)."""
    weights = {"most": np.float32(most), "yes": np.array(True), "axis": np.array([0], np.int64)}
    body = make.make_graph(
        [
            make.make_node("ReduceMean", ["x"], ["means"], axes=[2, 3], keepdims=0),
            make.make_node("ReduceMax", ["x"], ["level"], keepdims=0),
            make.make_node("Mul", ["level", "most"], ["scaled"]),
            make.make_node("Cast", ["scaled"], ["count"], to=kinds.INT64),
            make.make_node("Unsqueeze", ["count", "axis"], ["row"]),
            *tail,
        ],
        "bright",
        [make.make_tensor_value_info("x", kinds.FLOAT, ["batch", 3, SIDE, SIDE])],
        [make.make_tensor_value_info("y", kinds.FLOAT, ["batch", 3])],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    return make.make_model(body, opset_imports=[make.make_opsetid("", 13)], ir_version=8).SerializeToString()


@contextmanager
def classifier(folder: Path, tail: list[Any], *, most: float, batch: int = 1, **limits: Any) -> Iterator[Classifier]:
    """A classifier that is right on its examples, which are black."""
    black = np.zeros((1, 3, SIDE, SIDE), np.float32)
    packed = examples(inputs=black, outputs=np.zeros((1, 3), np.float32))
    settings = Scoring(memory_bytes=1024 * MIB, batch=batch)
    model = read(write_folder(folder, data=bright(tail, most=most), packed=packed), settings)
    made = Classifier(model, threads=1, **limits)
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("batch", [1, 2])
async def test_a_segment_that_is_given_up_while_it_is_scored_leaves_no_complaint(tmp_path: Path, batch: int) -> None:
    """Its run is ended, and asyncio finds no error that nobody took note of."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    with classifier(tmp_path, rounds(), most=9e18, deadline_s=60.0, batch=batch) as made:
        given_up = asyncio.create_task(made.score([WHITE] * batch))
        done, _ = await asyncio.wait({given_up}, timeout=0.2)
        assert not done
        given_up.cancel()
        await asyncio.wait({given_up})
        await asyncio.wait_for(made.score([BLACK]), timeout=10.0)  # in the only thread: it is free again
        for _ in range(3):  # the loop lets go of what it has handled last
            await asyncio.sleep(0)
        del given_up
        gc.collect()
    assert complaints == []


async def test_a_picture_that_takes_too_long_fails_its_segment_alone(tmp_path: Path) -> None:
    """The run is ended at the deadline, the rest of the segment is not run, the next segment is scored."""
    with classifier(tmp_path, rounds(), most=9e18, deadline_s=0.3) as made:
        began = time.monotonic()
        with pytest.raises(SegmentError, match=r"more than 0\.3 s for a picture \(scoring\.deadline_s\)") as raised:
            await made.score([WHITE] * 20)
        assert time.monotonic() - began < 2.0
        assert (raised.value.stage, raised.value.error) == ("score", "model_failed")
        assert len(await made.score([BLACK])) == 1


async def test_a_picture_that_takes_too_long_in_a_batch_fails_its_segment_alone(tmp_path: Path) -> None:
    """The batch is ended at the deadline, and each of its pictures has its own afterwards."""
    with classifier(tmp_path, rounds(), most=9e18, batch=4, deadline_s=0.3, batch_wait_s=60.0) as made:
        segments = [[WHITE, BLACK], [BLACK], [BLACK]]
        slow, *others = await asyncio.gather(*map(made.score, segments), return_exceptions=True)
    assert isinstance(slow, SegmentError)
    assert "scoring.deadline_s" in slow.reason
    assert [len(scores) for scores in others if not isinstance(scores, BaseException)] == [1, 1]


async def test_a_batch_that_nothing_ends_stops_the_worker_at_once(tmp_path: Path) -> None:
    """Every segment that has a picture in it is told so; none is tried again."""
    with classifier(tmp_path, square(), most=6000, batch=2, deadline_s=0.3, stops_within_s=0.2) as made:
        answers = await asyncio.gather(made.score([WHITE]), made.score([BLACK]), return_exceptions=True)
    assert [type(answer) for answer in answers] == [Stopped, Stopped]


async def test_overruns_in_a_row_end_the_worker(tmp_path: Path) -> None:
    """One that was scored in between begins the count anew; without one, nobody is watching any more."""
    with classifier(tmp_path, rounds(), most=9e18, deadline_s=0.15) as made:
        for _ in range(2):
            for _ in range(MOST_OVERRUNS - 1):
                with pytest.raises(SegmentError):
                    await made.score([WHITE])
            await made.score([BLACK])
        for _ in range(MOST_OVERRUNS - 1):
            with pytest.raises(SegmentError):
                await made.score([WHITE])
        with pytest.raises(Stopped, match=f"{MOST_OVERRUNS} segments in a row: nothing is scored any more"):
            await made.score([WHITE])


async def test_a_run_that_nothing_ends_stops_the_worker_at_once(tmp_path: Path) -> None:
    """Its thread is lost; the end of the worker does not wait for it."""
    with classifier(tmp_path, square(), most=6000, deadline_s=0.3, stops_within_s=0.2) as made:
        began = time.monotonic()
        with pytest.raises(Stopped, match=r"could not be ended: give another scoring\.model"):
            await made.score([WHITE])
        assert time.monotonic() - began < 2.0


async def test_a_run_that_takes_too_much_memory_fails_its_segment_alone(tmp_path: Path) -> None:
    """The worker's memory is not the model's to take."""
    with classifier(tmp_path, square(), most=30_000) as made:
        with pytest.raises(SegmentError, match="the model failed") as raised:
            await made.score([WHITE])
        assert (raised.value.stage, raised.value.error) == ("score", "model_failed")
        assert len(await made.score([BLACK])) == 1

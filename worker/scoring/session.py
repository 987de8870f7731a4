"""The classifier in threads: pictures to calibrated probabilities, without blocking the event loop."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from worker.cores import cores
from worker.errors import SegmentError, UsageError
from worker.scoring.calibration import interpret
from worker.scoring.folder import Model, read
from worker.scoring.preparation import prepare

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from worker.records import FrameScore, ModelRef, Picture, View


class Classifier:
    """A checked model, ready to score; each picture runs in one thread, ``threads`` of them at once."""

    def __init__(self, model: Model, *, threads: int) -> None:
        """Starts no thread yet.

        Args:
            model: A model folder in which nothing is wrong.
            threads: How many pictures are scored at once. 0: one for each core that this process may use.
        """
        self._model = model
        self._taken = model.manifest.input
        self._threads = ThreadPoolExecutor(threads or cores(), thread_name_prefix="scoring")

    @property
    def view(self) -> View:
        """How the decoder shall show pictures."""
        return self._taken.view

    @property
    def ref(self) -> ModelRef:
        """Which model it is: name, version and digest."""
        return self._model.ref

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels, in the order of the graph's numbers."""
        return self._model.manifest.output.labels

    @property
    def harmless(self) -> frozenset[str]:
        """Labels that never count."""
        return self._model.manifest.output.harmless

    async def score(self, pictures: Sequence[Picture]) -> tuple[FrameScore, ...]:
        """Scores pictures, each by itself: batches gain nothing on a CPU.

        Args:
            pictures: RGB, uint8, (view.height, view.width, 3).

        Returns:
            Scores and probabilities of every label, in the order of the pictures.

        Raises:
            SegmentError: ``score/model_failed``, the first picture's that failed, after all are through.
        """
        loop = asyncio.get_running_loop()
        runs = [loop.run_in_executor(self._threads, self.score_one, picture) for picture in pictures]
        answers = await asyncio.gather(*runs, return_exceptions=True)
        scores = []
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
            scores.append(answer)
        return tuple(scores)

    def score_one(self, picture: Picture) -> FrameScore:
        """Scores one picture in the calling thread.

        Args:
            picture: RGB, uint8, (view.height, view.width, 3).

        Raises:
            SegmentError: ``score/model_failed``: the picture is not as the model takes it, the graph failed, or what
                it gave are no scores.
        """
        if picture.dtype != np.uint8 or picture.shape != (*self._taken.size, 3):
            raise _failed(f"the picture is {picture.dtype} {picture.shape}, the model takes {self._taken.size}")
        numbers = self._model.graph.run(prepare(picture, self._taken))
        try:
            return interpret(numbers[0], self._model.manifest)
        except ValueError as error:
            raise _failed(f"the model's answer is no score: {error}") from error

    def close(self) -> None:
        """Ends the threads after what they are at; what still waits is cancelled."""
        self._threads.shutdown(wait=True, cancel_futures=True)


def load(folder: Path, *, threads: int) -> Classifier:
    """Loads a model folder, checked whole.

    Args:
        folder: As the contract has it ("A model folder").
        threads: How many pictures are scored at once. 0: one for each core that this process may use.

    Raises:
        UsageError: All mistakes in the folder, a line each, with the file and the line to change.
    """
    if threads < 0:
        raise UsageError(f"scoring.threads must be at least 0, not {threads}")
    return Classifier(read(folder), threads=threads)


def _failed(reason: str) -> SegmentError:
    return SegmentError("score", "model_failed", reason)

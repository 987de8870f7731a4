"""The classifier in threads: pictures to calibrated probabilities, without blocking the event loop."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from worker.cores import cores
from worker.errors import SegmentError, Stopped, UsageError
from worker.scoring.batches import Batches
from worker.scoring.calibration import interpret
from worker.scoring.folder import Model, read
from worker.scoring.graph import Brake
from worker.scoring.preparation import prepare_all
from worker.scoring.providers import USUAL
from worker.scoring.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from worker.records import FrameScore, ModelRef, Picture, View
    from worker.scoring.providers import Running
    from worker.settings.tree import Scoring

MOST_OVERRUNS = 8
"""After so many segments in a row that overran the deadline, none in between scored, the worker ends: it is blind."""
STOPS_WITHIN_S = 5.0
"""How long a run that was told to end may take for it. Longer: it is inside one endless node, its thread is lost."""
CLOSES_WITHIN_S = 1.0
T = TypeVar("T")


class Overrun(SegmentError):
    """A run took longer than the deadline; it has ended."""


class Classifier:
    """A checked model, ready to score; each run is in one thread, ``threads`` of them at once.

    A run is one picture, or up to the model's ``running.batch`` of them, of any segments that are scored at that time.
    """

    def __init__(
        self,
        model: Model,
        *,
        threads: int,
        deadline_s: float = USUAL.deadline_s,
        stops_within_s: float = STOPS_WITHIN_S,
        batch_wait_s: float = USUAL.batch_wait_ms / 1000,
    ) -> None:
        """Starts the threads.

        Args:
            model: A model folder in which nothing is wrong.
            threads: How many runs are at once. 0: one for each core that this process may use.
            deadline_s: How long one run may take.
            stops_within_s: How long a run that was told to end may take for it.
            batch_wait_s: How long a picture may wait for others to share its run.
        """
        self._model = model
        self._taken = model.manifest.input
        self._deadline_s = deadline_s
        self._stops_within_s = stops_within_s
        self._overruns = 0
        self._threads = Threads(threads or cores())
        self._turns = asyncio.Semaphore(threads or cores())
        self._batches = None
        if model.running.batch > 1:
            self._batches = Batches(self._run_batch, self._turns, most=model.running.batch, wait_s=batch_wait_s)

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

    @property
    def running(self) -> Running:
        """How the model runs here, beside how it was wanted."""
        return self._model.running

    async def score(self, pictures: Sequence[Picture]) -> tuple[FrameScore, ...]:
        """Scores pictures: each by itself, since batches gain nothing on a CPU, or in ``Batches``.

        Args:
            pictures: RGB, uint8, (view.height, view.width, 3).

        Returns:
            Scores and probabilities of every label, in the order of the pictures.

        Raises:
            SegmentError: ``score/model_failed``, the first picture's that failed, after all are through. After one
                that overran the deadline the others are not run.
            Stopped: A run can't be ended, or ``MOST_OVERRUNS`` segments in a row overran.
        """
        overrun = asyncio.Event()
        turn = self._turn if self._batches is None else self._joined
        runs = (turn(picture, overrun) for picture in pictures)
        answers = await asyncio.gather(*runs, return_exceptions=True)
        failures = [answer for answer in answers if isinstance(answer, BaseException)]
        if failures:
            raise self._worst(failures)
        if answers:
            self._overruns = 0
        return tuple(answer for answer in answers if not isinstance(answer, BaseException))

    async def _turn(self, picture: Picture, overrun: asyncio.Event) -> FrameScore:
        async with self._turns:
            if overrun.is_set():
                raise _failed("not run: another picture of its segment overran the deadline")
            try:
                return await self._run(partial(self.score_one, picture))
            except (Overrun, Stopped):
                overrun.set()
                raise

    async def _joined(self, picture: Picture, overrun: asyncio.Event) -> FrameScore:
        """A picture in a batch; alone, as without batches, where that fails."""
        assert self._batches is not None  # noqa: S101 - for the type checker: score() has looked
        self._see_that_it_fits(picture)
        score = await self._batches.join(picture)
        return await self._turn(picture, overrun) if score is None else score

    async def _run_batch(self, pictures: Sequence[Picture]) -> Sequence[FrameScore]:
        return await self._run(partial(self._score_all, pictures))

    async def _run(self, work: Callable[[Brake], T]) -> T:
        """One run in a thread. The deadline counts from here: whoever has a turn has a thread."""
        brake = Brake()
        answer = self._threads.run(partial(work, brake))
        try:
            await asyncio.wait({answer}, timeout=self._deadline_s)
            if answer.done():
                return answer.result()
        finally:
            brake.pull()
            answer.add_done_callback(_taken_note_of)  # who waited may have been cancelled
        await asyncio.wait({answer}, timeout=self._stops_within_s)
        took = f"the model took more than {self._deadline_s:g} s for a picture (scoring.deadline_s)"
        if not answer.done():
            raise Stopped(f"{took}, and could not be ended: give another scoring.model")
        raise Overrun("score", "model_failed", took)

    def _worst(self, failures: Sequence[BaseException]) -> BaseException:
        """What a segment's failures amount to; counts the overruns."""
        worst = min(failures, key=lambda failure: (not isinstance(failure, Stopped), not isinstance(failure, Overrun)))
        if isinstance(worst, Overrun):
            self._overruns += 1
            if self._overruns >= MOST_OVERRUNS:
                return Stopped(f"{worst.reason}, {self._overruns} segments in a row: nothing is scored any more")
        return worst

    def score_one(self, picture: Picture, brake: Brake | None = None) -> FrameScore:
        """Scores one picture in the calling thread.

        Args:
            picture: RGB, uint8, (view.height, view.width, 3).
            brake: What may end the run.

        Raises:
            SegmentError: ``score/model_failed``: the picture is not as the model takes it, the graph failed, or what
                it gave are no scores.
        """
        self._see_that_it_fits(picture)
        return self._score_all([picture], brake)[0]

    def _see_that_it_fits(self, picture: Picture) -> None:
        if picture.dtype != np.uint8 or picture.shape != (*self._taken.size, 3):
            raise _failed(f"the picture is {picture.dtype} {picture.shape}, the model takes {self._taken.size}")

    def _score_all(self, pictures: Sequence[Picture], brake: Brake | None) -> list[FrameScore]:
        """Scores pictures that fit in one run, in the calling thread."""
        numbers = self._model.graph.run(prepare_all(pictures, self._taken), brake)
        try:
            return [interpret(row, self._model.manifest) for row in numbers]
        except ValueError as error:
            raise _failed(f"the model's answer is no score: {error}") from error

    def close(self) -> None:
        """Ends the threads after what they are at; one that does not come back is left behind."""
        self._threads.close(CLOSES_WITHIN_S)


def load(folder: Path, *, threads: int, limits: Scoring = USUAL) -> Classifier:
    """Loads a model folder, checked whole.

    Args:
        folder: As the contract has it ("A model folder").
        threads: How many pictures are scored at once. 0: one for each core that this process may use.
        limits: How long loading and a picture may take, and how much memory; its folder and threads don't count.

    Raises:
        UsageError: All mistakes in the folder, a line each, with the file and the line to change.
    """
    if threads < 0:
        raise UsageError(f"scoring.threads must be at least 0, not {threads}")
    wait_s = limits.batch_wait_ms / 1000
    return Classifier(read(folder, limits), threads=threads, deadline_s=limits.deadline_s, batch_wait_s=wait_s)


def _failed(reason: str) -> SegmentError:
    return SegmentError("score", "model_failed", reason)


def _taken_note_of(answer: asyncio.Future[Any]) -> None:
    """That a run was ended is no news; asyncio would call it forgotten."""
    if not answer.cancelled():
        answer.exception()

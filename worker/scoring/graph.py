"""The graph: onnxruntime's session over verified bytes, one thread a run. The one place that knows onnxruntime."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime

from worker.errors import SegmentError, UsageError
from worker.scoring.mistakes import one_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

FILE = "model.onnx"
PROVIDERS = ("CPUExecutionProvider",)
_NOWHERE = "/dev/null"
"""A file where onnxruntime wants a folder for external data, so that nothing can lie below it."""
_QUIET = 4
"""onnxruntime's log level "fatal": what is wrong comes as an exception, and nobody else writes to standard error."""
FLOAT32 = "tensor(float)"


@dataclass(frozen=True, slots=True)
class Port:
    """The graph's input or output.

    Attributes:
        name: As the graph has it.
        kind: onnxruntime's name of the type, ``tensor(float)`` for float32.
        shape: A number a dimension; None where it is free.
    """

    name: str
    kind: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        return "x".join("N" if side is None else str(side) for side in self.shape) or "a single number"


class Graph:
    """A graph with one input and one output; ``run`` may be called from several threads at once.

    One session serves all threads: on two cores it was as quick as a session for each (12.5-14.0 against
    12.4-12.7 ms a picture, OpenNSFW), and it keeps the weights once.
    """

    def __init__(self, data: bytes) -> None:
        """Opens a graph from the bytes of a model.onnx.

        Args:
            data: The whole file, already verified; nothing else is read from anywhere.

        Raises:
            UsageError: It is no ONNX, needs a custom operator or external data, or has not one input and one output.
        """
        try:
            self._session = onnxruntime.InferenceSession(data, _options(), providers=list(PROVIDERS))
        except Exception as error:  # onnxruntime's errors have no common base
            raise UsageError(_why_refused(str(error))) from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1:
            raise UsageError(
                f"the graph has {len(inputs)} inputs and {len(outputs)} outputs, it must have one of each: "
                "cut it with onnx.utils.extract_model"
            )
        self.input = _port(inputs[0])
        self.output = _port(outputs[0])
        self.provider: str = self._session.get_providers()[0]

    def run(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Runs the graph on a batch of one.

        Args:
            x: The graph's input, float32, batch dimension 1.

        Returns:
            The graph's numbers, float32, (1, labels), all finite.

        Raises:
            SegmentError: ``score/model_failed``: the graph failed, or gave something that is not finite numbers.
        """
        try:
            (numbers,) = self._session.run([self.output.name], {self.input.name: x})
        except Exception as error:  # onnxruntime's errors have no common base
            raise SegmentError("score", "model_failed", f"the model failed: {one_line(str(error), 200)}") from error
        if not isinstance(numbers, np.ndarray) or numbers.dtype != np.float32 or numbers.ndim != 2 or len(numbers) != 1:  # noqa: PLR2004 - batch and labels
            raise SegmentError("score", "model_failed", f"the model gave {_what(numbers)}, not 1xN float32")
        if not np.isfinite(numbers).all():
            raise SegmentError("score", "model_failed", "the model gave NaN or infinity")
        return numbers


def _options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = _QUIET
    # A graph opened from bytes reads external data from the working directory: bytes that no digest covers.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", _NOWHERE)
    return options


def _why_refused(message: str) -> str:
    if "xternal data" in message or "model_path must not be empty" in message:
        return 'keeps weights in another file: save it as one file (onnx.save(model, "model.onnx"))'
    if "not a registered" in message or "No Op registered" in message:
        return f"needs an operator that onnxruntime does not have; custom operators aren't loaded ({one_line(message)})"
    return f"is not a graph that onnxruntime can open ({one_line(message)})"


def _port(argument: onnxruntime.NodeArg) -> Port:
    shape = tuple(side if isinstance(side, int) and side > 0 else None for side in argument.shape or ())
    return Port(argument.name, argument.type, shape)


def _what(numbers: object) -> str:
    return f"{numbers.dtype} {numbers.shape}" if isinstance(numbers, np.ndarray) else type(numbers).__name__

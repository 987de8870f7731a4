"""The graph: onnxruntime's session over verified bytes, one thread a run. The one place that knows onnxruntime."""

from __future__ import annotations

import io
import os
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

# From 1.29 on onnxruntime tells its maker of every model that it opens (names, digests, the machine's id); it looks at
# this when it is imported, and never again (microsoft/onnxruntime#27379).
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime

from worker.errors import SegmentError, UsageError
from worker.scoring.mistakes import one_line
from worker.scoring.providers import ONNXRUNTIMES, Engine, installed, options

if TYPE_CHECKING:
    from numpy.typing import NDArray

FILE = "model.onnx"
_NOWHERE = "/dev/null"
"""A file where onnxruntime wants a folder for external data, so that nothing can lie below it."""
_QUIET = 4
"""onnxruntime's log level "fatal": what is wrong comes as an exception, and nobody else writes to standard error."""
FLOAT32 = "tensor(float)"
_ELSEWHERE = (
    "xternal data",
    "external TensorProto",
    "model_path must not be empty",
    _NOWHERE,  # in the paths that onnxruntime 1.24 tells of
    "in-memory",
)
"""In onnxruntime's words where a graph says that weights lie elsewhere: in a file, or at an address of the process."""
_USUAL = Engine()
_TOO_LARGE = ("bad_alloc", "Failed to allocate memory", "Available memory of")


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


class Brake:
    """Ends a run from another thread: between two nodes and in loops, not within one node."""

    def __init__(self) -> None:
        """A brake for one run."""
        self.options = onnxruntime.RunOptions()
        self.options.log_severity_level = _QUIET

    def pull(self) -> None:
        """End the run; it raises."""
        self.options.terminate = True


class Graph:
    """A graph with one input and one output; ``run`` may be called from several threads at once.

    One session serves all threads: on two cores it was as quick as a session for each (12.5-14.0 against
    12.4-12.7 ms a picture, OpenNSFW), and it keeps the weights once.
    """

    def __init__(self, data: bytes, engine: Engine = _USUAL) -> None:
        """Opens a graph from the bytes of a model.onnx.

        Args:
            data: The whole file, already verified; nothing else is read from anywhere.
            engine: Where and how it shall run. A run that needs more than its memory fails; what onnxruntime takes
                while it opens a graph isn't counted, nor what OpenVINO takes by itself.

        Raises:
            UsageError: It is no ONNX, needs a custom operator or external data, or has not one input and one output;
                or the provider isn't there, or runs nothing of it.
        """
        _bound_memory(engine.memory_bytes)
        self._session = _session(data, engine)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1:
            raise UsageError(
                f"the graph has {len(inputs)} inputs and {len(outputs)} outputs, it must have one of each: "
                "cut it with onnx.utils.extract_model"
            )
        self.input = _port(inputs[0])
        self.output = _port(outputs[0])
        self.provider: str = self._session.get_providers()[0]
        self.batches = self.input.shape[:1] == (None,) == self.output.shape[:1]
        """Whether several pictures may go into one run."""

    def run(self, x: NDArray[np.float32], brake: Brake | None = None) -> NDArray[np.float32]:
        """Runs the graph.

        Args:
            x: The graph's input, float32, the batch first: 1, or any where the graph ``batches``.
            brake: What may end the run.

        Returns:
            The graph's numbers, float32, (batch, labels), all finite.

        Raises:
            SegmentError: ``score/model_failed``: the graph failed, or gave something that is not finite numbers.
        """
        try:
            (numbers,) = self._session.run([self.output.name], {self.input.name: x}, (brake or Brake()).options)
        except Exception as error:  # onnxruntime's errors have no common base
            raise SegmentError("score", "model_failed", f"the model failed: {one_line(str(error), 200)}") from error
        if not (isinstance(numbers, np.ndarray) and numbers.dtype == np.float32 and _rows(numbers) == len(x)):
            raise SegmentError("score", "model_failed", f"the model gave {_what(numbers)}, not {len(x)}xN float32")
        if not np.isfinite(numbers).all():
            raise SegmentError("score", "model_failed", "the model gave NaN or infinity")
        return numbers


def _session(data: bytes, engine: Engine) -> onnxruntime.InferenceSession:
    name = ONNXRUNTIMES[engine.provider]
    if name not in onnxruntime.get_available_providers():
        here = " and ".join(installed()) or "the onnxruntime that is here"
        where = "docs/classifiers.md, Execution providers"
        raise UsageError(f"can't run on {engine.provider}: {here} has no {name} ({where})")
    if engine.provider == "cuda":
        with redirect_stdout(io.StringIO()):  # it prints what it can't find; the session then says it, too
            onnxruntime.preload_dlls()
    asked = [(name, options(engine))]
    try:
        # Else a provider that fails, at the start or at a run, is told of on standard output and replaced by the CPU.
        session = onnxruntime.InferenceSession(data, _options(engine), providers=asked, enable_fallback=0)
    except Exception as error:  # onnxruntime's errors have no common base
        raise UsageError(_why_refused(str(error))) from error
    if engine.provider != "cpu" and not _takes_part(session, name):
        raise UsageError(f"can't run on {engine.provider}: it takes none of the graph's nodes, or could not be loaded")
    return session


def _takes_part(session: onnxruntime.InferenceSession, name: str) -> bool:
    """Whether a provider runs any node: one whose libraries are missing is left out without a word."""
    parts = session.get_provider_graph_assignment_info()
    return name in session.get_providers() and any(part.ep_name == name for part in parts)


def _options(engine: Engine) -> onnxruntime.SessionOptions:
    said = onnxruntime.SessionOptions()
    said.intra_op_num_threads = 1
    said.inter_op_num_threads = 1
    said.log_severity_level = _QUIET
    # A graph opened from bytes reads external data from the working directory: bytes that no digest covers.
    said.add_session_config_entry("session.model_external_initializers_file_folder_path", _NOWHERE)
    # Else bytes that look like onnxruntime's own format go to another parser.
    said.add_session_config_entry("session.load_model_format", "ONNX")
    said.add_session_config_entry("session.use_env_allocators", "1")
    if engine.provider != "cpu":
        said.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    return said


def _bound_memory(memory_bytes: int) -> None:
    """Gives the sessions that are opened from now on an arena of that size.

    onnxruntime has no limit for the CPU's arena of one session: it is the process's, and the last one given counts.
    """
    kind = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    onnxruntime.create_and_register_allocator(kind, onnxruntime.OrtArenaCfg(memory_bytes, -1, -1, -1))


def _why_refused(message: str) -> str:
    if any(words in message for words in _ELSEWHERE):
        return 'keeps weights in another file: save it as one file (onnx.save(model, "model.onnx"))'
    if "not a registered" in message or "No Op registered" in message:
        return f"needs an operator that onnxruntime does not have; custom operators aren't loaded ({one_line(message)})"
    if any(words in message for words in _TOO_LARGE):
        return f"takes more memory than scoring.memory_bytes allows ({one_line(message)})"
    return f"is not a graph that onnxruntime can open ({one_line(message)})"


def _port(argument: onnxruntime.NodeArg) -> Port:
    shape = tuple(side if isinstance(side, int) and side > 0 else None for side in argument.shape or ())
    return Port(argument.name, argument.type, shape)


def _rows(numbers: NDArray[np.float32]) -> int | None:
    return len(numbers) if numbers.ndim == 2 else None  # noqa: PLR2004 - batch and labels


def _what(numbers: object) -> str:
    return f"{numbers.dtype} {numbers.shape}" if isinstance(numbers, np.ndarray) else type(numbers).__name__

"""examples.npz: inputs with the outputs that a model gave for them where it was packed."""

from __future__ import annotations

import io
import tokenize
import zipfile
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.scoring.mistakes import Mistake, one_line

FILE = "examples.npz"
MAX_EXAMPLES = 256
MAX_UNPACKED_BYTES = 256 * 1024 * 1024
_ARRAYS = ("inputs", "outputs", "tolerance")
_UNREADABLE = (
    *(ValueError, EOFError, OSError, MemoryError, NotImplementedError, RuntimeError, KeyError),
    *(zlib.error, SyntaxError, tokenize.TokenError),
)
"""What numpy and zipfile raise for a file that is damaged, encrypted, pickled or larger than it says."""


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """What a model is held against at load.

    Attributes:
        inputs: As the graph takes them, float32, the batch first.
        outputs: As the graph gave them, float32, (batch, labels).
        tolerance: Largest absolute difference allowed.
    """

    inputs: NDArray[np.float32]
    outputs: NDArray[np.float32]
    tolerance: float

    def packed(self) -> bytes:
        """The bytes of an examples.npz; the same for the same examples."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, inputs=self.inputs, outputs=self.outputs, tolerance=np.float64(self.tolerance))
        return buffer.getvalue()


def read(data: bytes) -> tuple[Examples | None, tuple[Mistake, ...]]:
    """Reads an examples.npz without unpickling, bounded in size.

    Args:
        data: The file's bytes.

    Returns:
        The examples, or None and the mistakes.
    """
    try:
        arrays = _arrays(data)
    except (zipfile.BadZipFile, *_UNREADABLE) as error:
        return None, (Mistake(FILE, None, f"can't be read: {one_line(str(error))}"),)
    mistakes = tuple(Mistake(FILE, None, text) for text in _faults(arrays))
    if mistakes:
        return None, mistakes
    return Examples(arrays["inputs"], arrays["outputs"], float(arrays["tolerance"])), ()


def _arrays(data: bytes) -> dict[str, NDArray[np.float32]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        unpacked_bytes = sum(member.file_size for member in archive.infolist())
    if unpacked_bytes > MAX_UNPACKED_BYTES:
        raise ValueError(f"it unpacks to {unpacked_bytes} bytes, at most {MAX_UNPACKED_BYTES} are read")
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        if set(archive.files) != set(_ARRAYS):
            raise ValueError(f"it must hold {', '.join(_ARRAYS)}, it holds {', '.join(archive.files) or 'nothing'}")
        return {name: archive[name] for name in _ARRAYS}


def _faults(arrays: dict[str, NDArray[np.float32]]) -> list[str]:
    """What is wrong with the arrays by themselves, without the graph."""
    faults = []
    for name in ("inputs", "outputs"):
        array = arrays[name]
        if array.dtype != np.float32 or array.ndim < 1:
            faults.append(f"{name} must be a float32 array, the batch first, not {array.dtype} {array.shape}")
        elif not np.isfinite(array).all():
            faults.append(f"{name} holds NaN or infinity")
    faults += _tolerance_faults(arrays["tolerance"])
    if not faults and len(arrays["inputs"]) != len(arrays["outputs"]):
        faults.append(f"inputs holds {len(arrays['inputs'])} examples, outputs {len(arrays['outputs'])}")
    if not faults and not 1 <= len(arrays["inputs"]) <= MAX_EXAMPLES:
        faults.append(f"it must hold 1 to {MAX_EXAMPLES} examples, it holds {len(arrays['inputs'])}")
    return faults


def _tolerance_faults(tolerance: NDArray[np.float32]) -> list[str]:
    if tolerance.ndim != 0 or tolerance.dtype.kind not in "fiu":
        return [f"tolerance must be one number, not {tolerance.dtype} {tolerance.shape}"]
    if not np.isfinite(tolerance) or tolerance < 0:
        return [f"tolerance must be finite and at least 0, not {float(tolerance)}"]
    return []

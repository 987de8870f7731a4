"""model.toml: what a model folder says of its graph, read and checked by itself."""

from __future__ import annotations

import difflib
import json
import math
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from msgspec import Struct

from worker.records import View
from worker.scoring.mistakes import Mistake, one_line
from worker.toml_lines import KeyPath, line_numbers, line_of

FILE = "model.toml"
MAX_SIDE = 4096
MAX_LABELS = 10_000
MAX_TEXT = 128
MAX_NUMBER = 1e30
"""Far above any use; a huge TOML integer would overflow a float."""

Layout = Literal["NCHW", "NHWC"]
Colour = Literal["RGB", "BGR"]
Fit = Literal["stretch", "crop"]
Activation = Literal["softmax", "sigmoid", "none"]


class Input(Struct, frozen=True, kw_only=True):
    """What the graph takes: x = (pixel - mean) * scale, float32, pixel 0 to 255."""

    layout: Layout
    colour: Colour
    size: tuple[int, int]
    """Height and width, pixels."""
    fit: Fit
    mean: tuple[float, float, float]
    """Per channel, in the order of ``colour``."""
    scale: tuple[float, float, float]
    """Per channel, in the order of ``colour``."""

    @property
    def view(self) -> View:
        """How the decoder shall show pictures to this model."""
        return View(height=self.size[0], width=self.size[1], fit=self.fit)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of one picture as the graph takes it, without the batch dimension."""
        height, width = self.size
        return (3, height, width) if self.layout == "NCHW" else (height, width, 3)


class Output(Struct, frozen=True, kw_only=True):
    """What the graph gives."""

    labels: tuple[str, ...]
    """In the order of the graph's numbers."""
    activation: Activation
    """What makes scores of the graph's numbers."""
    harmless: frozenset[str]
    """Labels that never count."""


class Calibration(Struct, frozen=True, kw_only=True):
    """Platt scaling of one label: probability = sigmoid(slope * logit(score) + intercept)."""

    slope: float
    intercept: float


class Manifest(Struct, frozen=True, kw_only=True):
    """A whole model.toml."""

    name: str
    version: str
    sha256: str
    """Of model.onnx, 64 lower-case hex digits."""
    licence: str
    input: Input
    output: Output
    calibration: dict[str, Calibration] = {}


@dataclass(frozen=True, slots=True)
class ManifestText:
    """A model.toml as read, and what it says where it says so rightly."""

    text: str
    manifest: Manifest | None
    mistakes: tuple[Mistake, ...]

    def mistake(self, path: KeyPath, text: str) -> Mistake:
        """A mistake at the line of that key."""
        return _mistake(path, text, line_numbers(self.text))


@dataclass(frozen=True, slots=True)
class _Rule:
    wanted: str
    holds: Callable[[Any], bool]


_Spec = Mapping[str, Any]
"""Key to rule, or to the spec of a table."""


def _text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_TEXT and value.isprintable()


def _number(value: object) -> bool:
    """A finite number that is not a boolean."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MAX_NUMBER


def _side(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_SIDE


def _list(value: object, holds: Callable[[Any], bool], fewest: int, most: int) -> bool:
    return isinstance(value, list) and fewest <= len(value) <= most and all(map(holds, value))


def _texts(value: object, fewest: int) -> bool:
    return _list(value, _text, fewest, MAX_LABELS) and len(set(value)) == len(value)  # type: ignore[call-overload, arg-type]  # _list said that it is a list


def _one_of(*choices: str) -> _Rule:
    return _Rule(" or ".join(f'"{choice}"' for choice in choices), lambda value: value in choices)


_TEXT = _Rule(f"a text of 1 to {MAX_TEXT} printable characters", _text)
_CALIBRATION: _Spec = {
    "slope": _Rule("a finite number above 0", lambda value: _number(value) and value > 0),
    "intercept": _Rule("a finite number", _number),
}
_SPEC: _Spec = {
    "name": _TEXT,
    "version": _TEXT,
    "sha256": _Rule(
        "the SHA-256 of model.onnx, 64 lower-case hex digits",
        lambda value: isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value) is not None,
    ),
    "licence": _TEXT,
    "input": {
        "layout": _one_of("NCHW", "NHWC"),
        "colour": _one_of("RGB", "BGR"),
        "size": _Rule(f"[height, width], each 1 to {MAX_SIDE}", lambda value: _list(value, _side, 2, 2)),
        "fit": _one_of("stretch", "crop"),
        "mean": _Rule("three finite numbers", lambda value: _list(value, _number, 3, 3)),
        "scale": _Rule(
            "three finite numbers other than 0",
            lambda value: _list(value, lambda one: _number(one) and one != 0, 3, 3),
        ),
    },
    "output": {
        "labels": _Rule("a list of different texts, at least one", lambda value: _texts(value, 1)),
        "activation": _one_of("softmax", "sigmoid", "none"),
        "harmless": _Rule("a list of different texts, may be empty", lambda value: _texts(value, 0)),
    },
}


def read(data: bytes) -> ManifestText:
    """Reads a model.toml and finds every mistake in it that can be found without the graph.

    Args:
        data: The file's bytes.

    Returns:
        The manifest, or None and the mistakes; never both.
    """
    try:
        text = data.decode()
        table = tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return ManifestText("", None, (Mistake(FILE, line, "is not UTF-8 text"),))
    except (ValueError, RecursionError) as error:  # tomllib's own error, a number too long for int(), too deep a nest
        return ManifestText("", None, (_syntax(error),))
    problems = list(_problems(table, _spec_for(table), ())) or list(_contradictions(table))
    if problems:
        lines = line_numbers(text)  # only here: it takes much longer than reading
        return ManifestText(text, None, tuple(_mistake(path, words, lines) for path, words in problems))
    return ManifestText(text, msgspec.convert(table, Manifest), ())


def _mistake(path: KeyPath, words: str, lines: Mapping[KeyPath, int]) -> Mistake:
    return Mistake(FILE, line_of(path, lines), words)


def _syntax(error: Exception) -> Mistake:
    place = re.search(r"at line (\d+)", str(error))
    return Mistake(FILE, int(place[1]) if place else None, f"is not TOML: {one_line(str(error))}")


def _spec_for(table: Mapping[str, Any]) -> _Spec:
    """The spec, with a table for each label that is calibrated, since those keys are the operator's own."""
    calibrated = table.get("calibration")
    if calibrated is None:
        return _SPEC
    return {**_SPEC, "calibration": dict.fromkeys(calibrated if isinstance(calibrated, dict) else (), _CALIBRATION)}


def _problems(value: object, spec: _Spec | _Rule, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    if isinstance(spec, _Rule):
        if not spec.holds(value):
            yield path, f"{_dotted(path)} must be {spec.wanted}, not {_shown(value)}"
    elif not isinstance(value, dict):
        yield path, f"{_dotted(path)} must be a table, [{_dotted(path)}]"
    else:
        yield from (((*path, key), _unknown((*path, key), spec)) for key in value if key not in spec)
        for key, inner in spec.items():
            if key in value:
                yield from _problems(value[key], inner, (*path, key))
            else:
                wanted = inner.wanted if isinstance(inner, _Rule) else "a table"
                yield (*path, key), f"{_dotted((*path, key))} is missing: it must be {wanted}"


def _unknown(path: KeyPath, spec: _Spec) -> str:
    near = difflib.get_close_matches(path[-1], [*spec, *(() if path[:-1] else ("calibration",))], n=1)
    hint = f": did you mean {near[0]}?" if near else f": known here are {', '.join(spec)}"
    return f"{_dotted(path)} is not a known key{hint}"


def _contradictions(table: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    """What is wrong although each value by itself is right."""
    labels, harmless = table["output"]["labels"], table["output"]["harmless"]
    for label in harmless:
        if label not in labels:
            yield ("output", "harmless"), f"output.harmless names {_shown(label)}, which is not in output.labels"
    if set(labels) <= set(harmless):
        yield ("output", "harmless"), "output.harmless names every label: nothing would ever count"
    if len(labels) == 1 and table["output"]["activation"] == "softmax":
        yield ("output", "activation"), "output.activation softmax over a single label is always 1: use sigmoid or none"
    for label in table.get("calibration", {}):
        if label not in labels:
            yield ("calibration", label), f"calibration names {_shown(label)}, which is not in output.labels"


def _dotted(path: KeyPath) -> str:
    return ".".join(part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else _quoted(one_line(part, 60)) for part in path)


def _shown(value: object) -> str:
    if isinstance(value, str):
        return _quoted(one_line(value, 60))
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return one_line(str(value).lower() if isinstance(value, bool) else _brief(value), 60)


def _brief(value: object) -> str:
    """A value in few characters; an integer too long to be printed by Python is only called so."""
    try:
        return repr(value)
    except ValueError:
        return "a number of thousands of digits"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)

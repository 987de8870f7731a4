"""model.toml: every mistake is told with its line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.models import MANIFEST

from worker.scoring.manifest import Calibration, Manifest, read
from worker.scoring.pack import written

RIGHT = MANIFEST.replace("{sha256}", "0" * 64)


def mistakes(text: str) -> list[tuple[int | None, str]]:
    """Line and text of each mistake."""
    return [(mistake.line, mistake.text) for mistake in read(text.encode()).mistakes]


def test_a_right_manifest_is_read_whole() -> None:
    """What the file says is what the manifest holds."""
    manifest = read(RIGHT.encode()).manifest
    assert manifest is not None
    assert (manifest.name, manifest.input.size, manifest.input.layout) == ("means", (4, 4), "NCHW")
    assert manifest.output.labels == ("red", "green", "blue")
    assert manifest.output.harmless == {"blue"}
    assert manifest.calibration == {"red": Calibration(slope=2.0, intercept=-1.0)}


@pytest.mark.parametrize(
    ("right", "wrong", "line", "told"),
    [
        ('name = "means"\n', "", None, "name is missing: it must be a text"),
        ('name = "means"', "name = 3", 1, "name must be a text of 1 to 128 printable characters, not 3"),
        ('version = "1"', "version = 1.0", 2, "version must be a text"),
        ('version = "1"', 'verison = "1"', 2, "verison is not a known key: did you mean version?"),
        ("sha256 =", 'sha256 = "AB" #', 3, "sha256 must be the SHA-256 of model.onnx, 64 lower-case hex digits"),
        ('"NCHW"', '"CHWN"', 7, 'input.layout must be "NCHW" or "NHWC", not "CHWN"'),
        ('"RGB"', '"rgb"', 8, 'input.colour must be "RGB" or "BGR", not "rgb"'),
        ("size = [4, 4]", "size = [4]", 9, "input.size must be [height, width], each 1 to 4096, not [4]"),
        ("size = [4, 4]", "size = [4.0, 4]", 9, "input.size must be [height, width]"),
        ("size = [4, 4]", "size = [4, 5000]", 9, "input.size must be [height, width]"),
        ("size = [4, 4]", "size = [true, 4]", 9, "input.size must be [height, width]"),
        ('fit = "stretch"\n', "", 6, 'input.fit is missing: it must be "stretch" or "crop"'),
        ("mean = [0.0, 0.0, 0.0]", "mean = [0.0, nan, 0.0]", 11, "input.mean must be three finite numbers"),
        ("mean = [0.0, 0.0, 0.0]", "mean = 0.0", 11, "input.mean must be three finite numbers, not 0.0"),
        ("mean = [0.0, 0.0, 0.0]", f"mean = [0, 0, 1{'0' * 5000}]", None, "is not TOML"),
        ("mean = [0.0, 0.0, 0.0]", f"mean = [0, 0, 0x1{'0' * 5000}]", 11, "input.mean must be three finite numbers"),
        ("scale = [0.00392156862745098", "scale = [0.0", 12, "input.scale must be three finite numbers other than 0"),
        ('labels = ["red", "green", "blue"]', "labels = []", 15, "output.labels must be a list of different texts"),
        ('["red", "green", "blue"]', '["red", "red", "blue"]', 15, "output.labels must be a list of different texts"),
        (
            'activation = "none"',
            'activation = "relu"',
            16,
            'output.activation must be "softmax" or "sigmoid" or "none"',
        ),
        (
            'harmless = ["blue"]',
            'harmless = ["bleu"]',
            17,
            'output.harmless names "bleu", which is not in output.labels',
        ),
        ('harmless = ["blue"]', 'harmless = ["blue", "red", "green"]', 17, "output.harmless names every label"),
        ("[calibration.red]", "[calibration.rad]", 19, 'calibration names "rad", which is not in output.labels'),
        ("slope = 2.0", "slope = 0.0", 20, "calibration.red.slope must be a finite number above 0, not 0.0"),
        ("slope = 2.0", "slope = inf", 20, "calibration.red.slope must be a finite number above 0, not inf"),
        ("slope = 2.0\n", "", 19, "calibration.red.slope is missing"),
        ("intercept = -1.0", "intercept = nan", 21, "calibration.red.intercept must be a finite number, not nan"),
        ("slope = 2.0", "slop = 2.0", 20, "calibration.red.slop is not a known key: did you mean slope?"),
        (
            "[calibration.red]\nslope = 2.0\nintercept = -1.0",
            "[calibration]\nred = 1",
            20,
            "calibration.red must be a table",
        ),
        ("[output]", "[outputs]", 14, "outputs is not a known key: did you mean output?"),
        ("[input]", "[input", 6, "is not TOML"),
    ],
)
def test_each_mistake_is_told_with_its_line(right: str, wrong: str, line: int | None, told: str) -> None:
    """One change to a right file gives a mistake that names the key, what it must be, and the line to change."""
    assert right in RIGHT
    found = mistakes(RIGHT.replace(right, wrong, 1))
    assert any(text.startswith(told) and (line is None or at == line) for at, text in found), found


def test_all_mistakes_are_told_at_once() -> None:
    """Three wrong keys are three mistakes, in one reading."""
    found = mistakes(RIGHT.replace('"NCHW"', '"X"').replace('"RGB"', '"Y"').replace("slope = 2.0", "slope = -1"))
    assert [line for line, _ in found] == [7, 8, 20]


def test_a_softmax_over_one_label_is_refused() -> None:
    """It would say 1 of everything."""
    text = RIGHT.replace('["red", "green", "blue"]', '["red"]').replace('"none"', '"softmax"')
    text = text.replace('harmless = ["blue"]', "harmless = []")
    assert mistakes(text) == [
        (16, "output.activation softmax over a single label is always 1: use sigmoid or none"),
    ]


def test_a_nest_too_deep_is_refused() -> None:
    """However deep, it is one mistake and no crash."""
    assert mistakes(f"name = {'[' * 50_000}")[0][1].startswith("is not TOML")


def test_bytes_that_are_no_text_are_told_with_their_line() -> None:
    """The line of the first byte that is not UTF-8."""
    (mistake,) = read(b'name = "x"\nversion = "\xff"').mistakes
    assert (mistake.line, mistake.text) == (2, "is not UTF-8 text")


@given(data=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_end_in_a_manifest_or_in_mistakes(data: bytes) -> None:
    """Nothing that is read raises, and there is never neither."""
    text = read(data)
    assert (text.manifest is None) == bool(text.mistakes)


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=5,
    ),
    at=st.sampled_from(["name", "input", "output", "calibration", "labels"]),
)
def test_any_value_of_a_key_is_told_in_one_line(value: object, at: str) -> None:
    """However odd the value, a mistake stays one bounded line."""
    text = RIGHT.replace(f"{at} = ", f"{at} = {as_toml(value)} #", 1) if f"{at} = " in RIGHT else RIGHT
    for _, told in mistakes(f"{at} = {as_toml(value)}\n" if text == RIGHT else text):
        assert told.isprintable()
        assert len(told) < 1000


def as_toml(value: object) -> str:
    """A value as inline TOML, as far as there is such a thing."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list):
        return f"[{', '.join(map(as_toml, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{as_toml(key)} = {as_toml(inner)}' for key, inner in value.items())}}}"
    return '"' + "".join(f"\\U{ord(character):08x}" for character in str(value)) + '"'


@given(
    name=st.text(min_size=1, max_size=20).filter(str.isprintable),
    labels=st.lists(st.text(min_size=1, max_size=9).filter(str.isprintable), min_size=2, max_size=4, unique=True),
    mean=st.tuples(*[st.floats(-255, 255)] * 3),
)
def test_a_written_manifest_reads_as_the_same(name: str, labels: list[str], mean: tuple[float, float, float]) -> None:
    """Whatever a packer was told comes back exactly."""
    right = read(RIGHT.encode()).manifest
    assert right is not None
    manifest = Manifest(
        name=name,
        version="1",
        sha256=right.sha256,
        licence="MIT",
        input=type(right.input)(
            layout="NHWC", colour="BGR", size=(3, 5), fit="crop", mean=mean, scale=(1.0, 0.5, -2.0)
        ),
        output=type(right.output)(labels=tuple(labels), activation="softmax", harmless=frozenset(labels[:1])),
        calibration={labels[1]: Calibration(slope=0.5, intercept=1.25)},
    )
    text = read(written(manifest).encode())
    assert text.mistakes == ()
    assert text.manifest == manifest

"""``framewatch model``: what people type becomes a folder that the worker takes."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.models import means

from worker.commands import model
from worker.errors import UsageError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def typed(tmp_path) -> dict:
    """The arguments of a good ``model pack``."""
    (tmp_path / "model.onnx").write_bytes(means().SerializeToString())
    picture = np.linspace(0, 255, 16 * 16 * 3).astype(np.uint8).reshape(16, 16, 3)
    cv2.imwrite(str(tmp_path / "harmless.png"), picture)
    return {
        "model": tmp_path / "model.onnx",
        "out": tmp_path / "packed",
        "name": "means",
        "version": "1",
        "labels": ["red", "green", "blue"],
        "harmless": ["blue"],
        "size": "4x4",
        "layout": "nchw",
        "colour": "RGB",
        "fit": "stretch",
        "mean": [0.0],
        "scale": [model.PIXEL_SCALE],
        "activation": "none",
        "licence": "Apache-2.0",
        "pictures": [tmp_path / "harmless.png"],
    }


def test_a_packed_folder_passes_the_check_and_says_what_is_open(typed):
    """The card is still to be written, and the labels have no calibration."""
    done = model.pack(**typed)
    assert "1 examples" in done[0]
    told = model.check(typed["out"])
    assert told[0] == "means 1, licence Apache-2.0"
    assert told[1] == "labels that count: red, green; harmless: blue"
    assert sum(line.startswith("pass ") for line in told) == 5
    assert any(line.startswith("warning ") and "no calibration" in line for line in told)


@pytest.mark.parametrize(
    ("wrong", "flag"),
    [
        ({"size": "224"}, "--size"),
        ({"size": "4x"}, "--size"),
        ({"layout": "CHW"}, "--layout"),
        ({"colour": "GBR"}, "--colour"),
        ({"fit": "squeeze"}, "--fit"),
        ({"activation": "relu"}, "--activation"),
        ({"mean": [1.0, 2.0]}, "--mean"),
        ({"scale": []}, "--scale"),
    ],
)
def test_a_mistake_names_its_flag_and_nothing_is_written(typed, wrong, flag):
    """In one line."""
    with pytest.raises(UsageError, match=flag) as raised:
        model.pack(**typed | wrong)
    assert len(str(raised.value).splitlines()) == 1
    assert not typed["out"].exists()


def test_three_numbers_are_one_for_each_channel(typed):
    """In the order of colour."""
    model.pack(**typed | {"mean": [1.0, 2.0, 3.0]})
    assert "mean = [1.0, 2.0, 3.0]" in (typed["out"] / "model.toml").read_text()


def test_a_folder_that_is_none_is_a_mistake(tmp_path):
    """It is named."""
    with pytest.raises(UsageError, match=re.escape(str(tmp_path))):
        model.check(tmp_path)

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


def test_the_tolerance_is_the_one_that_was_asked_for(typed):
    """Who packs decides how far another provider may be off."""
    model.pack(**typed, tolerance=0.02)
    assert any("the tolerance 0.02" in line for line in model.check(typed["out"]))


def test_a_check_on_a_provider_that_is_not_there_warns(typed):
    """It measures the CPU instead, and says so."""
    model.pack(**typed)
    told = model.check(typed["out"], provider="cuda")
    assert "pass     1 examples ran on CPUExecutionProvider and agree" in told
    assert any(line.startswith("warning  scoring.provider is cuda, but") for line in told)


def test_a_check_of_no_pictures_a_run_is_refused(typed):
    """The flag is named."""
    with pytest.raises(UsageError, match="--batch must be at least 1, not 0"):
        model.check(typed["out"], batch=0)


@pytest.mark.parametrize(
    ("wrong", "flag"),
    [
        ({"tolerance": -1.0}, "--tolerance"),
        ({"tolerance": float("nan")}, "--tolerance"),
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

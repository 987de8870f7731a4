"""What is built, pinned and written down about the package itself."""

from __future__ import annotations

import os
import re
import sysconfig
from importlib import metadata
from pathlib import Path

import pytest

import worker

ROOT = Path(__file__).parents[1]
PINNED = sorted((ROOT / "requirements").glob("*.txt"))


@pytest.mark.skipif(os.environ.get("FRAMEWATCH_TEST_INSTALLED") != "1", reason="only `make test` tests the wheel")
def test_the_installed_wheel_is_what_is_tested() -> None:
    """Under `make test` the package comes from site-packages, never from the work tree."""
    assert Path(worker.__file__).is_relative_to(sysconfig.get_path("purelib"))
    assert metadata.version("framewatch") == worker.__version__


@pytest.mark.parametrize("path", PINNED, ids=lambda path: path.name)
def test_every_requirement_is_pinned_by_hash_and_no_file_says_from_where(path: Path) -> None:
    """A pinned file holds name==version and digests; never an address, an index or a folder of packages."""
    text = path.read_text()
    requirements = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert requirements
    assert all(re.match(r"[a-z0-9-]+==\S+ .*\\$", line) for line in requirements)
    assert text.count("    --hash=sha256:") >= len(requirements)
    assert not re.search(r"://|--(extra-)?index-url|--find-links|^-f ", text, re.MULTILINE)


def test_the_pinned_files_agree() -> None:
    """What runs, what the demo runs and what is tested are the same versions."""
    pins = {path.name: set(re.findall(r"^([a-z0-9-]+==\S+)", path.read_text(), re.MULTILINE)) for path in PINNED}
    assert pins["run.txt"] <= pins["demo.txt"] <= pins["dev.txt"]
    assert pins["build.txt"] <= pins["dev.txt"]


def test_the_set_with_openvino_has_the_one_onnxruntime_in_the_place_of_the_other() -> None:
    """Two distributions of one import overwrite each other's files: never both; all else is what runs without."""
    pins = {
        name: dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / "requirements" / name).read_text(), re.MULTILINE))
        for name in ("run.txt", "openvino.txt")
    }
    assert "onnxruntime" not in pins["openvino.txt"]
    assert "onnxruntime-openvino" in pins["openvino.txt"]
    del pins["run.txt"]["onnxruntime"]
    assert pins["run.txt"].items() <= pins["openvino.txt"].items()


def test_every_runtime_dependency_is_pinned() -> None:
    """requirements/run.txt has every dependency that pyproject.toml names."""
    pyproject = (ROOT / "pyproject.toml").read_text()
    dependencies = re.search(r"^dependencies = \[(.*?)^\]", pyproject, re.MULTILINE | re.DOTALL)
    assert dependencies is not None
    named = re.findall(r'^\s*"([a-z0-9-]+)', dependencies[1], re.MULTILINE)
    pinned = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements" / "run.txt").read_text(), re.MULTILINE))
    assert named
    assert set(named) <= pinned


def test_every_task_of_the_makefile_is_in_its_help() -> None:
    """`make help` lists each phony target."""
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony is not None
    assert set(phony[1].split()) == set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))

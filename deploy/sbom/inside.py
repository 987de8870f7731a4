"""Looks at the libraries inside the wheels of one environment; that environment's own Python runs it.

``python inside.py libraries.toml`` prints a JSON array: for each library its file, the package that carries it, its
name, version, where the version is from, and its licence, which is empty where nobody tells it.
"""

from __future__ import annotations

import ctypes
import json
import re
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

_ABI = re.compile(r"\.so\.([\d.a-z]+)$")
_FIGURES = re.compile(r"\d[\w.+-]*")


def libraries(table: dict[str, dict[str, str]]) -> list[dict[str, str]]:
    """Every shared library that stands beside a package, as wheels that were repaired have them, and what cv2 tells."""
    found = []
    for distribution in distributions():
        for file in distribution.files or ():
            if file.parts[0].endswith(".libs") and ".so" in file.name:
                path = Path(str(distribution.locate_file(file)))
                found.append({"carrier": distribution.metadata["Name"], **_library(path, table)})
    return sorted([*found, *_opencv()], key=lambda one: (one["carrier"], one["file"], one["name"]))


def _library(path: Path, table: dict[str, dict[str, str]]) -> dict[str, str]:
    stem = path.name.partition("-")[0].removesuffix(".so")
    fitting = [name for name in table if path.name.startswith(name)]
    known = table[max(fitting, key=len)] if fitting else {"name": stem, "licence": ""}
    version, source = _version(path, known)
    return {
        "file": f"{path.parent.name}/{path.name}",
        "name": known["name"],
        "version": version,
        "version_from": source,
        "licence": _spdx(_told(path, known["licence_function"])) if "licence_function" in known else known["licence"],
    }


def _version(path: Path, known: dict[str, str]) -> tuple[str, str]:
    if "bytes" in known and (found := re.search(known["bytes"].encode(), path.read_bytes())):
        return found[1].decode(), "its bytes"
    if "variable" in known:
        value = ctypes.c_char_p.in_dll(ctypes.CDLL(str(path)), known["variable"]).value or b""
        return value.decode(), "the library"
    if "function" in known:
        # FFmpeg's libraries are of one release, which libavutil tells.
        beside = next(path.parent.glob(f"{known['ask']}-*"), path) if "ask" in known else path
        if figures := _FIGURES.search(_told(beside, known["function"])):
            return figures[0], "the library"
    abi = _ABI.search(path.name)
    return (abi[1], "its file's name: the ABI's number") if abi else ("", "nowhere")


def _told(path: Path, function: str) -> str:
    """What a function without arguments returns."""
    ask = getattr(ctypes.CDLL(str(path)), function)
    ask.restype, ask.argtypes = ctypes.c_char_p, []
    return (ask() or b"").decode()


def _spdx(told: str) -> str:
    """FFmpeg's own words, such as ``LGPL version 3 or later``, as SPDX has them."""
    found = re.fullmatch(r"(L?GPL) version (\d)(\.\d)? or later", told)
    return f"{found[1]}-{found[2]}{found[3] or '.0'}-or-later" if found else told


def _opencv() -> list[dict[str, str]]:
    """The libraries that OpenCV links in and tells the version of."""
    try:
        import cv2  # noqa: PLC0415 - an environment without it has none of this
    except ImportError:
        return []
    told = cv2.getBuildInformation()
    patterns = {
        ("libjpeg-turbo", "IJG AND BSD-3-Clause AND Zlib"): r"JPEG:\s+build-libjpeg-turbo \(ver ([^)]+)\)",
        ("libwebp", "BSD-3-Clause"): r"WEBP:\s+build \(ver decoder: (\w+)",
        ("libtiff", "libtiff"): r"TIFF:\s+build \(ver \d+ - ([\d.]+)\)",
        ("OpenJPEG", "BSD-2-Clause"): r"JPEG 2000:\s+build \(ver ([\d.]+)\)",
        ("zlib", "Zlib"): r"ZLib:\s+\S+ \(ver ([\d.]+)\)",
        ("Intel IPP-ICV", "LicenseRef-Intel-Simplified-Software-License"): r"Intel IPP:\s+\S+ \[([\d.]+)\]",
        ("Protocol Buffers", "BSD-3-Clause"): r"Protobuf:\s+build \(([\d.]+)\)",
    }
    return [
        {
            "carrier": "opencv-python-headless",
            "file": "cv2",
            "name": name,
            "version": found[1],
            "version_from": "cv2.getBuildInformation()",
            "licence": licence,
        }
        for (name, licence), pattern in patterns.items()
        if (found := re.search(pattern, told))
    ]


def main(arguments: list[str]) -> int:
    """Print what there is."""
    table: dict[str, Any] = tomllib.loads(Path(arguments[0]).read_text())
    json.dump(libraries(table), sys.stdout, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

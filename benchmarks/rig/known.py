"""What makes an incident in a benchmark: a block list with one generated, harmless picture on it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from worker.examine import examine
from worker.records import Ask

if TYPE_CHECKING:
    from pathlib import Path

RADIUS = 31
HEAD = {"name": "bench", "version": "1", "algorithm": "pdq", "radius": RADIUS, "kind": "block", "severity": "critical"}
ASK = Ask(content_type="video/mp2t", interval_s=2, max_keyframes=1, view=None, max_pixels=1920 * 1080, max_streams=8)


def listed(folder: Path, segment: bytes) -> str:
    """Make a list in a new folder with the keyframe of an MPEG-TS segment on it, and return its path.

    Raises:
        ValueError: The picture has too little detail for a hash.
    """
    pdq = examine(segment, None, ASK).frames[0].hash.pdq
    if pdq is None:
        raise ValueError("the known picture has too little detail for a hash: take another seed")
    folder.mkdir()
    lines = [f"{key} = {json.dumps(value)}" for key, value in HEAD.items()]  # so far JSON and TOML are the same
    (folder / "list.toml").write_text("\n".join(lines) + "\n")
    (folder / "known.txt").write_text(pdq.hex() + "\n")
    return str(folder)

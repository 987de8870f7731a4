"""What onnxruntime would do beside its work, if it were let."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def test_it_tells_its_maker_nothing(tmp_path: Path) -> None:
    """Its telemetry begins by giving the machine an id, in files of its own: there are none."""
    kept = {"PYTHONPATH": os.pathsep.join(folder for folder in sys.path if folder), "PYTHONDONTWRITEBYTECODE": "1"}
    places = dict.fromkeys(("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_STATE_HOME"), str(tmp_path))
    command = [sys.executable, "-c", "import worker.scoring.graph"]
    subprocess.run(command, env=kept | places, cwd=tmp_path, check=True)
    assert list(tmp_path.iterdir()) == []

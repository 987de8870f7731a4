"""``python benchmarks [--quick]``: measures the installed package, or the tree's with ``PYTHONPATH=.``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Last, so that the installed package goes before the tree's.
sys.path += [str(ROOT), str(ROOT / "tests")]
# As in the decoders' processes; before numpy reads it.
os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}

from benchmarks.cli import main  # noqa: E402 - needs the path above

if __name__ == "__main__":
    sys.exit(main())

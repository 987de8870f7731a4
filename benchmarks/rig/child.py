"""A helper in a process of its own: ``child.py MODULE PLAN`` calls MODULE's ``main`` with the bytes of the file PLAN.

Helpers are ``benchmarks.rig.publishing`` (the generator), ``benchmarks.rig.reader`` (the floor of bytes in), and what a
part has of its own.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Last, so that the installed package goes before the tree's.
sys.path += [str(ROOT), str(ROOT / "tests")]

if __name__ == "__main__":
    importlib.import_module(sys.argv[1]).main(Path(sys.argv[2]).read_bytes())

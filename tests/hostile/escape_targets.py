"""What runs in the children in escape tests: they try the way out that their segment names, or tell their number."""

from __future__ import annotations

import os
import select
from pathlib import Path
from typing import TYPE_CHECKING

from support.jail_targets import telling

from worker.errors import SegmentError
from worker.jail.escapes import ESCAPES

if TYPE_CHECKING:
    from worker.records import Ask, Sample

THROUGH, REFUSED = "it got through", "it was refused"
"""Told as errors, so that the child is retired: no attempt finds what another one left."""


NOTHING = "nothing"


def attempt(data: memoryview, _init: bytes | None, _ask: Ask) -> Sample:
    """Try the way out that the segment names."""
    name = bytes(data).decode("ascii").split()[0]
    try:
        for way in ESCAPES:
            if way.name == name:
                way.attempt()
    except OSError:
        raise SegmentError("decode", "corrupt", REFUSED) from None
    raise SegmentError("decode", "corrupt", THROUGH if name != NOTHING else NOTHING)


def about(data: memoryview, _init: bytes | None, _ask: Ask) -> Sample:
    """Tell the process id, or do what ends the process."""
    words = bytes(data).decode("ascii").split()
    if words[0] == "spin":
        while True:
            pass
    if words[0] == "abort":
        os.abort()
    if words[0] == "sleep":
        select.select([], [], [], 1)
    if words[0] == "call":
        Path(words[1]).read_bytes()
    return telling(os.getpid())

"""How long a topic keeps what is in it, against how long it may. Pure; docs/privacy.md says why it matters.

Kafka deletes whole files: a record goes when the newest one of its file is older than ``retention.ms``, and a file
takes records for up to ``segment.ms``. So what is kept longest is kept for the two together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
SHORTEST_FILE_MS = 600_000
FILES = 8
"""Into so many files a topic's time is cut, so that what is kept longest is little more than what is allowed."""
MOST_OF_IT = 4
"""A file that takes records for more than this part of the allowed time is worth a line."""


def as_made(allowed_h: float) -> dict[str, str]:
    """Return the configuration of a topic that keeps records for so many hours."""
    allowed_ms = round(allowed_h * HOUR_MS)
    return {
        "cleanup.policy": "delete",
        "retention.ms": str(allowed_ms),
        "segment.ms": str(_file_ms(allowed_ms)),
    }


def too_long(config: Mapping[str, str], allowed_h: float) -> str | None:
    """Return in words that a topic keeps records for longer than allowed; None where it does not, or tells nothing."""
    kept = config.get("retention.ms")
    if kept is None:
        return None
    if int(kept) < 0:
        return f"it keeps records for ever, {allowed_h:g} h are allowed"
    if int(kept) > round(allowed_h * HOUR_MS):
        return f"it keeps records for {int(kept) / HOUR_MS:g} h, {allowed_h:g} h are allowed"
    return None


def too_coarse(config: Mapping[str, str], allowed_h: float) -> str | None:
    """Return in words that a topic's files are kept well beyond that; None where they are not, or it tells nothing."""
    allowed_ms = round(allowed_h * HOUR_MS)
    file_ms = int(config.get("segment.ms", 0))
    if file_ms <= max(SHORTEST_FILE_MS, allowed_ms // MOST_OF_IT):
        return None
    return f"segment.ms is {file_ms}: its oldest records go up to {file_ms / HOUR_MS:g} h late"


def _file_ms(allowed_ms: int) -> int:
    return min(DAY_MS, max(SHORTEST_FILE_MS, allowed_ms // FILES))

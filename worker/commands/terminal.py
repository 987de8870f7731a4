"""Texts from outside as a terminal may show them."""

from __future__ import annotations

import logging

LONGEST = 2000


def safe(text: str, most: int = LONGEST) -> str:
    """Return a text on one line, of bounded length, in which nothing moves the cursor, colours, or turns its direction.

    Every character that is not printable is shown as a replacement character: control characters and escapes, but also
    Unicode's invisible and right-to-left marks.
    """
    shown = "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text[:most])
    return shown + "…" if len(text) > most else shown


def quiet_clients() -> None:
    """Keep the Kafka client's own log lines away: the commands tell what came of its tries."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)

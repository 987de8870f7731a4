"""How logs are written: a line an event to standard error, JSON or readable.

Conventions: the event is a few plain words; what it is about stands in keys, always of the same name: ``stream``,
``partition``, ``offset``, ``stage``, ``error``, ``reason``, ``incident``; times in seconds end in ``_s``. Nobody logs
an image, a secret, a hash or a URL's credentials; should bytes or arrays get here all the same, only their size is
told.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, TextIO

import structlog

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger

    from worker.settings import tree

LONGEST = 1000
"""Most characters of one text: what a stranger wrote is told, but not at any length."""
FOREIGN = {"aiokafka": logging.WARNING, "aiohttp": logging.WARNING, "asyncio": logging.WARNING}
"""Libraries that log more than an operator wants."""


def configure(settings: tree.Log, stream: TextIO | None = None) -> None:
    """Send everything that is logged, by Framewatch and by its libraries, to one stream in one form.

    Args:
        settings: Form and least level.
        stream: Where to; standard error if None.
    """
    to = stream or sys.stderr
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    before: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        tidy,
    ]
    structlog.configure(
        processors=[*before, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    handler = logging.StreamHandler(to)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=before,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(settings, to)],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    logging.captureWarnings(capture=True)
    for name, least in FOREIGN.items():
        logging.getLogger(name).setLevel(max(level, least))


def tidy(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Make every value fit for a line: no bytes or arrays, no control characters, no endless texts."""
    del logger, method
    return {key: value if key.startswith("_") else _tidied(value) for key, value in event.items()}


def _tidied(value: object) -> object:
    if value is None or isinstance(value, bool | int | float | BaseException):
        return value
    if isinstance(value, str):
        text = value if value.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in value)
        return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    if isinstance(value, bytes | bytearray | memoryview):
        return f"{len(value)} bytes"
    if isinstance(value, list | tuple | set | frozenset):
        return [_tidied(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _tidied(item) for key, item in value.items()}
    return f"a {type(value).__name__}"


def _rendering(settings: tree.Log, stream: TextIO) -> list[Processor]:
    """Tracebacks are plain in both forms: one with the values of variables would show images and secrets."""
    readable = settings.format == "console" or (settings.format == "auto" and stream.isatty())
    if readable:
        plain = structlog.dev.plain_traceback
        return [structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=plain)]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=False)]

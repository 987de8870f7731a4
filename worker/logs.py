"""How logs are written: a line an event to standard error, JSON or readable.

Conventions: the event is a few plain words; what it is about stands in keys, always of the same name: ``stream``,
``partition``, ``offset``, ``stage``, ``error``, ``reason``, ``incident``, ``trace``; times in seconds end in ``_s``.
Nobody logs an image, a secret, a hash or a URL's credentials; should bytes or arrays get here all the same, only their
size is told.

An incident has its line, however many there are. Of everything else, Framewatch's and its libraries', only so many
lines a second are written, errors and the rest each by themselves, and a line says how many were kept back.
"""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING, TextIO

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import EventDict, Processor, WrappedLogger

    from worker.settings import tree

LONGEST = 1000
"""Most characters of one text: what a stranger wrote is told, but not at any length."""
FOREIGN = {"aiokafka": logging.WARNING, "aiohttp": logging.WARNING, "asyncio": logging.WARNING}
"""Libraries that log more than an operator wants."""


class Budget:
    """So many lines a second."""

    def __init__(self, lines_per_s: int, clock: Callable[[], float]) -> None:
        """``clock`` gives seconds that never go back."""
        self._lines_per_s = lines_per_s
        self._clock = clock
        self._second = int(clock())
        self._written = 0
        self._kept_back = 0

    def turn(self) -> int:
        """Begin a new second if it is one, and return how many lines were kept back before it."""
        if (second := int(self._clock())) == self._second:
            return 0
        kept_back, self._kept_back = self._kept_back, 0
        self._second, self._written = second, 0
        return kept_back

    def take(self) -> bool:
        """Return whether a line may be written; count it as kept back if not."""
        if self._written >= self._lines_per_s:
            self._kept_back += 1
            return False
        self._written += 1
        return True

    def empty(self) -> int:
        """Return how many lines were kept back and not told of yet."""
        kept_back, self._kept_back = self._kept_back, 0
        return kept_back


class BoundedHandler(logging.StreamHandler[TextIO]):
    """Writes each incident's line, and of all others so many a second."""

    def __init__(self, stream: TextIO, lines_per_s: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Errors have a budget of their own, so that no flood of warnings hides one."""
        super().__init__(stream)
        self._budgets = {is_error: Budget(lines_per_s, clock) for is_error in (False, True)}

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line, or count it."""
        self._tell(sum(budget.turn() for budget in self._budgets.values()))
        if _is_of_an_incident(record) or self._budgets[record.levelno >= logging.ERROR].take():
            super().emit(record)

    def close(self) -> None:
        """Say what was kept back last."""
        if not getattr(self.stream, "closed", False):
            self._tell(sum(budget.empty() for budget in self._budgets.values()))
        super().close()

    def _tell(self, lines: int) -> None:
        if lines:
            told = logging.LogRecord(__name__, logging.WARNING, __file__, 0, "lines kept back", None, None)
            told.lines = lines
            super().emit(told)


def _is_of_an_incident(record: logging.LogRecord) -> bool:
    return isinstance(record.msg, dict) and record.msg.get("incident") is not None


def configure(settings: tree.Log, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
    """Send everything that is logged, by Framewatch and by its libraries, to one stream in one form.

    Args:
        settings: Form, least level and most lines a second.
        stream: Where to; standard error if None.
        clock: Seconds that never go back.
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
    handler = BoundedHandler(to, settings.lines_per_s, clock)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(allow=["lines"]), *before],
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

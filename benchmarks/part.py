"""What every part of the benchmarks is: it measures, it is held to bounds, and it is told as text and plots."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from msgspec import Raw, Struct

from benchmarks import broker

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure as Plot
    from support.kafka import Cluster

R = TypeVar("R", bound=Struct)


class NotHere(Exception):
    """A part can't be measured on this machine; the message says why, in one line."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run: how much is measured, from which seed, and what all parts share."""

    quick: bool
    seed: int
    tell: Callable[[str], None]
    """Told what is being done; long work says what it is at."""
    closing: ExitStack
    """Ends what was started, after the last part."""
    _brokers: list[Any] = field(default_factory=list)

    def broker(self) -> Cluster:
        """Return a real broker that all parts share, started on first use. Raises NotHere."""
        if not self._brokers:
            reason = broker.why_not()
            if reason is not None:
                raise NotHere(reason)
            self._brokers.append(self.closing.enter_context(broker.started()))
        shared: Cluster = self._brokers[0]
        return shared


class Bound(Struct, frozen=True, kw_only=True):
    """What a value is held to."""

    value: str
    limit: float
    side: Literal["at most", "at least"] = "at most"
    kind: Literal["speed", "quality"]
    unit: str
    why: str


class Check(Struct, frozen=True, kw_only=True):
    """A bound and what was measured; None where it could not be."""

    bound: Bound
    measured: float | None

    @property
    def breached(self) -> bool:
        """Whether it was measured and is on the wrong side."""
        if self.measured is None:
            return False
        return self.measured > self.bound.limit if self.bound.side == "at most" else self.measured < self.bound.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Part(Generic[R]):
    """One question that the benchmarks answer."""

    name: str
    """As on the command line, and in the names of the files kept."""
    title: str
    """Heading in docs/benchmarks.md."""
    result: type[R]
    measure: Callable[[Run], R]
    """Raises NotHere."""
    checks: Callable[[R], tuple[Check, ...]]
    text: Callable[[R], str]
    """Markdown, its headings from ### on; what it links as ``benchmarks/NAME-WHAT.svg`` comes from ``plots``."""
    plots: Callable[[R], Iterator[tuple[str, Any]]]
    """WHAT, and matplotlib's figure."""


class Kept(Struct, frozen=True, kw_only=True):
    """What one part found in one run, as it lies in docs/benchmarks/DATE-PART.json."""

    part: str
    date: str
    quick: bool
    seed: int
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    result: Raw

    def path(self, folder: Path) -> Path:
        """Where it is kept."""
        return folder / f"{self.date}-{self.part}.json"


def failed(checks: tuple[Check, ...], *, quick: bool) -> tuple[Check, ...]:
    """Return the breaches that fail a run: in a quick one, whose times say nothing, only those of quality."""
    return tuple(check for check in checks if check.breached and (check.bound.kind == "quality" or not quick))


def no_plots(_: Any) -> Iterator[tuple[str, Plot]]:
    """For parts that have nothing to draw."""
    yield from ()

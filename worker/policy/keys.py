"""Every key of a policy file with what it may hold, declared once."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import get_args

from worker.policy.records import Trust
from worker.records import Action, Severity

SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""From the gravest to the least."""


@dataclass(frozen=True, slots=True)
class Number:
    """A finite number from low to high, both inclusive."""

    low: float
    high: float
    unit: str

    def problem(self, value: object) -> str | None:
        """What is wrong with a value, or None. NaN and the infinities are outside every range."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f"must be a number, not {short(value)}"
        if not self.low <= value <= self.high:
            unit = f" {self.unit}" if self.unit else ""
            return f"must be {self.low:g} to {self.high:g}{unit}, not {short(value)}"
        return None


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    def problem(self, value: object) -> str | None:
        """What is wrong with a value, or None."""
        if value in self.words:
            return None
        return f"must be one of {', '.join(self.words)}, not {short(value)}{suggestion(value, self.words)}"


@dataclass(frozen=True, slots=True)
class Text:
    """A short line of text."""

    longest: int = 256

    def problem(self, value: object) -> str | None:
        """What is wrong with a value, or None."""
        if not isinstance(value, str):
            return f"must be text in quotes, not {short(value)}"
        if not value.strip() or not value.isprintable() or len(value) > self.longest:
            return f"must be one line of 1 to {self.longest} characters"
        return None


Key = Number | Choice | Text
Keys = Mapping[str, Key]

NAME = Text(64)
_SOURCE: dict[str, Key] = {
    "severity": Choice(SEVERITIES),
    "trust": Choice(get_args(Trust)),
    "category": Text(),
    "policy_ref": Text(),
}
RISK: Keys = {
    "base_rate": Number(1e-9, 0.1, ""),
    "share": Number(0.01, 0.99, ""),
    "open_above": Number(1, 100, "nats"),
    "close_below": Number(0.1, 99, "nats"),
    "cap": Number(2, 1000, "nats"),
    "quiet_s": Number(1, 86400, "seconds"),
    "half_life_s": Number(1, 86400, "seconds"),
}
LABEL: Keys = {"weight": Number(0, 10, ""), **_SOURCE}
LIST: Keys = {"weight": Number(0.1, 100, "nats"), **_SOURCE}
SEVERITY: Keys = {"respond_within_s": Number(1, 2_592_000, "seconds"), "action": Choice(get_args(Action))}

RISING: tuple[tuple[str, str], ...] = (
    ("close_below", "open_above"),
    ("open_above", "cap"),
    ("base_rate", "share"),
)
"""Pairs of keys of ``[risk]`` of which the first must be below the second."""


def short(value: object) -> str:
    """A value as an error names it: bounded, on one line."""
    if isinstance(value, int) and value.bit_length() > 64:  # noqa: PLR2004 - what TOML's integers have
        return "a number beyond 64 bits"
    return reprlib.repr(value)


def suggestion(word: object, known: tuple[str, ...]) -> str:
    """A near match among what is known, as the end of a sentence; empty where there is none."""
    near = get_close_matches(str(word)[:64], known, n=1)
    return f" (did you mean {near[0]}?)" if near else ""

"""What an incident tells beside its decision: what the deployment decides with, and its stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from worker.records import ListRef, ModelRef, PolicyRef
from worker.settings.tree import LinkTemplates

if TYPE_CHECKING:
    from worker.records import Coverage, MediaTimeFrom
    from worker.references import Kept


class Context(Struct, frozen=True, kw_only=True):
    """What a deployment decides with, as its incidents tell it."""

    model: ModelRef | None
    policy: PolicyRef
    lists: tuple[ListRef, ...]
    links: LinkTemplates
    preserve_before_s: float
    source: str
    """``ce_source`` of everything this deployment writes."""


class Stream(Protocol):
    """What an incident has to know of its stream (a ``StreamState``)."""

    @property
    def stream_id(self) -> str:
        """The stream."""

    @property
    def tenant(self) -> str | None:
        """Which platform or channel group it belongs to."""

    @property
    def account(self) -> str | None:
        """Who streams."""

    @property
    def viewers(self) -> int | None:
        """How many watched when it was last told."""

    @property
    def sequence(self) -> int | None:
        """Of its newest segment."""

    @property
    def media_time_s(self) -> float | None:
        """Of its newest segment; None before the first."""

    @property
    def media_time_from(self) -> MediaTimeFrom:
        """Whose media time that is."""

    @property
    def coverage(self) -> Coverage:
        """What of it was watched."""

    @property
    def last_look_ms(self) -> int | None:
        """When the newest frame that was looked at was captured, milliseconds since 1970."""

    @property
    def material(self) -> str | None:
        """Key of the known material in it."""

    @property
    def recent(self) -> tuple[Kept, ...]:
        """Its last segments."""

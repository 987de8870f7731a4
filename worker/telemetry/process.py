"""What is told of the process and of what it decides with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from worker.records import ListKind
from worker.telemetry.catalogue.bounds import JAIL_LEVELS, UNREADY
from worker.telemetry.series import Series

if TYPE_CHECKING:
    from collections.abc import Collection

    from worker.records import ModelRef, PolicyRef
    from worker.telemetry.catalogue.bounds import Unready


class ListInUse(Struct, frozen=True, kw_only=True):
    """What is told of a hash list."""

    name: str
    version: str
    kind: ListKind
    entries: int
    published_s: float | None
    """How new it is, Unix seconds; None where nobody knows."""


class OfProcess(Series):
    """Notes how the process is; each method is named after what it notes."""

    def decoder_ended(self, change: str, cause: str) -> None:
        """Count the end of a decoder process."""
        self._count("framewatch_decoder_ends_total", change, cause)

    def decoders(self, *, alive: int, busy: int) -> None:
        """Note how many decoder processes are alive, and how many segments have one."""
        self._set("framewatch_decoders_alive", alive)
        self._set("framewatch_decoders_busy", busy)

    def jail_level(self, level: str) -> None:
        """Note how far the decoders are locked down."""
        for each in JAIL_LEVELS:
            self._set("framewatch_jail_level", each == level, each)

    def loop_lag(self, seconds: float) -> None:
        """Note how late the event loop was."""
        self._observe("framewatch_event_loop_lag_seconds", seconds)

    def readiness(self, unready: Collection[Unready]) -> None:
        """Note why the worker does not do its work now; it does where there is no reason."""
        self._set("framewatch_ready", not unready)
        for reason in UNREADY:
            self._set("framewatch_unready", reason in unready, reason)

    def exported(self, result: str, spans: int) -> None:
        """Count spans that the traces' collector took, or did not take."""
        self._count("framewatch_spans_total", result, amount=spans)

    def decides_with(
        self,
        model: ModelRef | None,
        policy: PolicyRef,
        lists: Collection[ListInUse],
        *,
        model_published_s: float | None = None,
        running: tuple[str, str, int] | None = None,
    ) -> None:
        """Note the classifier, the policy and the hash lists in use, in place of those before.

        ``running`` tells where the classifier was wanted, where it runs, and how many pictures may share a run.
        """
        self._clear("framewatch_model_info", "framewatch_policy_info", "framewatch_list_entries")
        self._clear("framewatch_list_info", "framewatch_list_published_timestamp_seconds")
        self._clear("framewatch_model_published_timestamp_seconds")
        self._clear("framewatch_model_provider_info")
        wanted, used, batch = running or ("", "", 0)
        self._set("framewatch_model_batch", batch)
        if running is not None:
            self._set("framewatch_model_provider_info", 1, wanted, used)
        self._set("framewatch_policy_info", 1, policy.name, policy.sha256)
        if model is not None:
            self._set("framewatch_model_info", 1, model.name, model.version, model.sha256)
            if model_published_s is not None:
                self._set("framewatch_model_published_timestamp_seconds", model_published_s, model.name)
        for one in lists:
            self._set("framewatch_list_entries", one.entries, one.name)
            self._set("framewatch_list_info", 1, one.name, one.version, one.kind)
            if one.published_s is not None:
                self._set("framewatch_list_published_timestamp_seconds", one.published_s, one.name)

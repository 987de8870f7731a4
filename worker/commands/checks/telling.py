"""Checks of how a worker tells of itself: metrics, lines, traces."""

from __future__ import annotations

import socket
from contextlib import closing
from typing import TYPE_CHECKING

from worker.commands.checks.findings import Finding
from worker.telemetry.catalogue import METRICS
from worker.telemetry.traces import collector

if TYPE_CHECKING:
    from worker.settings.tree import Settings


def metrics(settings: Settings) -> list[Finding]:
    """Say where Prometheus finds them."""
    web = settings.web
    detail = f"{len(METRICS)} on {web.host}:{web.port}/metrics; docs/metrics.md says what to do about each"
    return [Finding(level="pass", what="metrics", detail=detail)]


def lines(settings: Settings) -> list[Finding]:
    """Say how lines are written."""
    log = settings.log
    form = {"auto": "readable on a terminal, JSON elsewhere", "json": "JSON", "console": "readable"}[log.format]
    detail = f"to standard error, {form}, from {log.level} on; at most {log.lines_per_s} a second beside incidents'"
    return [Finding(level="pass", what="log", detail=detail)]


def traces(settings: Settings) -> list[Finding]:
    """Ask the collector to take an empty batch. A worker runs without it, so that nothing here is a failure.

    Raises:
        UsageError: The extra is not installed, or the file of headers can't be read: then a worker would not start.
    """
    found = collector(settings.telemetry, instance=socket.gethostname(), on_export=lambda _result, _spans: None)
    if found is None:
        detail = "not exported: telemetry.otlp_endpoint is empty; trace ids go on to escalations all the same"
        return [Finding(level="pass", what="traces", detail=detail)]
    with closing(found):
        taken = found.takes()
    endpoint = settings.telemetry.otlp_endpoint.partition("?")[0]
    if taken:
        return [Finding(level="pass", what="traces", detail=f"sampled segments' spans go to {endpoint}")]
    remedy = "is it an OTLP/HTTP endpoint with its path, such as http://collector:4318/v1/traces, and reachable?"
    return [Finding(level="warning", what="traces", detail=f"{endpoint} takes no spans", remedy=remedy)]

"""Are streams watched? Its two upper rows are meant to be read in ten seconds: green is well."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana_foundation_sdk.builders.dashboard import Row
from panels import BLUE, GREEN, ORANGE, RED, big, empty, lines, rows

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Dashboard, Panel

MEDIA = "framewatch_media_seconds_total"
OURS = 'coverage="unwatched",cause!~"missing|plan|no_video"'
"""Unwatched, and neither the publisher's doing nor the sampling plan's: as in the objective."""
STANDING = (
    "sum(framewatch_partitions_parked{*}) + sum(max_over_time(framewatch_partitions_held{*}[2m]))"
    " + sum(framewatch_breaker_tripped{*}) + (count(framewatch_ready{*} == 0) or vector(0))"
)
FIRING = 'ALERTS{*,alertname=~"Framewatch.*",alertstate="firing"}'
OUTCOME_AGES = "sum by (le) (rate(framewatch_outcome_seconds_bucket{*}[$__rate_interval]))"
ESCALATION_AGES = "sum by (le) (increase(framewatch_escalation_seconds_bucket{*}[$__range]))"


def _coverage(window: str) -> str:
    watched = f'sum(rate({MEDIA}{{*,coverage=~"watched|recovered"}}[{window}]))'
    return f"{watched} / ({watched} + sum(rate({MEDIA}{{*,{OURS}}}[{window}])))"


def dashboard() -> Dashboard:
    """Return the dashboard."""
    made = empty(
        "framewatch-watched",
        "Framewatch: are streams watched?",
        "Whether live streams are watched, and how late. Green is well; the link on each panel says what to do.",
    )
    for panel in (*_now(), *_found()):
        made.with_panel(panel)
    made.with_row(Row("How much, and how late"))
    for panel in _trend():
        made.with_panel(panel)
    made.with_row(Row("Objectives, and what fires"))
    for panel in _objectives():
        made.with_panel(panel)
    return made


def _now() -> list[Panel]:
    return [
        big(
            "Watched",
            _coverage("5m"),
            "Share of the media that came in the last five minutes that was watched. The objective is 99.5 %.",
            unit="percentunit",
            runbook="coverage",
            steps=(0.97, 0.995),
            colours=(RED, ORANGE, GREEN),
            decimals=2,
        ),
        big(
            "Behind live",
            "max(framewatch_behind_seconds{*})",
            "How far the partition that is furthest behind is behind live.",
            unit="s",
            runbook="behind",
            steps=(10, 60),
        ),
        big(
            "Standing still",
            STANDING,
            "Partitions that are parked or wait for a store, workers whose breaker tripped or that are not ready.",
            unit="none",
            runbook="not-watching",
            steps=(1, 1),
            colours=(GREEN, RED, RED),
        ),
        big(
            "Outcomes lost",
            "sum(increase(framewatch_segments_expired_total{*}[$__range]))",
            "Segments that retention deleted before anybody watched them, in the time shown. Never more than 0.",
            unit="none",
            runbook="segments-expired",
            steps=(0.5, 0.5),
            colours=(GREEN, RED, RED),
            decimals=0,
        ),
        big(
            "Workers",
            "count(framewatch_ready{*} == 1) or vector(0)",
            "Workers that do their work.",
            unit="none",
            runbook="no-worker",
            steps=(1,),
            colours=(RED, GREEN),
        ),
        big(
            "Alerts",
            f"count({FIRING}) or vector(0)",
            "Alerts of Framewatch that fire now; below is which.",
            unit="none",
            runbook="README",
            steps=(1, 1),
            colours=(GREEN, RED, RED),
        ),
    ]


def _found() -> list[Panel]:
    quantity = {"unit": "none", "colours": (BLUE,), "height": 4}
    return [
        big(
            "Streams",
            "sum(framewatch_streams{*})",
            "Streams remembered now.",
            runbook="streams-crowded-out",
            **quantity,
        ),
        big(
            "Segments a second",
            "sum(rate(framewatch_segments_total{*}[$__rate_interval]))",
            "Segments that had their outcome.",
            runbook="behind",
            **(quantity | {"unit": "reqps"}),
        ),
        big(
            "Open incidents",
            "sum(framewatch_open_incidents{*})",
            "Streams that have an open incident now.",
            runbook="canary-silent",
            **quantity,
        ),
        big(
            "Opened",
            'sum(increase(framewatch_incidents_total{*,change="opened"}[$__range]))',
            "Incidents opened in the time shown, tests and canaries with them.",
            runbook="canary-silent",
            decimals=0,
            **quantity,
        ),
        big(
            "To a reviewer within",
            f"histogram_quantile(0.99, {ESCALATION_AGES})",
            "99 of 100 incidents of the time shown were acknowledged this soon after their segment came.",
            unit="s",
            runbook="escalations-late",
            steps=(5, 10),
            height=4,
        ),
        big(
            "Dead letters",
            "sum(rate(framewatch_dead_letters_total{*}[5m])) / sum(rate(framewatch_consumed_total{*}[5m]))",
            "Share of what came in the last five minutes that can never be looked at.",
            unit="percentunit",
            runbook="dead-letters",
            steps=(0.05, 0.5),
            height=4,
            decimals=1,
        ),
    ]


def _trend() -> list[Panel]:
    return [
        lines(
            "Watched",
            {"watched": _coverage("$__rate_interval")},
            "Share of the media that came that was watched.",
            unit="percentunit",
            runbook="coverage",
            at_most=1,
        ),
        lines(
            "Not watched, by cause",
            {"{{cause}}": f'sum by (cause) (rate({MEDIA}{{*,coverage="unwatched"}}[$__rate_interval]))'},
            "Seconds of media a second that nobody watched. missing never came; plan is the sampling plan; the others "
            "are dead letters, skips and sheds.",
            unit="s",
            runbook="coverage",
            stacked=True,
        ),
        lines(
            "From append to outcome",
            {
                "half": f"histogram_quantile(0.5, {OUTCOME_AGES})",
                "99 of 100": f"histogram_quantile(0.99, {OUTCOME_AGES})",
            },
            "How long after its append a segment's outcome was acknowledged.",
            unit="s",
            runbook="escalations-late",
            limit=10,
        ),
        lines(
            "Behind live, by partition",
            {"{{partition}}": "max by (partition) (framewatch_behind_seconds{*})"},
            "One partition alone: a hot stream or a worker in trouble. All of them: too few workers.",
            unit="s",
            runbook="behind",
            limit=60,
        ),
    ]


def _objectives() -> list[Panel]:
    budget = "1 - namespace_job:framewatch_{}:ratio30d{{*}} / {}"
    return [
        big(
            "Coverage: budget left",
            budget.format("media_unwatched", 0.005),
            "What is left of the month's half percent of media that may go unwatched; below 0 the objective is missed.",
            unit="percentunit",
            runbook="coverage",
            steps=(0, 0.25),
            colours=(RED, ORANGE, GREEN),
            width=6,
            decimals=0,
        ),
        big(
            "Escalation: budget left",
            budget.format("escalations_late", 0.01),
            "What is left of the month's one percent of incidents that may take longer than 10 s.",
            unit="percentunit",
            runbook="escalations-late",
            steps=(0, 0.25),
            colours=(RED, ORANGE, GREEN),
            width=6,
            decimals=0,
        ),
        lines(
            "Longest gap of one stream",
            {"{{cause}}": "max by (cause) (framewatch_longest_gap_seconds{*})"},
            "How long of one stream's media nothing was watched, by what made it that long.",
            unit="s",
            runbook="blind-stream",
            limit=300,
            height=5,
        ),
        rows(
            "What fires",
            f"sum by (alertname, severity, namespace, job) ({FIRING})",
            "Each has a runbook.",
            unit="none",
            runbook="README",
            width=24,
            height=6,
        ),
    ]

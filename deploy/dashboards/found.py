"""What is being found: matches, labels, incidents, and what could not be looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana_foundation_sdk.builders.dashboard import Row
from panels import bars, empty, lines, rows

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Dashboard, Panel

RATE = "[$__rate_interval]"
SHOWN = "[$__range]"


def dashboard() -> Dashboard:
    """Return the dashboard."""
    made = empty(
        "framewatch-found",
        "Framewatch: what is being found",
        "Incidents and why, matches with hash lists, the classifier's labels, and what could not be looked at.",
    )
    parts = {
        "Incidents": _incidents(),
        "Known material and labels": _sources(),
        "What was not looked at": _unseen(),
        "What is decided with": _decided_with(),
    }
    for title, panels in parts.items():
        made.with_row(Row(title))
        for panel in panels:
            made.with_panel(panel)
    return made


def _incidents() -> list[Panel]:
    return [
        lines(
            "Incidents opened, by severity",
            {"{{severity}}": f'sum by (severity) (increase(framewatch_incidents_total{{*,change="opened"}}{RATE}))'},
            "Tests and canaries with them. A flood after a new model, list or policy is that one's.",
            unit="none",
            runbook="canary-silent",
            stacked=True,
        ),
        lines(
            "Open now, by partition",
            {"{{partition}}": "max by (partition) (framewatch_open_incidents{*})"},
            "Grows without end: reviewers' verdicts do not come back, or the policy opens too much.",
            unit="none",
            runbook="canary-silent",
            stacked=True,
        ),
        bars(
            "Why they were opened",
            "{{kind}} ({{severity}})",
            f"sum by (kind, severity) (increase(framewatch_incident_reasons_total{{*}}{SHOWN}))",
            "By kind of reason, in the time shown; an incident with two kinds counts in both.",
            unit="none",
            runbook="canary-silent",
        ),
        bars(
            "What became of them",
            "{{change}}",
            f"sum by (change) (increase(framewatch_incidents_total{{*}}{SHOWN}))",
            "In the time shown.",
            unit="none",
            runbook="canary-silent",
        ),
        bars(
            "Tests and canaries",
            "{{change}}",
            f"sum by (change) (increase(framewatch_test_incidents_total{{*}}{SHOWN}))",
            "A canary opens one each time it is sent; none means that nothing would be found.",
            unit="none",
            runbook="canary-silent",
        ),
        lines(
            "From append to a reviewer",
            {
                "99 of 100": "histogram_quantile(0.99, sum by (le) "
                f"(increase(framewatch_escalation_seconds_bucket{{*}}{SHOWN})))",
                "99 of 100, from capture": "histogram_quantile(0.99, sum by (le) "
                f"(increase(framewatch_escalation_from_capture_seconds_bucket{{*}}{SHOWN})))",
            },
            "How long after its segment came, and after it was captured, an incident was acknowledged.",
            unit="s",
            runbook="escalations-late",
            limit=10,
            width=24,
            height=6,
        ),
    ]


def _sources() -> list[Panel]:
    labels = f"(framewatch_label_probability_bucket{{*}}{SHOWN})"
    certain = f'sum by (label) (increase(framewatch_label_probability_bucket{{*,le="0.9"}}{SHOWN}))'
    return [
        lines(
            "Matches, by list",
            {"{{list}}": f"sum by (list) (rate(framewatch_matches_total{{*}}{RATE}))"},
            "Keyframes a second that match an entry. A flood after a new version: look at its radius and entries.",
            unit="ops",
            runbook="list-shrank",
        ),
        bars(
            "Keyframes that the classifier was sure of",
            "{{label}}",
            f"sum by (label) (increase(framewatch_label_probability_count{{*}}{SHOWN})) - {certain}",
            "With a probability above 0.9, by label, in the time shown.",
            unit="none",
            runbook="classifier-gone",
            width=6,
        ),
        bars(
            "Keyframes",
            "{{step}}",
            f"sum by (step) (increase(framewatch_keyframes_total{{*}}{SHOWN}))",
            "Seen, looked at, hashed and scored, in the time shown. None scored: there is no classifier.",
            unit="none",
            runbook="classifier-gone",
            width=6,
        ),
        lines(
            "Nine in ten probabilities are below",
            {"{{label}}": f"histogram_quantile(0.9, sum by (le, label) (increase{labels}))"},
            "A distribution that shifts after a model change, or by itself, asks for calibration anew.",
            unit="percentunit",
            runbook="classifier-gone",
            at_most=1,
            width=24,
            height=6,
        ),
    ]


def _unseen() -> list[Panel]:
    return [
        lines(
            "Dead letters, by error",
            {"{{stage}} {{error}}": f"sum by (stage, error) (rate(framewatch_dead_letters_total{{*}}{RATE})) > 0"},
            "Events a second that can never be looked at. The dead letters say whose they are.",
            unit="ops",
            runbook="dead-letters",
            stacked=True,
        ),
        bars(
            "Dead letters, by error",
            "{{stage}} {{error}}",
            f"topk(12, sum by (stage, error) (increase(framewatch_dead_letters_total{{*}}{SHOWN})) > 0)",
            "In the time shown, the twelve most frequent.",
            unit="none",
            runbook="dead-letters",
            width=6,
        ),
        bars(
            "Outcomes with a reason",
            "{{outcome}} {{why}}",
            f"sum by (outcome, why) (increase(framewatch_segment_reasons_total{{*}}{SHOWN}))",
            "Why segments were skipped or shed, or how assessed ones were odd, in the time shown.",
            unit="none",
            runbook="coverage",
            width=6,
        ),
    ]


def _decided_with() -> list[Panel]:
    return [
        rows(
            "Hash lists",
            "max by (list, version, kind) (framewatch_list_info{*})",
            "In use. Two versions of one list for long: some workers were not restarted.",
            unit="none",
            runbook="versions-differ",
            width=8,
            height=6,
        ),
        rows(
            "Classifier",
            "count by (name, version, sha256) (framewatch_model_info{*})",
            "In use, and by how many workers.",
            unit="none",
            runbook="classifier-gone",
            width=8,
            height=6,
        ),
        rows(
            "Policy",
            "count by (name, sha256) (framewatch_policy_info{*})",
            "In use, and by how many workers.",
            unit="none",
            runbook="versions-differ",
            width=8,
            height=6,
        ),
        lines(
            "Age of the lists",
            {"{{list}}": "time() - min by (list) (framewatch_list_published_timestamp_seconds{*})"},
            "What was added since is not found.",
            unit="s",
            runbook="list-stale",
            limit=7 * 86400,
            width=8,
        ),
        lines(
            "Entries of the lists",
            {"{{list}}": "min by (list) (framewatch_list_entries{*})"},
            "Falls after an update: was the list cut off on its way?",
            unit="none",
            runbook="list-shrank",
            width=8,
        ),
        lines(
            "Age of the classifier",
            {"{{job}}": "time() - max by (job) (framewatch_model_published_timestamp_seconds{*})"},
            "What was found before and after a new model.",
            unit="s",
            runbook="classifier-gone",
            width=8,
        ),
    ]

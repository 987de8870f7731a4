"""What all dashboards share: their variables, and panels whose words and colours mean the same everywhere.

In an expression ``{*}`` stands for the chosen namespace and job, ``{#}`` for these and the chosen workers, and
``{*,label="value"}`` for these and a label.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana_foundation_sdk.builders import bargauge, common, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders import dashboard as grafana
from grafana_foundation_sdk.models import common as how
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TypeVar

    Panel = TypeVar("Panel", stat.Panel, timeseries.Panel, bargauge.Panel, table.Panel)

SOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
CHOSEN = 'namespace=~"$namespace",job=~"$job"'
RUNBOOKS = "docs/runbooks"
"""Where runbooks are, as far as this repository knows; the chart puts the operator's address in its place."""
GREEN, ORANGE, RED, BLUE = "green", "orange", "red", "blue"
GOOD_TO_BAD = (GREEN, ORANGE, RED)


def empty(uid: str, title: str, description: str, *, instance: bool = False) -> grafana.Dashboard:
    """Return an empty dashboard with its variables; ``instance`` lets single workers be chosen."""
    made = (
        grafana.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags(["framewatch"])
        .refresh("30s")
        .time("now-1h", "now")
        .timezone("browser")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .editable()
        .link(_siblings())
        .with_variable(grafana.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(_choice("namespace", "label_values(framewatch_build_info, namespace)"))
        .with_variable(_choice("job", 'label_values(framewatch_build_info{namespace=~"$namespace"}, job)'))
    )
    if instance:
        of_job = f"label_values(framewatch_build_info{{{CHOSEN}}}, instance)"
        made = made.with_variable(_choice("instance", of_job))
    return made.with_variable(grafana.ConstantVariable("runbooks").value(RUNBOOKS))


def big(
    title: str,
    expression: str,
    description: str,
    *,
    unit: str,
    runbook: str,
    steps: Sequence[float] = (),
    colours: Sequence[str] = GOOD_TO_BAD,
    width: int = 4,
    height: int = 5,
    decimals: int | None = None,
    says: Mapping[str, str] | None = None,
) -> stat.Panel:
    """Return one number on a ground of its colour: ``colours[0]`` below ``steps[0]``, and so on.

    ``says`` has the words that stand for some values.
    """
    panel = (
        stat.Panel()
        .graph_mode(how.BigValueGraphMode.AREA)
        .color_mode(how.BigValueColorMode.BACKGROUND_SOLID if steps else how.BigValueColorMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(_thresholds(steps, colours))
        .no_value("nothing told")
        .with_target(_query("A", expression, ""))
    )
    if says:
        words = {value: model.ValueMappingResult(text=text) for value, text in says.items()}
        panel.mappings([model.ValueMap(options=words)])
    return _dressed(
        panel, title, description, unit=unit, runbook=runbook, width=width, height=height, decimals=decimals
    )


def lines(
    title: str,
    shown: Mapping[str, str],
    description: str,
    *,
    unit: str,
    runbook: str,
    width: int = 12,
    height: int = 8,
    stacked: bool = False,
    at_most: float | None = None,
    limit: float | None = None,
) -> timeseries.Panel:
    """Return lines over time.

    Args:
        title: A few words.
        shown: Legend to expression.
        description: What it shows, and when it is odd.
        unit: One of Grafana's.
        runbook: A page of docs/runbooks, without its ending.
        width: Of 24.
        height: In rows of the grid.
        stacked: Whether areas stand on each other.
        at_most: The axis' upper end.
        limit: Where a dashed red line is.
    """
    panel = (
        timeseries.Panel()
        .fill_opacity(40 if stacked else 8)
        .line_width(1)
        .show_points(how.VisibilityMode.NEVER)
        .min(0)
        .legend(common.VizLegendOptions().show_legend(True).placement(how.LegendPlacement.BOTTOM))
        .tooltip(common.VizTooltipOptions().mode(how.TooltipDisplayMode.MULTI).sort(how.SortOrder.DESCENDING))
    )
    if stacked:
        panel.stacking(common.StackingConfig().mode(how.StackingMode.NORMAL))
    if at_most is not None:
        panel.max(at_most)
    if limit is not None:
        panel.thresholds(_thresholds((limit,), ("transparent", RED)))
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(how.GraphThresholdsStyleMode.DASHED))
    for letter, (legend, expression) in zip("ABCDEF", shown.items(), strict=False):
        panel.with_target(_query(letter, expression, legend))
    return _dressed(panel, title, description, unit=unit, runbook=runbook, width=width, height=height)


def bars(
    title: str,
    legend: str,
    expression: str,
    description: str,
    *,
    unit: str,
    runbook: str,
    width: int = 8,
    height: int = 8,
) -> bargauge.Panel:
    """Return a bar a series, over the whole time that is shown."""
    panel = (
        bargauge.Panel()
        .orientation(how.VizOrientation.HORIZONTAL)
        .display_mode(how.BarGaugeDisplayMode.BASIC)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .min(0)
        .thresholds(_thresholds((), (BLUE,)))
        .with_target(_query("A", expression, legend).instant())
    )
    return _dressed(panel, title, description, unit=unit, runbook=runbook, width=width, height=height)


def rows(
    title: str, expression: str, description: str, *, unit: str, runbook: str, width: int = 12, height: int = 8
) -> table.Panel:
    """Return a table, a row a series with its labels."""
    hidden = {"Time": True, "__name__": True}
    panel = (
        table.Panel()
        .with_target(_query("A", expression, "").instant().format(PromQueryFormat.TABLE))
        .with_transformation(model.DataTransformerConfig(id_val="organize", options={"excludeByName": hidden}))
    )
    return _dressed(panel, title, description, unit=unit, runbook=runbook, width=width, height=height)


def _dressed(
    panel: Panel,
    title: str,
    description: str,
    *,
    unit: str,
    runbook: str,
    width: int,
    height: int,
    decimals: int | None = None,
) -> Panel:
    panel.title(title).description(description).unit(unit).datasource(SOURCE).span(width).height(height)
    panel.links([_runbook(runbook)])
    return panel if decimals is None else panel.decimals(decimals)


def _query(letter: str, expression: str, legend: str) -> prometheus.Dataquery:
    whole = expression.replace("{*", f"{{{CHOSEN}").replace("{#", f'{{{CHOSEN},instance=~"$instance"')
    made = prometheus.Dataquery().ref_id(letter).expr(whole).legend_format(legend or "__auto")
    return made.datasource(SOURCE)


def _thresholds(steps: Sequence[float], colours: Sequence[str]) -> grafana.ThresholdsConfig:
    limits = [None, *steps]
    made = [model.Threshold(value=at, color=colour) for at, colour in zip(limits, colours, strict=False)]
    return grafana.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(made)


def _choice(name: str, query: str) -> grafana.QueryVariable:
    return (
        grafana.QueryVariable(name)
        .label(name.capitalize())
        .datasource(SOURCE)
        .query(query)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(model.VariableOption(selected=True, text="All", value="$__all"))
    )


def _runbook(page: str) -> grafana.DashboardLink:
    return (
        grafana.DashboardLink("What to do")
        .type(model.DashboardLinkType.LINK)
        .url(f"${{runbooks}}/{page}.md")
        .target_blank(True)
    )


def _siblings() -> grafana.DashboardLink:
    return (
        grafana.DashboardLink("Framewatch")
        .type(model.DashboardLinkType.DASHBOARDS)
        .tags(["framewatch"])
        .include_vars(True)
        .keep_time(True)
    )

"""``python deploy/dashboards [--to FOLDER]``: writes Grafana's JSON of every dashboard into the chart, or elsewhere."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import found
import inside
import watched
from grafana_foundation_sdk.cog.encoder import JSONEncoder

CHART = Path(__file__).resolve().parents[1] / "helm" / "framewatch" / "files" / "dashboards"
DASHBOARDS = (watched, inside, found)


def main() -> None:
    """Write them."""
    parser = argparse.ArgumentParser(description="Writes Grafana's dashboards as JSON.")
    parser.add_argument("--to", type=Path, default=CHART, help="the folder to write into; the chart's without it")
    to = parser.parse_args().to
    to.mkdir(parents=True, exist_ok=True)
    for module in DASHBOARDS:
        made = module.dashboard().build()
        for number, panel in enumerate(made.panels or [], start=1):
            panel.id_val = number
        text = json.dumps(made, cls=JSONEncoder, indent=2, sort_keys=True)
        (to / f"{made.uid}.json").write_text(f"{text}\n")


if __name__ == "__main__":
    main()

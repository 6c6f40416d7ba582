"""`jina export flowchart`: a picture of the Flow in a YAML file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jina.executor import Executor
    from jina.plan.plans import FlowPlan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to draw and where to write it."""
    parser.add_argument("config_path", metavar="CONFIG", help="YAML file of a Flow")
    parser.add_argument("outpath", metavar="OUTPUT", help="file to write: .svg, .png, .jpg, .mmd or .txt; - is stdout")
    parser.add_argument("--vertical-layout", action="store_true", help="from top to bottom instead of left to right")
    parser.add_argument("--endpoints", action="store_true", help="import the Executors, to show endpoints and types")


def run(options: argparse.Namespace) -> int:
    """Draw it; to standard output as text."""
    from jina.export.flowchart import check_suffix, to_text
    from jina.orchestration import Flow
    from jina.orchestration.flow_picture import picture, write

    path = Path(options.outpath)
    if options.outpath != "-":
        check_suffix(path.suffix)
    flow = Flow.load_config(options.config_path)
    try:
        shown = picture(flow.plan, _classes(flow.plan) if options.endpoints else {}, running=False)
    finally:
        flow.close()
    if options.outpath == "-":
        print(to_text(shown), end="")
    else:
        write(shown, path, vertical=options.vertical_layout)
    return 0


def _classes(plan: FlowPlan) -> dict[str, type[Executor] | None]:
    from jina.executor.load import find_class

    return {one.name: find_class(one.workers[0].executor) for one in plan.deployments if one.workers}

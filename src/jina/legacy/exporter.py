"""What of `jina.exporter` is there: pictures of Flows."""

from __future__ import annotations

from argparse import Namespace


def export_flowchart(args: Namespace) -> None:
    """Draw the Flow of the YAML file `args.config_path` to `args.outpath`; `args.vertical_layout` from the top down."""
    from jina.orchestration import Flow

    vertical = bool(getattr(args, "vertical_layout", False))
    Flow.load_config(args.config_path).plot(args.outpath, vertical_layout=vertical)

"""`jina export grafana`: a dashboard for Grafana over the metrics of a service."""

from __future__ import annotations

import argparse
import pkgutil
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing to say."""
    del parser


def run(options: argparse.Namespace) -> int:
    """Print the dashboard as JSON."""
    del options
    sys.stdout.write((pkgutil.get_data("jina.observe", "grafana.json") or b"").decode())
    return 0

"""`jina flow`: serve the Flow of a YAML file until a signal ends it."""

from __future__ import annotations

import argparse

from jina.errors import UsageError
from jina.spec import FlowSpec
from jina.spec.flags import add_options, given


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """All options of a Flow; `--uses` is its YAML, whose options the others override."""
    add_options(parser, FlowSpec)


def run(options: argparse.Namespace) -> int:
    """Start, block, stop."""
    from jina.orchestration import Flow

    asked = given(options)
    if asked.get("uses") is None:
        raise UsageError("jina flow: --uses is missing, the YAML file of the Flow", help="jina flow --uses flow.yml")
    with Flow.from_command_line(asked) as flow:
        flow.block()
    return 0

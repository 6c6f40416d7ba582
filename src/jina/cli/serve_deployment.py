"""`jina deployment`: serve a Deployment from its YAML until a signal ends it."""

from __future__ import annotations

import argparse

from jina.spec import DeploymentSpec
from jina.spec.flags import add_options, given


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """All options of a Deployment; `--uses` may be a Deployment's YAML, whose options the others override."""
    add_options(parser, DeploymentSpec)


def run(options: argparse.Namespace) -> int:
    """Start, block, stop."""
    from jina.orchestration import Deployment

    deployment = Deployment.from_command_line(given(options))
    with deployment:
        deployment.block()
    return 0

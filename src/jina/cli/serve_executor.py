"""`jina executor`: serve one Executor in this process until a signal ends it."""

from __future__ import annotations

import argparse

from jina.spec import DeploymentSpec
from jina.spec.flags import add_options, given


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """All options of a Deployment; `--uses` names the Executor."""
    add_options(parser, DeploymentSpec)


def run(options: argparse.Namespace) -> int:
    """Construct the Executor, serve, close it."""
    from jina.orchestration import Deployment
    from jina.orchestration.part_here import is_part, serve_part

    if is_part(given(options)):
        return serve_part(given(options))
    deployment = Deployment.from_command_line(given(options), "executor")
    if not deployment.spec.reload:
        return deployment.serve_here()
    with deployment:  # what is started anew has to be a process of its own
        deployment.block()
    return 0

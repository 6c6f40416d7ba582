"""`jina gateway`: serve a gateway in this process, in front of Executors that run already."""

from __future__ import annotations

import argparse

from jina.spec import GatewaySpec
from jina.spec.flags import add_options, given


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """All options of a gateway; the graph is JSON, `--uses` a gateway class of one's own or its YAML."""
    add_options(parser, GatewaySpec)


def run(options: argparse.Namespace) -> int:
    """Meet the Executors, serve, drain."""
    from jina.orchestration.gateway_here import serve_gateway_here

    return serve_gateway_here(given(options))

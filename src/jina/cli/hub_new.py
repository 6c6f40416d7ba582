"""`jina hub new`: write an Executor package, asking for what the options do not say."""

from __future__ import annotations

import argparse
import sys

from jina.spec.flags import add_options, from_namespace
from jina.spec.hub import HubNewSpec


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One option for each question."""
    add_options(parser, HubNewSpec)


def run(options: argparse.Namespace) -> int:
    """Ask, write, and say what to do next."""
    from jina.hub.wizard import new_package

    spec = from_namespace(HubNewSpec, options)
    package = new_package(
        name=spec.name,
        path=spec.path,
        advanced=spec.advance_configuration,
        description=spec.description,
        keywords=spec.keywords,
        url=spec.url,
        dockerfile=spec.dockerfile,
    )
    files = sorted(package.files)
    print(f"{package.path}/")
    for name in files:
        print(f"{'└──' if name == files[-1] else '├──'} {name}")
    print(f"\nStart it:  jina executor --uses {package.path / 'config.yml'}", file=sys.stderr)
    return 0

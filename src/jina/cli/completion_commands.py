"""`jina commands`: names for the shell completion of Jina 3, one a line."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing to say."""


def run(options: argparse.Namespace) -> int:  # noqa: ARG001 - every command has this form
    """Print the first words that may follow `jina`."""
    from jina.cli.completion_words import following

    print("\n".join(following([])))
    return 0

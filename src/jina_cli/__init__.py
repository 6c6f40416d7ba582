"""The command line of jina under the package name that Jina 3 gave it."""

from __future__ import annotations


def main() -> None:
    """Run the command that `sys.argv` holds and exit with its code."""
    from jina.cli.main import entry

    entry()

"""`jina help WORD`: what a command or an option means."""

from __future__ import annotations

import argparse
from difflib import SequenceMatcher

from jina.cli.main import COMMANDS, command_parser, overview
from jina.errors import UsageError, nearest

_NEAR = 0.7


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The word to explain."""
    parser.add_argument("words", nargs="*", metavar="WORD", help="a command, or an option such as replicas")


def run(options: argparse.Namespace) -> int:
    """Print the help of the command, or every command's line about the option."""
    name = " ".join(options.words)
    if not name:
        print(overview())
    elif name in COMMANDS:
        print(command_parser(name)[0].format_help(), end="")
    else:
        print("\n".join(_option(name)))
    return 0


def _option(word: str) -> list[str]:
    flag = "--" + word.lstrip("-").replace("_", "-")
    found: list[str] = []
    known: set[str] = set()
    for name in COMMANDS:
        if name == "help":
            continue
        for action in command_parser(name)[0]._actions:  # noqa: SLF001 - argparse has no public list
            known.update(action.option_strings)
            if flag in action.option_strings:
                found.append(f"jina {name} {flag}: {(action.help or '').replace('%%', '%')}")
    if not found:
        near = nearest(word, [*COMMANDS, *(name.removeprefix("--") for name in known)])
        # A short word is near to many: those that differ in more than a third of their letters do not help.
        if near and SequenceMatcher(None, word, near).ratio() < _NEAR:
            near = None
        raise UsageError(
            f"help: neither a command nor an option: {word!r}{f', did you mean {near!r}?' if near else ''}",
            help="jina --help lists the commands, jina COMMAND --help its options",
        )
    return found

"""`jina completions WORD...`: what may follow the words typed so far, one a line."""

from __future__ import annotations

import argparse

from jina.cli.main import COMMANDS, GROUPS, command_parser


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whatever stands on the user's line so far."""
    parser.add_argument("words", nargs=argparse.REMAINDER, help="the words typed so far, without `jina`")


def run(options: argparse.Namespace) -> int:
    """Print the words."""
    print("\n".join(following(options.words)))
    return 0


def following(words: list[str]) -> list[str]:
    """The words that may come next."""
    if not words:
        singles = [name for name in COMMANDS if " " not in name]
        return [*sorted({*singles, *GROUPS}), "--help", "--version", "--version-full"]
    if words == words[:1] and words[0] in GROUPS:
        return [name.split()[1] for name in COMMANDS if name.startswith(words[0] + " ")]
    for length in (2, 1):
        name = " ".join(words[:length])
        if name in COMMANDS:
            parser, _ = command_parser(name)
            known = [text for action in parser._actions for text in action.option_strings if text.startswith("--")]  # noqa: SLF001 - argparse has no public list
            return [text for text in known if text not in words]
    return []

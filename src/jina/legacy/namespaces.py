"""`ArgNamespace` of `jina.helper`: keyword arguments, command-line words and namespaces into one another."""

from __future__ import annotations

import argparse
import copy
from collections.abc import Collection, Mapping
from typing import Any


class ArgNamespace:
    """Conversions between keyword arguments, words of a command line and `argparse.Namespace`."""

    @staticmethod
    def kwargs2list(kwargs: Mapping[str, Any]) -> list[str]:
        """Words of a command line: `--name value`, `--flag` for True; None and False are left out."""
        words: list[str] = []
        for name, value in kwargs.items():
            flag = f"--{name.replace('_', '-')}"
            if value is True:
                words.append(flag)
            elif isinstance(value, (list, tuple)):
                words += [flag, *map(str, value)]
            elif isinstance(value, Mapping):
                words += [flag, *(f"{key}: {item}" for key, item in value.items())]
            elif value is not None and value is not False:
                words += [flag, str(value)]
        return words

    @staticmethod
    def kwargs2namespace(kwargs: Mapping[str, Any], parser: argparse.ArgumentParser, **options: Any) -> Any:
        """What the parser makes of the keyword arguments; unknown ones are left out."""
        del options
        return parser.parse_known_args(ArgNamespace.kwargs2list(kwargs))[0]

    @staticmethod
    def get_non_defaults_args(
        args: argparse.Namespace, parser: argparse.ArgumentParser, taboo: Collection[str] = ()
    ) -> dict[str, Any]:
        """The options whose values differ from the parser's defaults."""
        return {
            name: value for name, value in vars(args).items() if name not in taboo and parser.get_default(name) != value
        }

    @staticmethod
    def flatten_to_dict(args: argparse.Namespace | Mapping[str, Any]) -> dict[str, Any]:
        """A namespace as a dictionary of its own."""
        return copy.copy(dict(args if isinstance(args, Mapping) else vars(args)))

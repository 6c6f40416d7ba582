"""What a rule of the specs finds."""

from __future__ import annotations

from typing import NamedTuple

from jina.errors import ConfigError, NotSupportedError


class Problem(NamedTuple):
    """A broken rule: the option at fault, the words, and the error that it is."""

    option: str
    text: str
    error: type[ConfigError] = ConfigError

    @property
    def not_yet(self) -> bool:
        """Whether it only is not available yet."""
        return self.error is NotSupportedError

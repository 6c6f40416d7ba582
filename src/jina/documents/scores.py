"""Scores of a match: a dict of named scores, each itself a dict, so that both travel like any other dict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_FIELDS = ("value", "op_name", "description", "ref_id")


class NamedScore(dict[str, Any]):
    """One score: `value` (a float), and optionally `op_name`, `description`, `ref_id`.

    Reading a part that was not set gives None (`value`: 0.0), as users of `doc.scores['cosine'].value` expect.
    """

    def __init__(self, value: float | Mapping[str, Any] | None = None, **parts: Any) -> None:
        if isinstance(value, Mapping):
            super().__init__(value)
        elif value is not None:
            super().__init__(value=value)
        else:
            super().__init__()
        self.update(parts)

    def __getattr__(self, name: str) -> Any:
        if name in _FIELDS:
            return self.get(name, 0.0 if name == "value" else None)
        raise AttributeError(f"a score has no part {name!r}; it has {', '.join(_FIELDS)}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in _FIELDS:
            raise AttributeError(f"a score has no part {name!r}; it has {', '.join(_FIELDS)}")
        self[name] = value


class Scores(dict[str, Any]):
    """The scores of a document by name; a name that is missing appears as an empty score when it is read.

    Dicts put in become `NamedScore`; any other value stays what it is.
    """

    def __init__(self, scores: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        for name, score in (scores or {}).items():
            self[name] = score

    def __setitem__(self, name: str, score: Any) -> None:
        super().__setitem__(name, NamedScore(score) if type(score) is dict else score)

    def __missing__(self, name: str) -> NamedScore:
        score = NamedScore()
        super().__setitem__(name, score)
        return score

"""Both clients against all servers: what each call has to see, and where a documented difference lies."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import Any

CLIENTS = ("ours", "theirs")
SERVERS = ("ours", "theirs")
FACES = {
    "ours": ("grpc", "unary", "http", "ws", "flow-grpc", "flow-http", "flow-ws"),
    "theirs": ("grpc", "unary", "http", "flow-grpc", "flow-http", "flow-ws"),
}
"""`unary` is gRPC with stream=False."""
STREAMED = ("grpc", "http", "ws", "flow-grpc", "flow-http", "flow-ws")


@dataclass(frozen=True)
class Raises:
    """An error that one of these classes catches, whose text holds `text`."""

    classes: tuple[str, ...]
    text: str = ""

    def __init__(self, *classes: str, text: str = "") -> None:
        object.__setattr__(self, "classes", classes)
        object.__setattr__(self, "text", text)


LOST_OR_RAISED = object()
"""Jina 3's WebSocket client raises BadServer in some runs and gives an empty result in others, from any server."""


@dataclass(frozen=True)
class Differs:
    """In combinations that match `where` (`client>server.listener`) the call sees something else."""

    where: str
    name: str
    expected: Any


@dataclass(frozen=True)
class Case:
    """A call of `calls.py`."""

    call: str
    expected: Any
    arguments: dict[str, Any] = field(default_factory=dict)
    listeners: tuple[str, ...] = ("grpc", "unary", "http", "ws", "flow-grpc", "flow-http", "flow-ws")
    differs: tuple[Differs, ...] = ()
    label: str = ""

    def expectation(self, where: str) -> Any:
        """What is to be seen in one combination; the first difference that matches counts.

        Our gateways behave as our workers do, unless a difference names them.
        """
        patterns = [(one, difference) for difference in self.differs for one in difference.where.split()]
        if ">ours.flow-" in where:
            named = [pair for pair in patterns if ">ours.flow-" in pair[0] and fnmatch(where, pair[0])]
            if named:
                return named[0][1].expected
            where = where.replace(">ours.flow-", ">ours.")
        for pattern, difference in patterns:
            if fnmatch(where, pattern):
                return difference.expected
        return self.expected


def check(seen: dict[str, Any], expected: Any) -> None:
    """Assert that what a call saw is as expected."""
    if expected is LOST_OR_RAISED:
        assert seen.get("result") == [] or "BadServer" in seen.get("raises", ()), seen
    elif isinstance(expected, Raises):
        assert "raises" in seen, seen
        assert set(expected.classes) <= set(seen["raises"]), seen
        assert expected.text in seen["text"], seen
    elif callable(expected):
        assert "result" in seen, seen
        expected(seen["result"])
    else:
        found = seen.get("result", seen)
        assert found == expected, f"saw\n{found}\nnot\n{expected}"

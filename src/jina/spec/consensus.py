"""`raft_configuration` as the agent takes it (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from jina.errors import nearest

OPTIONS: Final[Mapping[str, str]] = {
    "heartbeat_timeout": "milliseconds without a leader before a replica asks for votes",
    "election_timeout": "milliseconds that a candidate waits for votes",
    "leader_lease_timeout": "milliseconds after which a leader without contact to a majority steps down",
    "commit_timeout": "milliseconds after which an idle leader tells again how far the log is committed",
    "max_append_entries": "entries of the log sent at once",
    "trailing_logs": "entries kept in the log after a snapshot, at most",
    "trailing_bytes": "bytes of log kept after a snapshot, for replicas that are a little late",
    "snapshot_threshold": "entries after which a snapshot is taken",
    "snapshot_interval": "seconds after which a snapshot is taken if anything was written; 0: never",
    "snapshot_bytes": "bytes of log after which a snapshot is taken",
    "log_level": "of the agent: DEBUG, INFO, WARN or ERROR",
}
"""Option -> what it is."""
IGNORED: Final = frozenset({"batch_apply_ch", "shutdown_on_remove", "no_snapshot_restore_on_start"})
"""Options of Jina 3 whose effect there is none of here."""
_LEVELS: Final = frozenset({"DEBUG", "INFO", "WARN", "ERROR"})
_LEAST_MS: Final = 5


def complaints(given: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a configuration."""
    for written, value in given.items():
        name = _own_name(written)
        if name in IGNORED:
            continue
        if name not in OPTIONS:
            near = nearest(name, OPTIONS)
            yield f"there is no {written!r}" + (f"; did you mean {near!r}?" if near else "")
        elif name == "log_level":
            if value not in _LEVELS:
                yield f"log_level: {value!r} is none of DEBUG, INFO, WARN, ERROR"
        elif not isinstance(value, int) or isinstance(value, bool):
            yield f"{name}: {value!r} is not a whole number"
        elif value < 0:
            yield f"{name}: {value} is less than 0"
        elif name.endswith("_timeout") and value < _LEAST_MS:
            yield f"{name}: {value} ms are less than {_LEAST_MS}"
    yield from _relations(agent_options(given))


def agent_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """What the agent is told; one of `heartbeat_timeout` and `election_timeout` alone counts for both."""
    options = {name: value for written, value in given.items() if (name := _own_name(written)) in OPTIONS}
    heartbeat = options.get("heartbeat_timeout", options.get("election_timeout", 500))
    options.setdefault("heartbeat_timeout", heartbeat)
    options.setdefault("election_timeout", heartbeat)
    if isinstance(heartbeat, int):
        options.setdefault("leader_lease_timeout", max(min(500, heartbeat), _LEAST_MS))
    return options


def _own_name(name: str) -> str:
    """`log_level` for `LogLevel`, the form in which Jina 3 hands the options on."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def _relations(options: Mapping[str, Any]) -> Iterator[str]:
    heartbeat, election, lease = (
        options.get(name) for name in ("heartbeat_timeout", "election_timeout", "leader_lease_timeout")
    )
    if not all(isinstance(value, int) and value >= _LEAST_MS for value in (heartbeat, election, lease)):
        return  # which is said already
    if election < heartbeat:  # type: ignore[operator]
        yield f"election_timeout ({election}) is below heartbeat_timeout ({heartbeat})"
    if lease > heartbeat:  # type: ignore[operator]
        yield f"leader_lease_timeout ({lease}) is above heartbeat_timeout ({heartbeat})"

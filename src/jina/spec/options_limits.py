"""Options that protect a server: who may call, how often, how much at a time, how slowly."""

from __future__ import annotations

import os
from typing import Any

from pydantic import Field

from jina.spec.access import ApiKeys, RateLimit
from jina.spec.base import Spec
from jina.spec.types import Count, Index, Seconds, Text


def _keys_of_environment() -> Any:
    return os.environ.get("JINA_API_KEYS") or None


class AccessOptions(Spec):
    """Who may call, and how often."""

    api_keys: ApiKeys = Field(default_factory=_keys_of_environment, validate_default=True)
    """Keys that callers must show: name -> key, or name -> `{"key": ..., "endpoints": [...], "scopes": [...]}`; a list;
    or text such as `alice:KEY,bob:KEY`. Only digests are kept. The variable JINA_API_KEYS changes the
    default of none."""

    api_keys_file: Text | None = None
    """YAML file with further keys, as `api_keys` takes them, read by the server when it starts."""

    rate_limit: RateLimit | None = None
    """Requests that one key, or without keys one address, may send: `100/s`, `600/min`, `100/s burst 20`."""

    ssl_ca_certs: Text | None = None
    """File of the authorities (PEM) whose certificate a client must show; of an external Deployment, those to trust."""

    timeout_read: Seconds = 30
    """Seconds in which the head of a request must arrive, and its body, which gets a second more for each KiB; 0: no
    limit."""

    timeout_write: Seconds = 60
    """Seconds over which a client must take 1 KiB a second of the answers that wait for it, else its connection is
    closed; 0: no limit."""

    max_unread: Count = 32 * 1024 * 1024
    """Bytes of requests in work and of answers that may wait for one client on a WebSocket or a gRPC connection; above,
    no more of its requests are taken. One request and its answer may always be larger."""

    max_unread_total: Count = 256 * 1024 * 1024
    """Bytes of answers that may wait for all clients of one process; above, the connections that take least are
    closed."""

    @property
    def write_seconds(self) -> float:
        """`timeout_write` in seconds."""
        return float(self.timeout_write)  # type: ignore[arg-type]

    @property
    def read_seconds(self) -> float:
        """`timeout_read` in seconds."""
        return float(self.timeout_read)  # type: ignore[arg-type]  # a number once it is validated


class InflightOptions(Spec):
    """How many requests at a time."""

    max_inflight: Count = 10_000
    """Requests in work or waiting in one process, worker or gateway; more are refused with 429."""


class QueueOptions(Spec):
    """How many requests wait."""

    max_queue: Index | None = None
    """Requests that wait for a `def` handler in one worker, a batch as one; more are refused with 429. Unset:
    `max_inflight` alone counts."""

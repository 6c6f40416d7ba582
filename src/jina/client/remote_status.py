"""The state of a remote service by its public pages: health, and versions where no key is needed."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, urlsplit

from jina.errors import JinaError, Unavailable, UsageError

_SECURE = {"grpcs", "https", "wss"}
_SCHEMES = {"grpc", "http", "ws", *_SECURE}
_LIST, _CHECK = "/grpc.health.v1.Health/List", "/grpc.health.v1.Health/Check"


@dataclass
class RemoteStatus:
    """What a service says. `checks` are what its readiness is made of, such as the Deployments and their replicas."""

    address: str
    state: str
    """`ready`, `not ready`, or `down` where nothing answers."""
    checks: dict[str, bool] = field(default_factory=dict)
    version: str = ""
    """Of jina; empty where the service does not tell it without a key."""
    why: str = ""
    """Why nothing answers."""

    def __str__(self) -> str:
        version = f" (jina {self.version})" if self.version else ""
        lines = [f"{self.address}: {self.state}{version}" + (f": {self.why}" if self.why else "")]
        width = max(map(len, self.checks), default=0)
        return "\n".join([*lines, *(f"  {name:<{width}}  {'ok' if ok else 'no'}" for name, ok in self.checks.items())])


def status_at(address: str, timeout: float = 5.0, key: str = "") -> RemoteStatus:
    """Ask the service at `grpc://host:port` or `http://host:port`; with TLS `grpcs` or `https`."""
    parts = _parts(address)
    ask = _by_grpc if parts.scheme.startswith("grpc") else _by_http
    try:
        return ask(address, parts, timeout, key)
    except (OSError, http.client.HTTPException, ValueError, JinaError) as error:
        return RemoteStatus(address, "down", why=error.message if isinstance(error, JinaError) else str(error))


def _parts(address: str) -> SplitResult:
    try:
        parts = urlsplit(address)
        if parts.scheme in _SCHEMES and parts.hostname and parts.port is not None:
            return parts
    except ValueError:
        pass
    raise UsageError(f"status: not an address: {address!r}", help="such as grpc://localhost:51000 or https://host:443")


def _by_http(address: str, parts: SplitResult, timeout: float, key: str) -> RemoteStatus:
    def get(path: str) -> tuple[int, str]:
        assert parts.hostname
        connection: http.client.HTTPConnection
        if parts.scheme in _SECURE:
            context = ssl.create_default_context()
            connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=timeout, context=context)
        else:
            connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
        try:
            connection.request("GET", path, headers={"X-API-Key": key} if key else {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        finally:
            connection.close()

    code, text = get("/readyz?verbose")
    if code not in {200, 503}:
        raise Unavailable(
            f"GET /readyz answered {code}: this is not a jina service of this version",
            help="give an address that `jina status` lists on the machine of the service",
        )
    checks = {line[3:].rpartition(" ")[0]: line[1] == "+" for line in text.splitlines() if line.startswith("[")}
    code_of_info, info = get("/status")
    version = str(json.loads(info).get("jina", {}).get("jina", "")) if code_of_info == 200 else ""
    return RemoteStatus(address, "ready" if code == 200 else "not ready", checks, version)


def _by_grpc(address: str, parts: SplitResult, timeout: float, key: str) -> RemoteStatus:
    from jina.client.grpc import STATUS, way_of
    from jina.client.grpc_connection import Arguments, BlockingCalls, GrpcError
    from jina.client.loops import run
    from jina.codec import pb
    from jina.net.channel import ChannelSettings, Target

    assert parts.hostname
    assert parts.port is not None
    target = Target(parts.scheme, parts.hostname, parts.port, tls=parts.scheme in _SECURE)
    calls = BlockingCalls(way_of(target, ChannelSettings()))

    def ask(path: str, key: str = "") -> bytes:
        metadata = ((b"x-api-key", key.encode()),) if key else ()
        return run(calls.unary(path, b"", Arguments(timeout, metadata)))[0]

    try:
        ready, checks = _health(ask)
        try:
            version = pb.JinaInfoProto.FromString(ask(STATUS, key)).jina["jina"]
        except GrpcError:
            version = ""  # it needs a key, or is not a jina service
    except GrpcError as error:
        raise Unavailable(error.details or error.code.name) from None
    finally:
        run(calls.close())
    return RemoteStatus(address, "ready" if ready else "not ready", checks, version)


def _health(ask: Callable[[str], bytes]) -> tuple[bool, dict[str, bool]]:
    """Whether the whole serves, and its parts; those only of servers that list them."""
    from jina.client.grpc_connection import GrpcError
    from jina.codec import pb
    from jina.net.grpc_wire import Code

    state: Any = pb.message_class("grpc.health.v1.HealthCheckResponse")
    states: Any = pb.message_class("grpc.health.v1.HealthListResponse")
    try:
        found = states.FromString(ask(_LIST)).statuses
        names = sorted(name for name in found if name and not name.startswith(("jina.", "grpc.")))
        return found[""].status == state.SERVING, {name: found[name].status == state.SERVING for name in names}
    except GrpcError as error:
        if error.code is not Code.UNIMPLEMENTED:
            raise
    return state.FromString(ask(_CHECK)).status == state.SERVING, {}

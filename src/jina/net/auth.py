"""Who may call the listeners of a server, and how often."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, MutableMapping

from jina.errors import ConfigError, Overloaded, PermissionDenied, Unauthenticated, quoted
from jina.plan.plans import AccessPlan, KeyPlan
from jina.routing.rate import Buckets

KEY_HEADER = "x-api-key"
NAME_HEADER = "x-api-key-name"
"""Tells the Executor whose key the request had."""
_BEARER = "bearer "
_ANYBODY = KeyPlan(name="", digest="")
"""Who calls where no keys are needed."""
_PAGES = {
    "/console": "console",
    "/metrics": "metrics",
    "/status": "status",
    "/jina.JinaInfoRPC": "status",
    "/docs": "docs",
    "/redoc": "docs",
    "/openapi.json": "docs",
    "/grpc.reflection.v1.ServerReflection": "docs",
    "/grpc.reflection.v1alpha.ServerReflection": "docs",
}
"""The scope of a key that opens a page of HTTP, or the methods of a gRPC service."""


class Caller:
    """One who may call: a key, or an address where no keys are needed."""

    __slots__ = ("_access", "_ident", "_key")

    def __init__(self, access: Access, key: KeyPlan, ident: str) -> None:
        self._access = access
        self._key = key
        self._ident = ident

    def take(self) -> None:
        """Count one request; raises `Overloaded` for one too many."""
        self._access.take(self._ident, self._key.name)

    def check(self, endpoint: str) -> None:
        """Raise `PermissionDenied` where the key may not call the endpoint."""
        if self._key.endpoints and endpoint not in self._key.endpoints:
            raise PermissionDenied(f"the key {self._key.name!r} may not call {quoted(endpoint)}")

    def check_page(self, path: str) -> None:
        """Raise `PermissionDenied` where the key may not call a page or method that describes the server."""
        scope = next((scope for prefix, scope in _PAGES.items() if path == prefix or path.startswith(f"{prefix}/")), "")
        if scope and self._key is not _ANYBODY and scope not in self._key.scopes:
            raise PermissionDenied(f"the key {self._key.name!r} may not call {path}: it lacks the scope {scope!r}")

    def has_scope(self, scope: str) -> bool:
        """Whether the caller has a key with the scope."""
        return self._key is not _ANYBODY and scope in self._key.scopes

    @property
    def named(self) -> bool:
        """Whether the caller has a key at all."""
        return self._key is not _ANYBODY

    def check_route(self, path: str) -> None:
        """Raise `PermissionDenied` where the key may not call a route of the user's own.

        An endpoint that ends in `/*` opens what is below.
        """
        opened = self._key.endpoints
        if opened and not any(path == one or (one.endswith("/*") and path.startswith(one[:-1])) for one in opened):
            raise PermissionDenied(f"the key {self._key.name!r} may not call {quoted(path)}")


class Access:
    """The rules of one server, shared by its listeners.

    The digests of keys are compared in a time that says nothing about them. `clock` gives seconds.
    """

    def __init__(self, plan: AccessPlan, clock: Callable[[], float] = time.monotonic) -> None:
        self._keys = [(key, key.digest.encode()) for key in (*plan.keys, *_keys_in(plan.keys_file))]
        self._rate = plan.rate
        self._buckets = Buckets(plan.rate, plan.burst) if plan.rate else None
        self._clock = clock

    @property
    def closed(self) -> bool:
        """Whether callers need a key."""
        return bool(self._keys)

    def caller(self, headers: MutableMapping[str, str], address: str) -> Caller:
        """Who sends the headers; raises `Unauthenticated`.

        The key leaves the headers, which Executors may read and log; the name of its owner takes its place.
        """
        if not self._keys:
            return Caller(self, _ANYBODY, address)
        shown = headers.get(KEY_HEADER, "").strip() or _bearer(headers)
        if not shown:
            raise Unauthenticated(
                "this service needs a key", help=f"send it as {KEY_HEADER}, or as Authorization: Bearer"
            )
        key = self._found(shown)
        if key is None:
            raise Unauthenticated("unknown key")
        self._remove_keys(headers)
        headers[NAME_HEADER] = key.name
        return Caller(self, key, f"key {key.name}")

    def _remove_keys(self, headers: MutableMapping[str, str]) -> None:
        """Remove the key wherever it stands. Another token of `Authorization` is the application's own."""
        headers.pop(KEY_HEADER, None)
        token = _bearer(headers)
        if token and self._found(token) is not None:
            del headers["authorization"]

    def _found(self, shown: str) -> KeyPlan | None:
        forms = [shown.encode("utf-8", "surrogateescape")]
        if not shown.isascii():
            # Headers are read as Latin-1; a client may have sent the key as UTF-8.
            forms.append(shown.encode("latin-1", "replace"))
        digests = [b"sha256:" + hashlib.sha256(form).hexdigest().encode() for form in forms]
        found = None
        for key, known in self._keys:
            for digest in digests:
                if hmac.compare_digest(digest, known):
                    found = key
        return found

    def take(self, ident: str, name: str) -> None:
        """Count a request of a caller; raises `Overloaded` for one too many."""
        if self._buckets is None:
            return
        wait = self._buckets.take(ident, self._clock())
        if wait:
            whose = f"the key {name!r}" if name else "this address"
            raise Overloaded(f"{whose} is over its rate_limit of {self._rate:g} requests per second", retry_after=wait)


def access_of(plan: AccessPlan | None) -> Access | None:
    """The rules in a plan; None where there are none. Raises `ConfigError` for a file that has no valid keys."""
    if plan is None or not (plan.keys or plan.keys_file or plan.rate):
        return None
    return Access(plan)


def _bearer(headers: MutableMapping[str, str]) -> str:
    """The token of `Authorization: Bearer`, empty without one."""
    authorization = headers.get("authorization", "")
    return authorization[len(_BEARER) :].strip() if authorization[: len(_BEARER)].lower() == _BEARER else ""


def _keys_in(path: str) -> list[KeyPlan]:
    if not path:
        return []
    import yaml

    from jina.config.types import keys_of
    from jina.plan.processes import key_plan

    try:
        with open(path, encoding="utf-8") as file:
            keys = keys_of(yaml.safe_load(file))
    except OSError as error:
        raise ConfigError(f"api_keys_file: cannot read {path!r}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError):
        raise ConfigError(f"api_keys_file: {path!r} is not YAML") from None  # whose message would quote the file
    except ValueError as error:
        raise ConfigError(f"api_keys_file: {path!r}: {error}") from None
    if not keys:
        raise ConfigError(f"api_keys_file: {path!r} has no keys")
    return [key_plan(key) for key in keys]

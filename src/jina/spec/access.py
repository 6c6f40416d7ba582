"""Keys of callers and limits of their rate, as users write them. A key is never kept, only its digest."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, NamedTuple

from pydantic import PlainValidator, WithJsonSchema

SCHEME: Final = "sha256:"
"""What a digest begins with where a key may stand."""
LEAST_LENGTH: Final = 8
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_NAME: Final = re.compile(r"[\w.@-]{1,64}")
_RATE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*/\s*(s|sec|second|min|minute|h|hour)(?:\s*,?\s*burst\s+(\d+))?")
SCOPES: Final = ("docs", "metrics", "status")
"""What a server tells of itself, beside its endpoints."""
_SECONDS: Final = {"s": 1, "sec": 1, "second": 1, "min": 60, "minute": 60, "h": 3600, "hour": 3600}


class Key(NamedTuple):
    """Who has a key, the digest of the key, and what may be called with it; without endpoints all.

    `scopes` are those of `SCOPES` that the key opens: all for a key without endpoints, none for one with endpoints,
    unless they are given.
    """

    name: str
    digest: str
    endpoints: tuple[str, ...] = ()
    scopes: tuple[str, ...] = SCOPES


class Rate(NamedTuple):
    """Requests per second on average, and how many at once."""

    per_second: float
    burst: int


def digest_of(key: str) -> str:
    """`sha256:` and the digest of a key."""
    return SCHEME + hashlib.sha256(key.encode()).hexdigest()


def keys_of(value: Any) -> list[Key]:
    """The keys in a mapping, a list or text; raises ValueError, whose message never has a key in it."""
    keys = [_key(name, told) for name, told in _named(value)]
    names = [key.name for key in keys]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"the name {name!r} has two keys; names must differ")
    return keys


def normal(value: Any) -> dict[str, Any] | None:
    """What `keys_of` takes, as a mapping that holds digests instead of keys."""
    if value is None:
        return None
    keys = keys_of(value)
    if not keys:
        raise ValueError("there is no key in it; leave the option out where none is needed")
    return {key.name: _normal_key(key) for key in keys}


def _normal_key(key: Key) -> dict[str, Any] | str:
    limits: dict[str, Any] = {"endpoints": list(key.endpoints)} if key.endpoints else {}
    if key.scopes != (() if key.endpoints else SCOPES):
        limits["scopes"] = list(key.scopes)
    return {"key": key.digest, **limits} if limits else key.digest


def rate_of(text: str) -> Rate:
    """What `100/s burst 20` means; raises ValueError for other text."""
    match = _RATE.fullmatch(text.strip().lower())
    rate = float(match[1]) / _SECONDS[match[2]] if match else 0.0
    if match is None or rate <= 0:
        raise ValueError(f"{text!r} is no rate such as '100/s', '600/min' or '100/s burst 20'")
    burst = int(match[3]) if match[3] else max(1, math.ceil(rate))
    if burst < 1:
        raise ValueError(f"{text!r}: a burst of {burst} lets nothing through")
    return Rate(rate, burst)


def _named(value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [(str(name), told) for name, told in value.items()]
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise ValueError("not a mapping of names to keys, a list of keys, or text such as 'alice:KEY,bob:KEY'")
    return [_split(item, number) for number, item in enumerate(value, 1)]


def _split(item: str, number: int) -> tuple[str, str]:
    if item.startswith(SCHEME) or ":" not in item:
        return f"key-{number}", item
    name, _, key = item.partition(":")
    return name.strip(), key.strip()


def _key(name: str, told: Any) -> Key:
    if not _NAME.fullmatch(name):
        raise ValueError("a name of a key must be letters, digits and any of _.@- (64 at most)")
    endpoints: Any = ()
    scopes: Any = None
    if isinstance(told, Mapping):
        unknown = sorted(set(map(str, told)) - {"key", "endpoints", "scopes"})
        if unknown or "key" not in told:
            raise ValueError(f"{name}: a mapping must have 'key' and may have 'endpoints' and 'scopes', nothing else")
        endpoints, scopes, told = told.get("endpoints") or (), told.get("scopes"), told["key"]
    if not isinstance(endpoints, list | tuple) or not all(isinstance(one, str) and one for one in endpoints):
        raise ValueError(f"{name}: endpoints is not a list of names such as '/search'")
    if scopes is None:
        scopes = () if endpoints else SCOPES
    if not isinstance(scopes, list | tuple) or not set(scopes) <= set(SCOPES):
        raise ValueError(f"{name}: scopes is not a list of any of {', '.join(SCOPES)}")
    return Key(name, _digest(name, told), tuple(endpoints), tuple(scopes))


def _digest(name: str, key: Any) -> str:
    if isinstance(key, str) and key.startswith(SCHEME):
        if not _DIGEST.fullmatch(key):
            raise ValueError(f"{name}: 'sha256:' is not followed by 64 hexadecimal digits in lower case")
        return key
    if not isinstance(key, str) or len(key) < LEAST_LENGTH or not key.isascii() or not key.isprintable() or " " in key:
        raise ValueError(f"{name}: a key is text of at least {LEAST_LENGTH} ASCII characters without spaces")
    return digest_of(key)


def _rate_text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no rate such as '100/s', '600/min' or '100/s burst 20'")  # noqa: TRY004 - pydantic collects ValueError
    rate_of(value)
    return value.strip()


def _one_key(value: Any) -> str:
    if not isinstance(value, str) or not value or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("a key is text of ASCII characters without spaces")
    return value


ApiKey = Annotated[str, PlainValidator(_one_key), WithJsonSchema({"type": "string"})]
"""A key as a caller has it."""

ApiKeys = Annotated[
    Mapping[str, Any] | list[str] | str | None,
    PlainValidator(normal),
    WithJsonSchema({"type": ["object", "array", "string", "null"]}),
]
"""A mapping of names to digests, or to `{"key": digest, "endpoints": [...], "scopes": [...]}`, once it is validated."""

RateLimit = Annotated[str, PlainValidator(_rate_text), WithJsonSchema({"type": "string"})]

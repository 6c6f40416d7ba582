"""The types of option values: addresses, keys, sizes, times; how strictly each is read, and its error."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any, Final, Literal, NamedTuple, cast

from pydantic import BeforeValidator, Field, GetPydanticSchema, PlainValidator, Strict, WithJsonSchema

from jina.errors import nearest

_WHOLE_IN_TEXT: Final = re.compile(r"-?(0|[1-9][0-9]*)")
_NUMBER_IN_TEXT: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_SPECIAL: Final = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}
_PAIR: Final = re.compile(r"([^:=]+)[:=](.*)", re.DOTALL)


def value_of(text: str) -> Any:
    """The value that `text` spells: whole number, number, true or false, list, JSON object, nothing, or text.

    Quotes around the whole make it text (`'1'` is not a number). A whole number with leading zeros, signs or
    underscores stays text: it is an identifier, not an amount.
    """
    stripped = text.strip()
    if len(stripped) >= 2 and stripped[0] == stripped[-1] and stripped[0] in "'\"":
        return stripped[1:-1]
    if stripped[:1] == "[" and stripped[-1:] == "]":
        return _list_of(stripped)
    if stripped[:1] == "{" and stripped[-1:] == "}":
        return _json_or(stripped, text)
    if _WHOLE_IN_TEXT.fullmatch(stripped):
        return int(stripped)
    if _NUMBER_IN_TEXT.fullmatch(stripped) and not stripped.lstrip("+-").isdigit():
        return float(stripped)
    if stripped.lower() in {"true", "false"}:
        return stripped.lower() == "true"
    return _SPECIAL.get(stripped, text if stripped else None)


def _list_of(text: str) -> list[Any]:
    parsed = _json_or(text, None)
    if isinstance(parsed, list):
        return parsed
    inside = text[1:-1].strip()
    return [value_of(item.strip()) for item in inside.split(",")] if inside else []


def read_json(text: str) -> Any:
    """The value of JSON text; raises ValueError, also where it is nested too deeply for Python."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _json_or(text: str, otherwise: Any) -> Any:
    try:
        return read_json(text)
    except ValueError:
        return otherwise


def mapping_of(words: list[str]) -> dict[str, Any]:
    """`["a:1", "b=x"]` or one JSON object as a mapping; values are read by `value_of`.

    Raises ValueError for a word that is neither.
    """
    found: dict[str, Any] = {}
    for word in words:
        if word.lstrip().startswith("{"):
            parsed = read_json(word)
            if not isinstance(parsed, dict):
                raise ValueError(f"{word!r} is not a JSON object")
            found |= parsed
            continue
        key, value = pair_of(word)
        found[key] = value_of(value)
    return found


def pair_of(word: str) -> tuple[str, str]:
    """`A=1` or `A: 1` as `("A", "1")`; raises ValueError for a word that is neither."""
    match = _PAIR.fullmatch(word)
    if match is None:
        raise ValueError(f"{word!r} is neither key:value, key=value nor a JSON object")
    return match[1].strip(), match[2].lstrip()


Protocol = Literal["grpc", "http", "websocket"]
SCHEMES: Final[dict[str, tuple[Protocol, bool]]] = {
    "grpc": ("grpc", False),
    "grpcs": ("grpc", True),
    "http": ("http", False),
    "https": ("http", True),
    "ws": ("websocket", False),
    "wss": ("websocket", True),
    "websocket": ("websocket", False),
}
"""Scheme of an address -> protocol and TLS."""
_ADDRESS: Final = re.compile(
    r"(?:(?P<scheme>[A-Za-z][\w+.-]*)://)?"
    r"(?:\[(?P<bracketed>[\w:.%]+)\]|(?P<name>[^\s:/?#@\[\]]+))"
    r"(?::(?P<port>\d+))?/?"
)
_LONGEST_NAME: Final = 200
"""Bytes; a component of a path can have 255, and endings are added."""
_BARE_IPV6: Final = re.compile(r"[0-9A-Fa-f]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f.]*(%\w+)?")


Via = Literal["", "dns", "kubernetes"]
_DISCOVERED: Final = re.compile(
    r"(?P<via>dns|kubernetes)(?:\+(?P<scheme>grpcs?))?://(?P<server>[^/]*)/?(?P<address>.*)"
)
_SERVICE_NAME: Final = re.compile(
    r"[a-z](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.svc(?:\.[\w.-]+)?)?)?"
)


class Address(NamedTuple):
    """An address taken apart; what it does not say is None."""

    scheme: str | None
    host: str
    port: int | None
    via: Via = ""


class Target(NamedTuple):
    """Where a running service is."""

    protocol: Protocol
    host: str
    port: int
    tls: bool

    @property
    def via(self) -> Via:
        """How several replicas are found behind the host; empty for one service."""
        return ""


class DnsTarget(Target):
    """All addresses of a name are replicas."""

    @property
    def via(self) -> Via:
        """See `Target`."""
        return "dns"


class KubernetesTarget(Target):
    """The pods of a Service are replicas."""

    @property
    def via(self) -> Via:
        """See `Target`."""
        return "kubernetes"


TARGETS: Final[dict[Via, type[Target]]] = {"": Target, "dns": DnsTarget, "kubernetes": KubernetesTarget}
"""By how the replicas are found."""


def is_name(text: str) -> bool:
    """Whether a text can be the name of a service, and so one component of a path."""
    return (
        bool(text)
        and text == text.strip()
        and text.isprintable()
        and text not in {".", ".."}
        and not {"/", "\\"} & set(text)
        and len(text.encode(errors="replace")) <= _LONGEST_NAME
    )


def split_address(text: str, *, discovered: bool = False) -> Address:
    """`text` taken apart; the host comes without brackets.

    With `discovered` it may be `dns:///name:port` or `kubernetes:///service.namespace:port`. Raises ValueError with
    the rule that it breaks.
    """
    if (found := _DISCOVERED.fullmatch(text.strip())) is not None:
        if not discovered:
            raise ValueError(
                f"{text!r} finds the replicas of an external Deployment; here one host is wanted, as host:port"
            )
        return _discovered_address(found)
    if _BARE_IPV6.fullmatch(text):
        return Address(None, text, None)
    match = _ADDRESS.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not host, host:port or scheme://host:port")
    scheme = match["scheme"].lower() if match["scheme"] else None
    if scheme is not None and scheme not in SCHEMES:
        near = nearest(scheme, SCHEMES)
        hint = f", did you mean '{near}'?" if near else ""
        raise ValueError(f"unknown scheme {scheme!r}, not one of {', '.join(SCHEMES)}{hint}")
    port = int(match["port"]) if match["port"] else None
    if port is not None and not 1 <= port <= 65535:
        raise ValueError(f"{port} is not a port (1 to 65535)")
    return Address(scheme, match["bracketed"] or match["name"], port)


def _discovered_address(found: re.Match[str]) -> Address:
    via = cast("Via", found["via"])
    named = found["address"] or found["server"]
    if via == "dns" and found["server"]:
        raise ValueError(
            f"{found[0]!r}: write dns:///{named}, with three slashes: after two stands the address of a DNS server, "
            "and here the system resolves the names"
        )
    name, port = split_address(named)[1:3] if named else ("", None)
    if via == "kubernetes" and not _SERVICE_NAME.fullmatch(name):
        raise ValueError(f"{found[0]!r} is not kubernetes:///service.namespace:port")
    if not name or (found["server"] and found["address"]):
        raise ValueError(f"{found[0]!r} is not {via}:///name:port")
    return Address(found["scheme"], name, port, via)


SCHEME: Final = "sha256:"
"""What a digest begins with where a key may stand."""
LEAST_LENGTH: Final = 8
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_NAME: Final = re.compile(r"[\w.@-]{1,64}")
_RATE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*/\s*(s|sec|second|min|minute|h|hour)(?:\s*,?\s*burst\s+(\d+))?")
SCOPES: Final = ("console", "docs", "metrics", "status")
"""What a server tells of itself, beside its endpoints."""
ADMIN: Final = "admin"
"""The scope of the actions of the console. No key has it unless it is named."""
_SECONDS_OF_PERIOD: Final = {"s": 1, "sec": 1, "second": 1, "min": 60, "minute": 60, "h": 3600, "hour": 3600}


class Key(NamedTuple):
    """Who has a key, the digest of the key, and what may be called with it; without endpoints all.

    `scopes` are those of `SCOPES` that the key opens: all for a key without endpoints, none for one with endpoints,
    unless they are given. `admin` is only had by a key that names it.
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
    keys = [_key(name, entry) for name, entry in _named(value)]
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
    rate = float(match[1]) / _SECONDS_OF_PERIOD[match[2]] if match else 0.0
    if match is None or rate <= 0:
        raise ValueError(f"{text!r} is not a rate such as '100/s', '600/min' or '100/s burst 20'")
    burst = int(match[3]) if match[3] else max(1, math.ceil(rate))
    if burst < 1:
        raise ValueError(f"{text!r}: a burst of {burst} lets nothing through")
    return Rate(rate, burst)


def _named(value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [(str(name), entry) for name, entry in value.items()]
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


def _key(name: str, entry: Any) -> Key:
    if not _NAME.fullmatch(name):
        raise ValueError("a name of a key must be letters, digits and any of _.@- (64 at most)")
    endpoints: Any = ()
    scopes: Any = None
    if isinstance(entry, Mapping):
        unknown = sorted(set(map(str, entry)) - {"key", "endpoints", "scopes"})
        if unknown or "key" not in entry:
            raise ValueError(f"{name}: a mapping must have 'key' and may have 'endpoints' and 'scopes', nothing else")
        endpoints, scopes, entry = entry.get("endpoints") or (), entry.get("scopes"), entry["key"]
    if not isinstance(endpoints, list | tuple) or not all(isinstance(one, str) and one for one in endpoints):
        raise ValueError(f"{name}: endpoints is not a list of names such as '/search'")
    if scopes is None:
        scopes = () if endpoints else SCOPES
    if not isinstance(scopes, list | tuple) or not set(scopes) <= {*SCOPES, ADMIN}:
        raise ValueError(f"{name}: scopes is not a list of any of {', '.join(sorted((*SCOPES, ADMIN)))}")
    return Key(name, _digest(name, entry), tuple(endpoints), tuple(scopes))


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
        raise ValueError(f"{value!r} is not a rate such as '100/s', '600/min' or '100/s burst 20'")  # noqa: TRY004 - pydantic collects ValueError
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

_WHOLE: Final = re.compile(r"[+-]?\d+")
_DURATION: Final = re.compile(r"\s*([+-]?\d+(?:\.\d+)?)\s*(ms|s|sec|min|m|h)?\s*")
_NUMBER: Final = re.compile(r"\d+(\.\d*)?|\.\d+")
_GPU: Final = re.compile(r"\d+|(GPU|MIG)-[\w/-]+")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "sec": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0}


def shown(value: object) -> str:
    """The value for an error message, cut to 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _number_from_text(value: Any) -> Any:
    return int(value) if isinstance(value, str) and _WHOLE.fullmatch(value.strip()) else value


def _text(value: Any) -> Any:
    # YAML turns an unquoted `name: 123` into a number; written back it is the same text.
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _list(value: Any) -> Any:
    if isinstance(value, str | os.PathLike):
        return [value]
    return list(value) if isinstance(value, tuple | set | frozenset) else value


def _list_from_json(value: Any) -> Any:
    text = value[0] if isinstance(value, list) and len(value) == 1 else value
    return _json(text) if isinstance(text, str) and text.lstrip().startswith("[") else _list(value)


def _port(value: Any) -> int:
    number = _number_from_text(value)
    if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= 65535:
        raise ValueError(f"{shown(value)} is not a port (1 to 65535)")
    return number


def _ports(value: Any) -> int | list[int] | None:
    if value is None:
        return None
    if isinstance(value, list | tuple):
        return [_port(item) for item in value]
    return _port(value)


def choice(*names: str) -> Callable[[Any], str]:
    """A validator: one of `names` in any case, also as an enum member with that `.name`."""
    by_folded = {name.lower(): name for name in names}

    def choose(value: Any) -> str:
        text = value if isinstance(value, str) else getattr(value, "name", None)
        if isinstance(text, str) and text.lower() in by_folded:
            return by_folded[text.lower()]
        near = nearest(text.lower(), by_folded) if isinstance(text, str) else None
        hint = f", did you mean '{by_folded[near]}'?" if near else ""
        raise ValueError(f"{shown(text or value)} is not one of {', '.join(names)}{hint}")

    return choose


_protocol = choice("grpc", "http", "websocket")


def _protocols(value: Any) -> str | list[str]:
    if isinstance(value, list | tuple):
        if not value:
            raise ValueError("an empty list; name at least one of grpc, http, websocket")
        return [_protocol(item) for item in value]
    return _protocol(value)


API_NAMES: Final = ("mcp", "oip", "openai")
_api = choice(*API_NAMES)


def _apis(value: Any) -> list[str]:
    return list(dict.fromkeys(map(_api, value if isinstance(value, list | tuple) else [value])))


def _hosts(value: Any) -> str | list[str]:
    items = value if isinstance(value, list | tuple) else [value]
    if not items or not all(isinstance(item, str) and item.strip() for item in items):
        raise ValueError(f"{shown(value)} is not a host name or address")
    return [item.strip() for item in items] if isinstance(value, list | tuple) else value.strip()


def duration(value: Any, unit: float) -> float | None:
    """`value` in units of `unit` seconds, or None when it is no duration.

    Takes a number in that unit, text with a unit of its own (`"30s"`, `"500ms"`, `"2min"`, `"1h"`) or a timedelta.
    """
    if isinstance(value, timedelta):
        return value.total_seconds() / unit
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str) and (match := _DURATION.fullmatch(value)):
        number = float(match[1])
        return number * _SECONDS[match[2]] / unit if match[2] else number
    return None


def _duration(unit_name: str, *, forever: bool = False) -> PlainValidator:
    unit = _SECONDS[unit_name]
    words = "milliseconds" if unit_name == "ms" else "seconds"
    allowed = f'a duration in {words} (a number, or text such as "30s")' + (", or -1 for ever" if forever else "")

    def read(value: Any) -> int | float:
        number = duration(value, unit)
        if number is None or not (0 <= number < float("inf") or (forever and number == -1)):
            raise ValueError(f"{shown(value)} is not {allowed}")
        number = round(number, 9)
        return int(number) if number.is_integer() else number

    return PlainValidator(read)


_GATEWAY_KEYS: Final = ("uses", "uses_with", "uses_metas", "py_modules", "extra_search_paths")


def _gateway_class(value: Any) -> dict[str, Any] | None:
    """What names a gateway class, as the options that a gateway has for it."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        value = _json(value)
    if not isinstance(value, Mapping):
        return None if value is None else {"uses": value}
    for name in value:
        if name not in _GATEWAY_KEYS:
            near = nearest(str(name), _GATEWAY_KEYS)
            hint = f", did you mean '{near}'?" if near else "; the other options of the gateway are the Deployment's"
            raise ValueError(f"unknown option {shown(name)}{hint}")
    if not value.get("uses"):
        raise ValueError("'uses' is missing, the gateway class")
    lists = {name: _list(value[name]) for name in _GATEWAY_KEYS[3:] if value.get(name)}
    return {**{name: given for name, given in value.items() if given is not None}, **lists}


def _polling(value: Any) -> str | dict[str, str]:
    one = choice("ANY", "ALL")
    if isinstance(value, str) and value.lstrip().startswith("{"):
        value = _json(value)
    if isinstance(value, Mapping):
        return {str(endpoint): one(kind) for endpoint, kind in value.items()}
    return one(value)


def _json(text: str) -> Any:
    try:
        return read_json(text)
    except json.JSONDecodeError as exc:
        raise ValueError(f"{shown(text)} is not JSON: {exc.msg} (column {exc.colno})") from exc
    except ValueError as exc:
        raise ValueError(f"{shown(text)} is not JSON: {exc}") from exc


def _separated(value: Any) -> Any:
    """Each text of a list, or the only one, at its commas."""
    values = _list(value)
    if not isinstance(values, list) or not all(isinstance(text, str) for text in values):
        return values
    return [part.strip() for text in values for part in text.split(",")]


def _peer_ports(value: Any) -> Any:
    if isinstance(value, str) and value.lstrip()[:1] in {"{", "["}:
        value = _json(value)
    if isinstance(value, Mapping):
        return {
            str(shard): _ports(ports if isinstance(ports, list | tuple) else [ports]) for shard, ports in value.items()
        }
    return _ports(value if isinstance(value, list | tuple) else [value])


def _gpus(value: Any) -> str | float | list[str]:
    """`all`, a whole number of GPUs, a fraction of one, or a list of numbers and UUIDs."""
    if isinstance(value, str):
        text = value.strip()
        if text.lower() == "all":
            return "all"
        names = [name.strip().removeprefix("device=") for name in text.split(",")]
        if "device=" in text or len(names) > 1 or not _NUMBER.fullmatch(text):
            return _gpu_list(value, names)
        value = float(text)
    if isinstance(value, list | tuple):
        return _gpu_list(value, [str(name) for name in value if not isinstance(name, bool)])
    whole = isinstance(value, int | float) and not isinstance(value, bool) and float(value).is_integer()
    if (whole and value >= 0) or (isinstance(value, float) and 0 < value < 1):
        return int(value) if whole else value
    raise ValueError(f"{shown(value)} is not a number of GPUs, a fraction of one (0.5), a list of GPUs, or 'all'")


def _gpu_list(value: Any, names: list[str]) -> list[str]:
    if not names or len(set(names)) < len(names) or not all(map(_GPU.fullmatch, names)):
        raise ValueError(f"{shown(value)} is not a list of different GPUs, each a number (0) or a UUID (GPU-...)")
    return names


def _concurrency(value: Any) -> int | dict[str, int]:
    if isinstance(value, str) and value.lstrip().startswith("{"):
        value = _json(value)
    if isinstance(value, Mapping):
        return {str(endpoint): _how_many(count) for endpoint, count in value.items()}
    return _how_many(value)


def _how_many(value: Any) -> int:
    number = _number_from_text(value)
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise ValueError(f"{shown(value)} is not a number of calls, 1 or more")
    return number


def _environment(value: Any) -> dict[str, str]:
    value = _from_pairs(value, _text_pair)
    if not isinstance(value, Mapping):
        raise ValueError(f"{shown(value)} is not a mapping of variable names to values")  # noqa: TRY004 - pydantic collects ValueError
    unusable = [name for name in value if not str(name) or any(char in str(name) for char in "=\0")]
    if unusable:
        raise ValueError(f"{shown(unusable[0])} cannot be the name of a variable")
    bad = [name for name, item in value.items() if not isinstance(item, str | int | float)]
    if bad:
        raise ValueError(f"{shown(bad[0])} has no plain value (text, number or boolean)")
    return {str(name): str(item) for name, item in value.items()}


def _text_pair(word: str) -> Mapping[str, Any]:
    """The variable that a word sets; its value is text as it stands, because `1.10` is no number there."""
    return mapping_of([word]) if word.lstrip().startswith("{") else dict([pair_of(word)])


def _mapping_from_json(value: Any) -> Any:
    return keys_as_text(_json(value) if isinstance(value, str) else value)


def keys_as_text(value: Any) -> Any:
    """A mapping, or a list of `KEY=VALUE` and `KEY: VALUE`, with its keys as text; other values as they are."""
    value = _from_pairs(value, lambda word: mapping_of([word]))
    return {str(key): item for key, item in value.items()} if isinstance(value, Mapping) else value


def _text_by_text(value: Any) -> Any:
    return keys_as_text(_from_pairs(value, _text_pair))


def _from_pairs(value: Any, read: Callable[[str], Mapping[str, Any]]) -> Any:
    """The mapping that a list of `KEY=VALUE` and `KEY: VALUE`, or JSON, stands for; other values as they are."""
    if isinstance(value, str) and value.lstrip().startswith("{"):  # as a variable of a YAML file holds it
        return _json(value)
    if not isinstance(value, list | tuple) or not all(isinstance(item, str | Mapping) for item in value):
        return value
    return {key: found for item in value for key, found in (read(item) if isinstance(item, str) else item).items()}


def one_of_schema(single: Mapping[str, Any], *, default_null: bool = False) -> dict[str, Any]:
    """JSON Schema of "one, or a list of them"."""
    options: list[Mapping[str, Any]] = [single, {"type": "array", "items": single}]
    return {"anyOf": [*options, {"type": "null"}] if default_null else options}


def _pairs_schema(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """JSON Schema of "a mapping, or a list of `KEY=VALUE`"."""
    return {"anyOf": [mapping, {"type": "array", "items": {"type": ["string", "object"]}}]}


def _validated_as(annotation: Any) -> GetPydanticSchema:
    """Validate as another type than the one that type checkers and signatures show."""
    return GetPydanticSchema(lambda _, handler: handler.generate_schema(annotation))


def _choices(names: Iterable[str]) -> dict[str, Any]:
    return {"type": "string", "enum": [form for name in names for form in dict.fromkeys((name.lower(), name.upper()))]}


_PORT_SCHEMA: Final = {"type": "integer", "minimum": 1, "maximum": 65535}
_DURATION_SCHEMA: Final = {"type": ["number", "string"]}
Flag = Annotated[bool, Strict()]
Text = Annotated[str, BeforeValidator(_text), Strict()]
Whole = Annotated[int, BeforeValidator(_number_from_text), Strict()]
Count = Annotated[int, Strict(), Field(ge=1), BeforeValidator(_number_from_text)]
Index = Annotated[int, Strict(), Field(ge=0), BeforeValidator(_number_from_text)]
Mapped = Annotated[
    dict[str, Any], BeforeValidator(keys_as_text), Strict(), WithJsonSchema(_pairs_schema({"type": "object"}))
]
"""A mapping once it is validated; it may be written as a list of `KEY=VALUE`, as on command lines."""
JsonMapped = Annotated[dict[str, Any], BeforeValidator(_mapping_from_json), Strict()]
TextMapped = Annotated[
    dict[str, Text],
    BeforeValidator(_text_by_text),
    Strict(),
    WithJsonSchema(_pairs_schema({"type": "object", "additionalProperties": {"type": ["string", "integer"]}})),
]
TextList = Annotated[
    str | list[str],
    _validated_as(Annotated[list[Text], BeforeValidator(_list), Strict()]),
    WithJsonSchema(one_of_schema({"type": "string"})),
]
"""A list once it is validated."""
Addresses = Annotated[
    str | list[str],
    _validated_as(Annotated[list[Text], BeforeValidator(_separated), Strict()]),
    WithJsonSchema(one_of_schema({"type": "string"})),
]
"""A list once it is validated; text may have several, separated by commas."""
TextListFromJson = Annotated[
    str | list[str], _validated_as(Annotated[list[Text], BeforeValidator(_list_from_json), Strict()])
]
"""The same; one text may be the list in JSON."""
Environment = Annotated[
    dict[str, Any],
    PlainValidator(_environment),
    WithJsonSchema(
        _pairs_schema({"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}})
    ),
]
Port = Annotated[int, PlainValidator(_port), WithJsonSchema(_PORT_SCHEMA)]
Ports = Annotated[
    int | Sequence[int] | None,
    PlainValidator(_ports),
    WithJsonSchema(one_of_schema(_PORT_SCHEMA, default_null=True)),
]
Protocols = Annotated[
    str | Sequence[str],
    PlainValidator(_protocols),
    WithJsonSchema(one_of_schema(_choices(("grpc", "http", "websocket")))),
]
Apis = Annotated[
    str | list[str],
    PlainValidator(_apis),
    WithJsonSchema(one_of_schema(_choices(API_NAMES))),
]
"""A list once it is validated."""
Hosts = Annotated[str | Sequence[str], PlainValidator(_hosts), WithJsonSchema(one_of_schema({"type": "string"}))]
Milliseconds = Annotated[float | str | timedelta, _duration("ms"), WithJsonSchema(_DURATION_SCHEMA)]
MillisecondsOrForever = Annotated[
    float | str | timedelta, _duration("ms", forever=True), WithJsonSchema(_DURATION_SCHEMA)
]
Seconds = Annotated[float | str | timedelta, _duration("s"), WithJsonSchema(_DURATION_SCHEMA)]
Polling = Annotated[
    str | Mapping[str, str],
    PlainValidator(_polling),
    WithJsonSchema(
        {"anyOf": [_choices(("ANY", "ALL")), {"type": "object", "additionalProperties": _choices(("ANY", "ALL"))}]}
    ),
]
PeerPorts = Annotated[
    int | Sequence[int] | Mapping[str, int | Sequence[int]] | None,
    PlainValidator(_peer_ports),
    WithJsonSchema({"type": ["array", "object", "null"]}),
]
Concurrency = Annotated[
    int | Mapping[str, int],
    PlainValidator(_concurrency),
    WithJsonSchema({"type": ["integer", "object"], "minimum": 1, "additionalProperties": {"type": "integer"}}),
]
Gpus = Annotated[
    str | float | Sequence[str | int],
    PlainValidator(_gpus),
    WithJsonSchema(
        {"anyOf": [{"type": ["string", "number"]}, {"type": "array", "items": {"type": ["string", "integer"]}}]}
    ),
]
GatewayClass = Annotated[
    Any,
    PlainValidator(_gateway_class),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "object"}]}),
]
Consistency = Annotated[
    Literal["eventual", "session", "linearizable"],
    PlainValidator(choice("eventual", "session", "linearizable")),
    WithJsonSchema(_choices(("eventual", "session", "linearizable"))),
]
LogLevel = Annotated[
    str,
    PlainValidator(choice("DEBUG", "INFO", "SUCCESS", "WARNING", "ERROR", "CRITICAL")),
    WithJsonSchema(_choices(("DEBUG", "INFO", "SUCCESS", "WARNING", "ERROR", "CRITICAL"))),
]
Inspect = Annotated[
    str,
    PlainValidator(choice("COLLECT", "HANG", "REMOVE")),
    WithJsonSchema(_choices(("COLLECT", "HANG", "REMOVE"))),
]
StepMethod = Annotated[
    str,
    PlainValidator(choice("add", "needs", "needs_all", "inspect", "gather_inspect")),
    WithJsonSchema({"type": "string", "enum": ["add", "needs", "needs_all", "inspect", "gather_inspect"]}),
]
LogFormat = Annotated[
    Literal["text", "json"], PlainValidator(choice("text", "json")), WithJsonSchema(_choices(("text", "json")))
]
Compression = Annotated[
    str,
    PlainValidator(choice("NoCompression", "Deflate", "Gzip")),
    WithJsonSchema({"type": "string", "enum": ["NoCompression", "Deflate", "Gzip"]}),
]
Provider = Annotated[
    str,
    PlainValidator(choice("NONE", "SAGEMAKER", "AZURE")),
    WithJsonSchema(_choices(("NONE", "SAGEMAKER", "AZURE"))),
]
NetworkMode = Annotated[
    str,
    PlainValidator(choice("AUTO", "HOST", "BRIDGE", "NONE")),
    WithJsonSchema(_choices(("AUTO", "HOST", "BRIDGE", "NONE"))),
]

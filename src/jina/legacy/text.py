"""Helpers of `jina.helper` about names, text and small data."""

from __future__ import annotations

import itertools
import os
import random
import re
import sys
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from jina.errors import ConfigError

_COLOURS = {"black": 30, "red": 31, "green": 32, "yellow": 33, "blue": 34, "magenta": 35, "cyan": 36, "white": 37}
_ATTRIBUTES = {"bold": 1, "dark": 2, "underline": 4, "blink": 5, "reverse": 7, "concealed": 8}
_ADJECTIVES = (
    "amber",
    "brave",
    "calm",
    "clear",
    "eager",
    "gentle",
    "keen",
    "lively",
    "quick",
    "silent",
    "warm",
    "wise",
)
_NOUNS = ("badger", "cedar", "comet", "falcon", "harbor", "lantern", "maple", "otter", "pebble", "river", "sparrow")
_YAML_PATH = re.compile(r"[/\w\-_.]+\.ya?ml")
_UNITS = ("Bytes", "KB", "MB", "GB", "TB")
_TIMES = (("week", 604_800), ("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


def random_identity(use_uuid1: bool = False) -> str:
    """32 random hexadecimal digits; with `use_uuid1` they begin with the time."""
    return random_uuid(use_uuid1).hex


def random_uuid(use_uuid1: bool = False) -> uuid.UUID:
    """A random UUID (RFC 9562, version 4, or 1)."""
    return uuid.uuid1() if use_uuid1 else uuid.uuid4()


def random_name() -> str:
    """Two words and a number that make a readable name."""
    words = (random.choice(_ADJECTIVES), random.choice(_NOUNS))  # noqa: S311 - a name, no secret
    return f"{words[0]}_{words[1]}_{random.randint(0, 999)}"  # noqa: S311 - a name, no secret


def parse_arg(v: str) -> bool | int | float | str | list[Any] | None:
    """A value written on a command line: list in brackets, number, truth value, `none`, else the text."""
    if v.startswith("[") and v.endswith("]"):
        inner = v[1:-1].strip()
        return [parse_arg(item.strip()) for item in inner.split(",")] if inner else []
    for kind in (int, float):
        try:
            return kind(v)
        except ValueError:
            continue
    if not v or v.lower() in {"none", "null"}:
        return None
    return {"true": True, "false": False}.get(v.lower(), v)


def is_yaml_filepath(val: Any) -> bool:
    """Whether the text looks like the path of a YAML file."""
    return isinstance(val, str) and _YAML_PATH.fullmatch(val.strip()) is not None


def batch_iterator(data: Any, batch_size: int, axis: int = 0) -> Iterator[Any]:
    """The data in parts of `batch_size`; an array is cut along `axis`, a sequence sliced, an iterable gathered.

    A `batch_size` below 1 gives everything at once. Raises `ConfigError` for what cannot be cut.
    """
    if not batch_size or batch_size < 1:
        yield data
    elif hasattr(data, "shape") and hasattr(data, "ndim"):
        for start in range(0, data.shape[axis], batch_size):
            index = [slice(None)] * data.ndim
            index[axis] = slice(start, start + batch_size)
            yield data[tuple(index)]
    elif hasattr(data, "__len__") and hasattr(data, "__getitem__"):
        if axis != 0:
            raise ConfigError(f"a {type(data).__name__} is cut along axis 0, not {axis}")
        for start in range(0, len(data), batch_size):
            yield data[start : start + batch_size]
    elif isinstance(data, Iterable):
        items = iter(data)
        while part := list(itertools.islice(items, batch_size)):
            yield part
    else:
        raise ConfigError(f"a {type(data).__name__} cannot be cut into batches")


def colored(
    text: str, color: str | None = None, on_color: str | None = None, attrs: str | list[str] | None = None
) -> str:
    """The text with the codes of a terminal around it; bare where JINA_LOG_NO_COLOR or NO_COLOR is set."""
    if "JINA_LOG_NO_COLOR" in os.environ or "NO_COLOR" in os.environ:
        return text
    names = [attrs] if isinstance(attrs, str) else list(attrs or [])
    codes = [_ATTRIBUTES[name] for name in names]
    codes += [_COLOURS[color]] if color else []
    codes += [_COLOURS[on_color.removeprefix("on_")] + 10] if on_color else []
    return "".join(f"\033[{code}m" for code in codes) + text + "\033[0m" if codes else text


def get_readable_size(num_bytes: float) -> str:
    """Bytes as text: `512 Bytes`, `1.5 KB`."""
    size, unit = float(num_bytes), 0
    while size >= 1024 and unit < len(_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{int(size)} {_UNITS[0]}" if unit == 0 else f"{size:.1f} {_UNITS[unit]}"


def get_readable_time(*args: Any, **kwargs: Any) -> str:
    """A duration as text, `1 minute and 5 seconds`; arguments are those of `datetime.timedelta`."""
    import datetime as dt

    left = int(dt.timedelta(*args, **kwargs).total_seconds())
    parts: list[str] = []
    for name, length in _TIMES:
        count, left = divmod(left, length)
        if count:
            parts.append(f"{count} {name}{'s' if count > 1 else ''}")
    return " and ".join(parts) or "0 seconds"


def typename(obj: Any) -> str:
    """Module and name of a class, or of an object's class."""
    cls = obj if isinstance(obj, type) else type(obj)
    return f"{cls.__module__}.{cls.__name__}"


def dunder_get(_dict: Any, key: str) -> Any:
    """A value inside of nested mappings, sequences and objects by `first__second__third`."""
    found = _dict
    for part in key.split("__"):
        if isinstance(found, Mapping):
            found = found[part]
        elif isinstance(found, (list, tuple)):
            found = found[int(part)]
        else:
            found = getattr(found, part)
    return found


def get_full_version() -> tuple[dict[str, Any], dict[str, str]]:
    """Versions of what jina runs on, and the environment variables that it reads."""
    import platform
    from importlib import metadata

    import jina
    from jina.legacy import constants

    def version_of(name: str) -> str:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            return constants.__unset_msg__

    info = {
        "jina": jina.__version__,
        "docarray": version_of("docarray"),
        "jina-proto": jina.__proto_version__,
        "protobuf": version_of("protobuf"),
        "grpcio": version_of("grpcio"),
        "pyyaml": version_of("PyYAML"),
        "python": platform.python_version(),
        "platform": platform.system(),
        "platform-release": platform.release(),
        "platform-version": platform.version(),
        "architecture": platform.machine(),
        "processor": platform.processor(),
        "uid": uuid.getnode(),
        "session-id": str(random_uuid(use_uuid1=True)),
        "uptime": constants.__uptime__,
        "ci-vendor": constants.__unset_msg__,
        "internal": constants.__unset_msg__,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "implementation": sys.implementation.name,
    }
    return info, {name: os.environ.get(name, constants.__unset_msg__) for name in constants.__jina_env__}

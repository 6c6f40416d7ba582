"""`jina.helper`: names, text and small data; calling functions; ports and addresses; arguments of commands."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import contextvars
import copy
import functools
import inspect
import ipaddress
import itertools
import os
import random
import re
import socket
import sys
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Mapping
from functools import cached_property  # noqa: F401 - a name of jina.helper
from inspect import iscoroutinefunction  # noqa: F401 - a name of jina.helper
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

from jina.errors import ConfigError, NotSupportedError

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
_TLS = {"grpcs", "https", "wss"}

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


# --- names, text and small data ---


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


# --- calling functions ---


def run_async(
    func: Callable[..., Coroutine[Any, Any, T]], *args: Any, any_event_loop: bool = False, **kwargs: Any
) -> T:
    """The result of a coroutine function, from synchronous code; inside a running loop it runs in a thread."""
    del any_event_loop
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(func(*args, **kwargs))
    outcome: list[T] = []
    failure: list[BaseException] = []
    context = contextvars.copy_context()

    def work() -> None:
        try:
            outcome.append(asyncio.run(func(*args, **kwargs)))
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            failure.append(error)

    thread = threading.Thread(target=context.run, args=(work,), name="jina-run-async")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


def get_or_reuse_loop() -> asyncio.AbstractEventLoop:
    """The running loop, else the thread's current one, else a new one that becomes it."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        pass
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            loop = asyncio.get_event_loop_policy().get_event_loop()
        except RuntimeError:
            loop = None
    if loop is None or loop.is_closed():
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
    return loop


def deprecated_alias(**aliases: str | tuple[str, int]) -> Callable[[F], F]:
    """Take keywords under old names as well: `@deprecated_alias(old='new')`.

    A tuple `('new', 1)` makes the old name an error, `('new', 0)` a warning, which is the default.
    """

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            for old in aliases.keys() & kwargs.keys():
                target = aliases[old]
                new, level = target if isinstance(target, tuple) else (target, 0)
                if level or new in kwargs:
                    raise ConfigError(f"{function.__name__} takes {new!r} in place of {old!r}")
                warnings.warn(f"{old!r} is now {new!r}", DeprecationWarning, stacklevel=2)
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return cast("F", call)

    return decorate


def deprecated_method(new_function_name: str) -> Callable[[F], F]:
    """Warn that another method takes the place of the decorated one."""

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            warnings.warn(f"{function.__name__!r} is now {new_function_name!r}", DeprecationWarning, stacklevel=2)
            return function(*args, **kwargs)

        return cast("F", call)

    return decorate


def retry(
    num_retry: int = 3, message: str = "Calling {func_name} failed, retry attempt {attempt}/{num_retry}: {error!r}"
) -> Callable[[F], F]:
    """Call the function again when it raises, `num_retry` times in all, with growing pauses."""

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            for attempt in range(1, num_retry + 1):
                try:
                    return function(*args, **kwargs)
                except Exception as error:
                    if attempt == num_retry:
                        raise
                    text = message.format(
                        func_name=function.__name__, attempt=attempt, num_retry=num_retry, error=error
                    )
                    warnings.warn(text, stacklevel=2)
                    time.sleep(0.05 * attempt)
            return None

        return cast("F", call)

    return decorate


@contextlib.contextmanager
def change_cwd(path: str) -> Iterator[None]:
    """Work in another folder for the time of the block."""
    before = os.getcwd()
    os.chdir(path)
    try:
        yield
    finally:
        os.chdir(before)


@contextlib.contextmanager
def change_env(key: str, val: str | None) -> Iterator[None]:
    """Set an environment variable within the block; None removes it."""
    before = os.environ.get(key)
    _set_env(key, val)
    try:
        yield
    finally:
        _set_env(key, before)


def _set_env(key: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(key, None)
    else:
        os.environ[key] = value


def get_ci_vendor() -> str | None:
    """Name of the continuous integration that runs this process, if it says so."""
    return next((name for name in ("GITHUB_ACTIONS", "GITLAB_CI", "CIRCLECI", "TRAVIS") if os.environ.get(name)), None)


def is_jupyter() -> bool:
    """Whether this is a cell of a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell" or type(shell).__module__.startswith("google.colab")


def is_generator(func: Any) -> bool:
    """Whether the function yields."""
    return inspect.isgeneratorfunction(func) or inspect.isasyncgenfunction(func)


def send_telemetry_event(event: str, obj_cls_name: str, **kwargs: Any) -> None:
    """Do nothing: jina sends no telemetry."""
    del event, obj_cls_name, kwargs


def extend_rest_interface(app: T) -> T:
    """The application as it is."""
    return app


# --- ports and addresses; none of these calls out ---


def random_ports(n_ports: int) -> list[int]:
    """Distinct free ports, from `JINA_RANDOM_PORT_MIN` to `JINA_RANDOM_PORT_MAX` (49153 to 65535).

    Nothing keeps them free: leave `port` unset where a Deployment is to choose. Raises `ConfigError` when there
    are not so many.
    """
    low = int(os.environ.get("JINA_RANDOM_PORT_MIN", "49153"))
    high = int(os.environ.get("JINA_RANDOM_PORT_MAX", "65535"))
    found: list[int] = []
    candidates = range(low, high + 1)
    for port in random.sample(candidates, len(candidates)):
        if len(found) == n_ports:
            break
        if is_port_free("127.0.0.1", port):
            found.append(port)
    if len(found) < n_ports:
        raise ConfigError(f"there are no {n_ports} free ports between {low} and {high}")
    return found


def random_port() -> int:
    """One free port; see `random_ports`."""
    return random_ports(1)[0]


def is_port_free(host: str, port: int) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def parse_host_scheme(host: str) -> tuple[str, int | None, str | None, bool]:
    """Host name, port, scheme and whether it means TLS, of `scheme://host:port` or less."""
    scheme = host.partition("://")[0] if "://" in host else None
    parts = urlsplit(host if scheme else f"//{host}")
    tls = scheme in _TLS
    return parts.hostname or "", parts.port or (443 if tls else None), scheme, tls


def get_internal_ip() -> str:
    """The address of this machine in its own network; 127.0.0.1 where there is none. Sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Connecting a datagram socket only looks up the route; the address is one of RFC 5737's for texts.
            probe.connect(("192.0.2.1", 9))
            return str(ipaddress.ip_address(probe.getsockname()[0]))
        except OSError:
            return "127.0.0.1"


def get_public_ip(timeout: float = 0.3) -> str:
    """Not available: it would ask a server on the internet."""
    del timeout
    raise NotSupportedError(
        "get_public_ip is not available: jina asks no server on the internet",
        help="use get_internal_ip, or the address that you gave the machine",
    )


# --- arguments ---


class ArgNamespace:
    """Conversions between keyword arguments, words of a command line and `argparse.Namespace`."""

    @staticmethod
    def kwargs2list(kwargs: Mapping[str, Any]) -> list[str]:
        """Words of a command line: `--name value`, `--flag` for True; None and False are left out."""
        words: list[str] = []
        for name, value in kwargs.items():
            flag = f"--{name.replace('_', '-')}"
            if value is True:
                words.append(flag)
            elif isinstance(value, (list, tuple)):
                words += [flag, *map(str, value)]
            elif isinstance(value, Mapping):
                words += [flag, *(f"{key}: {item}" for key, item in value.items())]
            elif value is not None and value is not False:
                words += [flag, str(value)]
        return words

    @staticmethod
    def kwargs2namespace(kwargs: Mapping[str, Any], parser: argparse.ArgumentParser, **options: Any) -> Any:
        """What the parser makes of the keyword arguments; unknown ones are left out."""
        del options
        return parser.parse_known_args(ArgNamespace.kwargs2list(kwargs))[0]

    @staticmethod
    def get_non_defaults_args(
        args: argparse.Namespace, parser: argparse.ArgumentParser, taboo: Collection[str] = ()
    ) -> dict[str, Any]:
        """The options whose values differ from the parser's defaults."""
        return {
            name: value for name, value in vars(args).items() if name not in taboo and parser.get_default(name) != value
        }

    @staticmethod
    def flatten_to_dict(args: argparse.Namespace | Mapping[str, Any]) -> dict[str, Any]:
        """A namespace as a dictionary of its own."""
        return copy.copy(dict(args if isinstance(args, Mapping) else vars(args)))

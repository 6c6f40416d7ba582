"""Configurations of logging in files, as Jina 3 has them: which handlers, and what each one writes.

handlers: [StreamHandler, FileHandler]
level: INFO
configs:
  FileHandler:
    format: '%(asctime)s:{name:>15}@%(process)2d[%(levelname).1s]:%(message)s'
    output: 'jina-{uptime}.log'
    formatter: PlainFormatter
"""

from __future__ import annotations

import contextlib
import errno
import logging
import logging.handlers
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from io import TextIOWrapper
from typing import Any

from jina.errors import ConfigError, NotSupportedError, nearest

KINDS = ("StreamHandler", "RichHandler", "FileHandler", "SysLogHandler")
FORMATTERS = ("PlainFormatter", "JsonFormatter", "ProfileFormatter")
_FORMAT = "%(asctime)s:{name:>15}@%(process)2d[%(levelname).1s]:%(message)s"
_OPTIONS = ("format", "formatter", "output", "host", "port", "ident", "markup", "rich_tracebacks", "show_path",
            "show_level", "show_time", "log_time_format")  # fmt: skip
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")

Formatters = Mapping[str, Callable[[], logging.Formatter]]


class PlainFormatter(logging.Formatter):
    """Lines in the user's own format; without colours, with the id of the request behind them."""

    def __init__(self, form: str, process_name: str, request_id: Callable[[], str]) -> None:
        super().__init__(form.format_map(_words(process_name)))
        self._request_id = request_id

    def format(self, record: logging.LogRecord) -> str:
        """The line, and a traceback below it."""
        record.request_id = ident = self._request_id()
        text = _COLOURS.sub("", super().format(record))
        if not ident or ident in text:
            return text
        line, newline, rest = text.partition("\n")
        return f"{line} [{ident}]{newline}{rest}"


def handlers_of(
    path: str,
    process_name: str,
    formatters: Formatters,
    request_id: Callable[[], str],
    stderr: Callable[[], logging.Handler],
) -> tuple[str, list[logging.Handler]]:
    """Level (empty where the file names none) and handlers; `formatters` are ours, `text` and `json`.

    `stderr` makes our handler for those that write there. Raises `ConfigError` naming the file for what it cannot mean.
    """
    told = _read(path)
    handlers = []
    for name in _listed(told, path):
        options = _options(told, name, path)
        handler = _handler(name, options, process_name, path, stderr)
        handler.setFormatter(_formatter(name, options, process_name, formatters, request_id))
        handlers.append(handler)
    return str(told.get("level", "")), handlers


def _read(path: str) -> dict[str, Any]:
    import yaml

    try:
        with open(path, encoding="utf-8") as file:
            told = yaml.safe_load(file)
    except OSError as error:
        raise ConfigError(f"log_config: {path} cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"log_config: {path} is no YAML: {error}") from error
    if not isinstance(told, dict):
        raise ConfigError(f"log_config: {path} holds no mapping with `handlers`")
    unknown = sorted(told.keys() - {"handlers", "level", "configs"})
    if unknown:
        raise ConfigError(f"log_config: {path}: {unknown[0]!r} is none of handlers, level, configs")
    return told


def _listed(told: Mapping[str, Any], path: str) -> list[str]:
    names = told.get("handlers") or []
    if not isinstance(names, list):
        raise ConfigError(f"log_config: {path}: handlers: {names!r} is no list")
    for name in names:
        if name == "FluentHandler":
            raise NotSupportedError(
                f"log_config: {path}: FluentHandler is not available",
                help="use StreamHandler or FileHandler with JSON, which Fluentd reads",
            )
        if name not in KINDS:
            near = nearest(str(name), KINDS)
            hint = f"; did you mean {near!r}?" if near else ""
            raise ConfigError(f"log_config: {path}: handler {name!r} is none of {', '.join(KINDS)}{hint}")
    return names


def _options(told: Mapping[str, Any], name: str, path: str) -> dict[str, Any]:
    told_options = (told.get("configs") or {}).get(name) or {}
    # Jina 3's files name options without a value; its older ones say `type: json` for the formatter.
    options = {key: value for key, value in told_options.items() if value is not None}
    if (kind := options.pop("type", None)) is not None:
        options.setdefault("formatter", "JsonFormatter" if kind == "json" else FORMATTERS[0])
    for key in options:
        if key not in _OPTIONS:
            near = nearest(str(key), _OPTIONS)
            hint = f"; did you mean {near!r}?" if near else ""
            raise ConfigError(f"log_config: {path}: {name} has no option {key!r}{hint}")
    formatter = options.get("formatter", FORMATTERS[0])
    if formatter not in FORMATTERS:
        raise ConfigError(f"log_config: {path}: {name}: formatter {formatter!r} is none of {', '.join(FORMATTERS)}")
    return dict(options)


def _handler(
    name: str, options: Mapping[str, Any], process_name: str, path: str, stderr: Callable[[], logging.Handler]
) -> logging.Handler:
    if name == "FileHandler":
        output = (
            str(options.get("output", "jina-{uptime}.log"))
            .replace("%(uptime)s", "{uptime}")
            .format_map(_words(process_name.replace("/", "-")))
        )
        return file_handler(output)
    if name == "SysLogHandler":
        address: Any = (options["host"], int(options.get("port", 514))) if "host" in options else "/dev/log"
        try:
            handler = logging.handlers.SysLogHandler(address)
        except OSError as error:
            raise ConfigError(f"log_config: {path}: there is no syslog at {address}: {error}") from error
        handler.ident = f"{options.get('ident', '')}: " if options.get("ident") else ""
        return handler
    return stderr()


def _formatter(
    name: str, options: Mapping[str, Any], process_name: str, formatters: Formatters, request_id: Callable[[], str]
) -> logging.Formatter:
    if options.get("formatter") in {"JsonFormatter", "ProfileFormatter"}:
        return formatters["json"]()
    if name == "RichHandler":
        return formatters["text"]()
    return PlainFormatter(str(options.get("format", _FORMAT)), process_name, request_id)


def file_handler(path: str) -> logging.Handler:
    """Appends to a file, whose folder is made, for this user alone."""
    folder = os.path.dirname(path)
    try:
        if folder:
            os.makedirs(folder, mode=0o700, exist_ok=True)
        return _File(path, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"the log {path} cannot be written: {error.strerror}") from error


class _File(logging.FileHandler):
    """A file whose disk may be full: it says so once on stderr, not with a traceback for each record that is lost."""

    def __init__(self, path: str, encoding: str) -> None:
        super().__init__(path, encoding=encoding)
        self._lost = 0

    def _open(self) -> TextIOWrapper:
        """Neither follows a link nor takes a file that another user put there, as in a folder that all may write to."""
        path = self.baseFilename
        known = {os.getuid(), 0, os.stat(os.path.dirname(path)).st_uid}
        ours = os.path.islink(path) and os.lstat(path).st_uid in known
        # A pipe without a reader is an error rather than a start that hangs.
        how = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(path, how if ours else how | os.O_NOFOLLOW, 0o666)
        if not ours and os.fstat(descriptor).st_uid not in known:
            os.close(descriptor)
            raise PermissionError(errno.EPERM, "it belongs to another user")
        os.set_blocking(descriptor, True)
        return open(descriptor, "a", encoding=self.encoding, errors=self.errors)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; after some that were lost, say how many."""
        lost = self._lost
        super().emit(record)
        if lost and self._lost == lost:
            self._lost = 0
            self._say(f"is written again; up to {lost} records are missing")

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the standard library's name
        """Called for what `emit` raises."""
        error = sys.exception()
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        self._lost += 1
        if self._lost == 1:
            self._say(f"cannot be written: {error.strerror}; what is logged is lost until it can")

    def _say(self, text: str) -> None:
        if sys.stderr is not None:
            with contextlib.suppress(OSError):
                sys.stderr.write(f"the log {self.baseFilename} {text}\n")


def _words(process_name: str) -> dict[str, str]:
    return {"name": process_name, "uptime": time.strftime("%Y%m%d%H%M%S")}

"""Log lines of jina's own processes, as text or JSON, to stderr; and configurations of logging in files of Jina 3."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from io import TextIOWrapper
from typing import Any, Protocol, cast

from jina.errors import ConfigError, NotSupportedError, nearest

KINDS = ("StreamHandler", "RichHandler", "FileHandler", "SysLogHandler")
FORMATTERS = ("PlainFormatter", "JsonFormatter", "ProfileFormatter")
_FORMAT = "%(asctime)s:{name:>15}@%(process)2d[%(levelname).1s]:%(message)s"
_OPTIONS = ("format", "formatter", "output", "host", "port", "ident", "markup", "rich_tracebacks", "show_path",
            "show_level", "show_time", "log_time_format")  # fmt: skip
_COLOURS_OF_JINA_3 = re.compile(r"\x1b\[[0-9;]*m")
Formatters = Mapping[str, Callable[[], logging.Formatter]]


class PlainFormatter(logging.Formatter):
    """Lines in the user's own format; without colours, with the id of the request behind them."""

    def __init__(self, form: str, process_name: str, request_id: Callable[[], str]) -> None:
        super().__init__(form.format_map(_words(process_name)))
        self._request_id = request_id

    def format(self, record: logging.LogRecord) -> str:
        """The line, and a traceback below it."""
        record.request_id = ident = self._request_id()
        text = _COLOURS_OF_JINA_3.sub("", super().format(record))
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
    result = _read(path)
    handlers = []
    for name in _listed(result, path):
        options = _options(result, name, path)
        handler = _handler(name, options, process_name, path, stderr)
        handler.setFormatter(_formatter(name, options, process_name, formatters, request_id))
        handlers.append(handler)
    return str(result.get("level", "")), handlers


def _read(path: str) -> dict[str, Any]:
    import yaml

    try:
        with open(path, encoding="utf-8") as file:
            content = yaml.safe_load(file)
    except OSError as error:
        raise ConfigError(f"log_config: {path} cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"log_config: {path} is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"log_config: {path} holds no mapping with `handlers`")
    unknown = sorted(content.keys() - {"handlers", "level", "configs"})
    if unknown:
        raise ConfigError(f"log_config: {path}: {unknown[0]!r} is not one of handlers, level, configs")
    return content


def _listed(entry: Mapping[str, Any], path: str) -> list[str]:
    names = entry.get("handlers") or []
    if not isinstance(names, list):
        raise ConfigError(f"log_config: {path}: handlers: {names!r} is not a list")
    for name in names:
        if name == "FluentHandler":
            raise NotSupportedError(
                f"log_config: {path}: FluentHandler is not available",
                help="use StreamHandler or FileHandler with JSON, which Fluentd reads",
            )
        if name not in KINDS:
            near = nearest(str(name), KINDS)
            hint = f"; did you mean {near!r}?" if near else ""
            raise ConfigError(f"log_config: {path}: handler {name!r} is not one of {', '.join(KINDS)}{hint}")
    return names


def _options(entry: Mapping[str, Any], name: str, path: str) -> dict[str, Any]:
    set_options = (entry.get("configs") or {}).get(name) or {}
    # Jina 3's files name options without a value; its older ones say `type: json` for the formatter.
    options = {key: value for key, value in set_options.items() if value is not None}
    if (kind := options.pop("type", None)) is not None:
        options.setdefault("formatter", "JsonFormatter" if kind == "json" else FORMATTERS[0])
    for key in options:
        if key not in _OPTIONS:
            near = nearest(str(key), _OPTIONS)
            hint = f"; did you mean {near!r}?" if near else ""
            raise ConfigError(f"log_config: {path}: {name} has no option {key!r}{hint}")
    formatter = options.get("formatter", FORMATTERS[0])
    if formatter not in FORMATTERS:
        raise ConfigError(f"log_config: {path}: {name}: formatter {formatter!r} is not one of {', '.join(FORMATTERS)}")
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
        from logging.handlers import SysLogHandler

        address: Any = (options["host"], int(options.get("port", 514))) if "host" in options else "/dev/log"
        try:
            handler = SysLogHandler(address)
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
            self._say(f"cannot be written: {error.strerror}; log records are lost until it can")

    def _say(self, text: str) -> None:
        if sys.stderr is not None:
            with contextlib.suppress(OSError):
                sys.stderr.write(f"the log {self.baseFilename} {text}\n")


def _words(process_name: str) -> dict[str, str]:
    return {"name": process_name, "uptime": time.strftime("%Y%m%d%H%M%S")}


SUCCESS = 25
"""Between INFO and WARNING: something that was waited for has come about."""
request_id: ContextVar[str] = ContextVar("jina_request_id", default="")
"""The request that the current code works for; shown in each line."""
_ROOT = "jina"
_LEVELS = {"DEBUG": 10, "INFO": 20, "SUCCESS": SUCCESS, "WARNING": 30, "WARN": 30, "ERROR": 40, "CRITICAL": 50}
_CONFIGS = {"default": "text", "docker": "text", "plain": "text", "json": "json", "profile": "json", "quiet": "quiet"}
_COLOURS = {"DEBUG": "2", "SUCCESS": "32", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}
_UNSEEN = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What a terminal obeys, or shows in another order, instead of showing it; line feeds and tabs apart."""
_PLAIN_FIELDS = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


def visible(text: str) -> str:
    """The text with escapes in place of what a terminal would obey: what clients send may be part of it."""
    return _UNSEEN.sub(_escaped, text.replace("\r\n", "\n")) if _UNSEEN.search(text) else text


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


class LogOptions(Protocol):
    """What `setup` reads; `jina.plan.plans.LogPlan` is one."""

    @property
    def level(self) -> str:
        """Name of the least level shown."""
        ...

    @property
    def format(self) -> str:
        """`text` or `json`."""
        ...

    @property
    def config(self) -> str:
        """Name of a configuration, or the path of its YAML file."""
        ...

    @property
    def folder(self) -> str:
        """Where the process writes a file of its own as well; empty for nowhere."""
        ...

    @property
    def quiet(self) -> bool:
        """No lines at all."""
        ...


class JinaLogger(logging.Logger):
    """A standard logger with the level SUCCESS."""

    def success(self, message: object, *args: object, **kwargs: Any) -> None:
        """Log at level SUCCESS (25)."""
        if self.isEnabledFor(SUCCESS):
            self._log(SUCCESS, message, args, **kwargs)


def get_logger(name: str = "") -> JinaLogger:
    """The logger `jina.<name>`; silent until `setup` or the application configures logging."""
    root = logging.getLogger(_ROOT)
    if not root.handlers:
        root.addHandler(logging.NullHandler())
    full = name if not name or name == _ROOT or name.startswith(f"{_ROOT}.") else f"{_ROOT}.{name}"
    logger = logging.getLogger(full or _ROOT)
    if not isinstance(logger, JinaLogger):
        # The application may have its own logger class set globally, which must stay as it is.
        logger.__class__ = JinaLogger
    return cast("JinaLogger", logger)


def setup(options: LogOptions, process_name: str, *, environ: Mapping[str, str] | None = None) -> None:
    """Let `jina.*` loggers write to stderr; calling it again replaces what the last call set.

    `JINA_LOG_LEVEL` and `JINA_LOG_CONFIG` (a name such as `json`, or the path of a YAML file) override `options`;
    `NO_COLOR`, `JINA_LOG_NO_COLOR` and `TERM=dumb` switch colours off. With `folder` the process writes a file there as
    well. Raises `ConfigError` for an unknown name, and for a file that cannot be read or written.
    """
    env = os.environ if environ is None else environ
    config = env.get("JINA_LOG_CONFIG") or options.config
    style = _style_of(options, config)
    level, handlers = "", list[logging.Handler]()
    formatters: dict[str, Callable[[], logging.Formatter]] = {
        "json": lambda: _JsonFormatter(process_name),
        "text": lambda: _TextFormatter(process_name, env),
    }
    if style == "file":
        level, handlers = handlers_of(config, process_name, formatters, request_id.get, StderrHandler)
    elif style != "quiet":
        stderr = StderrHandler()
        stderr.setFormatter(formatters[style]())
        handlers.append(stderr)
    if options.folder and style != "quiet":
        handlers.append(_own_file(options, process_name))
    number = level_of(env.get("JINA_LOG_LEVEL") or level or options.level)
    logging.addLevelName(SUCCESS, "SUCCESS")
    root = get_logger(_ROOT)
    for handler in list(root.handlers):
        root.removeHandler(handler)
        if isinstance(handler, logging.FileHandler):
            handler.close()
    root.propagate = False
    root.setLevel(number)
    for handler in handlers or [logging.NullHandler()]:
        root.addHandler(handler)


def file_of(folder: str, process_name: str) -> str:
    """The file of a process in a folder of logs: `executor-rep-0.log` of `executor/rep-0`."""
    return os.path.join(folder, f"{process_name.replace('/', '-')}.log")


def lines_file(options: LogOptions, process_name: str) -> logging.Handler | None:
    """What appends to that file lines that are written already, such as those of a container; None without `folder`."""
    if not options.folder or options.quiet:
        return None
    handler = file_handler(file_of(options.folder, process_name))
    handler.setFormatter(logging.Formatter("%(message)s"))
    return handler


def _own_file(options: LogOptions, process_name: str) -> logging.Handler:

    handler = file_handler(file_of(options.folder, process_name))
    as_json = options.format == "json"
    handler.setFormatter(
        _JsonFormatter(process_name)
        if as_json
        else _TextFormatter(process_name, {"NO_COLOR": "1"}, clock="%Y-%m-%d %H:%M:%S")
    )
    return handler


def _style_of(options: LogOptions, name: str) -> str:
    if options.quiet:
        return "quiet"
    if style := _CONFIGS.get(name):
        # `default` and its like say nothing about the format that the option chose.
        return options.format if style == "text" else style
    if name.endswith((".yml", ".yaml")):
        return "file"
    if name == "remote":
        raise NotSupportedError(
            f"log_config={name!r} is not available",
            help="log_config='json' writes JSON to stderr, log_dir also to files",
        )
    near = nearest(name, _CONFIGS)
    hint = f"did you mean {near!r}?" if near else ""
    raise ConfigError(f"log_config={name!r} is neither a YAML file nor one of {', '.join(_CONFIGS)}", help=hint)


def level_of(name: str) -> int:
    """The number of a level; raises `ConfigError` for an unknown name."""
    if (level := _LEVELS.get(name.upper())) is not None:
        return level
    near = nearest(name.upper(), _LEVELS)
    hint = f"did you mean {near!r}?" if near else ""
    raise ConfigError(f"log level {name!r} is not one of {', '.join(_LEVELS)}", help=hint)


class StderrHandler(logging.StreamHandler[Any]):
    """Writes to whatever `sys.stderr` is at the time, so that capturing and redirecting it works."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        """`sys.stderr` as it is now."""
        return sys.stderr

    @stream.setter
    def stream(self, value: Any) -> None:
        raise AttributeError(f"the stream is always sys.stderr, not {value!r}")


class _TextFormatter(logging.Formatter):
    """`12:00:00.123 INFO     name@pid: message [request id]`; its further lines and a traceback follow indented.

    So a line that begins with a time is one of ours, whatever a message has taken from a request.
    """

    def __init__(self, process_name: str, env: Mapping[str, str], clock: str = "%H:%M:%S") -> None:
        super().__init__()
        self._clock = clock
        self._prefix = f"{process_name}@{os.getpid()}"
        off = env.get("NO_COLOR") or env.get("JINA_LOG_NO_COLOR") or env.get("TERM") == "dumb"
        self._colour = not off and sys.stderr is not None and sys.stderr.isatty()

    def format(self, record: logging.LogRecord) -> str:
        clock = f"{time.strftime(self._clock, time.localtime(record.created))}.{int(record.msecs):03d}"
        level = "SUCCESS" if record.levelno == SUCCESS else record.levelname
        shown = f"{level:<8}"
        if self._colour and level in _COLOURS:
            shown = f"\x1b[{_COLOURS[level]}m{shown}\x1b[0m"
        first, *more = visible(record.getMessage()).split("\n")
        line = f"{clock} {shown} {self._prefix}: {first}"
        if ident := request_id.get():
            line = f"{line} [{_in_one_line(ident)}]"
        extra = more
        extra += [self.formatException(record.exc_info)] if record.exc_info else []
        extra += [self.formatStack(record.stack_info)] if record.stack_info else []
        return "\n".join([line, *("  " + row for text in extra for row in visible(text).split("\n"))])


def _in_one_line(text: str) -> str:
    return visible(text[:200]).replace("\n", "\\n")


class _JsonFormatter(logging.Formatter):
    """One JSON object a line: time (ISO 8601, UTC), level, name, pid, logger, message, and what is known beside."""

    def __init__(self, process_name: str) -> None:
        super().__init__()
        self._name, self._pid = process_name, os.getpid()

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        event: dict[str, Any] = {
            "time": f"{stamp}.{int(record.msecs):03d}Z",
            "level": "SUCCESS" if record.levelno == SUCCESS else record.levelname,
            "name": self._name,
            "pid": self._pid,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if ident := request_id.get():
            event["request_id"] = ident
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            event["stack"] = self.formatStack(record.stack_info)
        event |= {key: value for key, value in record.__dict__.items() if key not in _PLAIN_FIELDS}
        line = json.dumps(event, ensure_ascii=False, default=repr)
        return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", line)

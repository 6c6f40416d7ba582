"""`JinaLogger` as Executors make it."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from jina.observe import logs


class JinaLogger:
    """A logger with a context in its name: `JinaLogger('my-part')`.

    Lines go where those of jina's own logger go; `quiet=True` drops all of this one.
    """

    def __init__(self, context: str, name: str | None = None, log_config: str | None = None, **kwargs: Any) -> None:
        del log_config
        self.context = context
        self.name = name or context
        self.quiet = bool(kwargs.get("quiet"))
        self.logger = logs.get_logger(context)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.logger, name)

    def debug(self, msg: object, *args: Any, **kwargs: Any) -> None:
        """Log details for people who look for a fault."""
        self._log(10, msg, args, kwargs)

    def info(self, msg: object, *args: Any, **kwargs: Any) -> None:
        """Log what happens."""
        self._log(20, msg, args, kwargs)

    def success(self, msg: object, *args: Any, **kwargs: Any) -> None:
        """Log that something has come about."""
        self._log(logs.SUCCESS, msg, args, kwargs)

    def warning(self, msg: object, *args: Any, **kwargs: Any) -> None:
        """Log what may become a problem."""
        self._log(30, msg, args, kwargs)

    def error(self, msg: object, *args: Any, **kwargs: Any) -> None:
        """Log a failure."""
        self._log(40, msg, args, kwargs)

    def critical(self, msg: object, *args: Any, **kwargs: Any) -> None:
        """Log a failure that ends something."""
        self._log(50, msg, args, kwargs)

    def _log(self, level: int, msg: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not self.quiet:
            self.logger.log(level, msg, *args, **kwargs)

    def close(self) -> None:
        """Nothing is held."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


default_logger = JinaLogger("JINA")

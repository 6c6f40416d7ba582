"""`TimeContext` and `ProgressBar` of `jina.logging.profile`."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Self

from jina.legacy.helper import get_readable_time


class TimeContext:
    """Time of a block, in seconds, as `duration`: `with TimeContext('load', logger) as timer:`."""

    def __init__(self, task_name: str, logger: Any = None, **kwargs: Any) -> None:
        self.task_name = task_name
        self.duration = 0.0
        self.start = 0.0
        self._logger = logger
        self._extra = kwargs

    def __enter__(self) -> Self:
        self.start = time.perf_counter()
        if self._logger is not None:
            self._logger.info("%s ...", self.task_name)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.duration = time.perf_counter() - self.start
        if self._logger is not None:
            self._logger.info("%s takes %s", self.task_name, self.readable_duration)

    def now(self) -> float:
        """Seconds since the block began."""
        return time.perf_counter() - self.start

    @property
    def readable_duration(self) -> str:
        """The duration as text."""
        return get_readable_time(seconds=self.duration) if self.duration >= 1 else f"{self.duration:.2f} seconds"


class ProgressBar:
    """Counts steps on stderr: `with ProgressBar('index', total_length=10) as bar: bar.update()`."""

    def __init__(self, description: str = "Working...", total_length: float | None = None, **kwargs: Any) -> None:
        self.description = description
        self.total_length = total_length
        self.completed = 0.0
        self._disabled = bool(kwargs.get("disable"))

    def update(self, task_id: Any = None, *, advance: float = 1, **kwargs: Any) -> None:
        """Count `advance` steps more."""
        del task_id, kwargs
        self.completed += advance
        if not self._disabled and sys.stderr.isatty():
            whole = f"/{self.total_length:g}" if self.total_length else ""
            sys.stderr.write(f"\r{self.description} {self.completed:g}{whole}")
            sys.stderr.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._disabled and sys.stderr.isatty():
            sys.stderr.write("\n")

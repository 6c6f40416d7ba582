"""Imports on behalf of others: `jina.importer`."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

from jina.errors import ConfigError


@contextlib.contextmanager
def ImportExtensions(  # noqa: N802 - the name that Executors import
    *,
    required: bool,
    logger: Any = None,
    help_text: str | None = None,
    pkg_name: str | None = None,
    verbose: bool = True,
) -> Iterator[None]:
    """Import optional packages inside the block.

    A missing one is an `ImportError` with `help_text` where `required`, else a warning, and the rest of the block
    is left out.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = pkg_name or error.name
        text = f"the package {missing!r} is not installed{f': {help_text}' if help_text else ''}"
        if required:
            raise ModuleNotFoundError(f"{text}; install it with `pip install {missing}`", name=error.name) from error
        if verbose and logger is not None:
            logger.warning(text)
        elif verbose:
            warnings.warn(text, stacklevel=3)


class PathImporter:
    """Imports files as `py_modules` does."""

    @staticmethod
    def add_modules(*paths: str) -> None:
        """Import Python files, so that their Executors are known; raises `ConfigError` naming the file."""
        from jina.executor.loading import import_source

        for path in paths:
            if not isinstance(path, str):
                raise ConfigError(f"{path!r} is not a path")
            import_source(path)

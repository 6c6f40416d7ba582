"""Where an Executor keeps its files."""

from __future__ import annotations

import os
from types import SimpleNamespace

from jina.errors import ConfigError


def default_root() -> str:
    """`~/.cache/jina`."""
    return os.path.join(os.path.expanduser("~"), ".cache", "jina")


def path_of(metas: SimpleNamespace, runtime_args: SimpleNamespace, given: str | None) -> str:
    """`<workspace>/<executor_name>/<shard_id>`, absolute; without the shard where there is none.

    The workspace is that of the orchestration, else of the metas, else the constructor's, else
    `default_root()`.
    """
    candidates = (getattr(runtime_args, "workspace", None), getattr(metas, "workspace", None), given)
    root = next((str(path) for path in candidates if path), default_root())
    name = str(metas.name)
    if os.path.isabs(name) or ".." in name.replace("\\", "/").split("/"):
        raise ConfigError(f"metas.name {name!r} would put the workspace outside of {root!r}")
    shard = getattr(runtime_args, "shard_id", None)
    parts = [name] if shard in {None, -1} else [name, str(shard)]
    return os.path.abspath(os.path.join(os.path.expanduser(root), *parts))


def create(path: str) -> str:
    """Create the folder with its parents and give its path back; raises `ConfigError` when it cannot be.

    One that is made is this user's alone; one that is there keeps its mode.
    """
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"the workspace {path!r} cannot be created: {error.strerror or error}") from error
    return path

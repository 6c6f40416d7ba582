"""`jina -vf`: versions of everything involved, one `name: value` a line."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

PACKAGES = (
    "rejina",
    "rejina-raft",
    "docarray",
    "numpy",
    "pydantic",
    "protobuf",
    "pyyaml",
    "grpcio",
    "uvicorn",
    "httptools",
    "websockets",
    "orjson",
)


def full() -> str:
    """The text that a report should carry.

    `jina` is the version of this package, `rejina` that of the distribution it came from.
    """
    from google.protobuf.internal import api_implementation

    from jina import __proto_version__, __version__

    lines = {"jina": __version__, "jina-proto": __proto_version__}
    for package in PACKAGES:
        try:
            lines[package] = version(package)
        except PackageNotFoundError:
            lines[package] = "not installed"
    lines |= {
        "proto-backend": api_implementation.Type(),
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": platform.system(),
        "platform-release": platform.release(),
        "platform-version": platform.version(),
        "architecture": platform.machine(),
        "cpus": str(os.cpu_count()),
    }
    lines |= {name: value for name, value in sorted(os.environ.items()) if name.startswith("JINA_")}
    return "\n".join(f"{name}: {value}" for name, value in lines.items())

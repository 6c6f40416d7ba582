"""What `status` tells on any protocol: versions and settings, nothing that identifies the machine or a user."""

from __future__ import annotations

import os
import platform
import time

_STARTED = time.monotonic()
_PACKAGES = ("docarray", "protobuf", "grpcio", "pyyaml", "pydantic", "uvicorn")
_SECRET = ("TOKEN", "KEY", "SECRET", "PASSWORD", "CREDENTIAL")


def version_info() -> dict[str, str]:
    """Versions of jina, what it stands on, and the platform; `uptime` is in seconds."""
    from google.protobuf.internal import api_implementation

    from jina import __proto_version__, __version__

    versions = {name: _version_of(name) for name in _PACKAGES}
    return {
        "jina": __version__,
        "jina-proto": __proto_version__,
        **versions,
        "proto-backend": api_implementation.Type(),
        "python": platform.python_version(),
        "platform": platform.system(),
        "platform-release": platform.release(),
        "platform-version": platform.version(),
        "architecture": platform.machine(),
        "uptime": f"{time.monotonic() - _STARTED:.3f}",
    }


def environment_info() -> dict[str, str]:
    """The `JINA_*` variables of the environment; values that may be secret are hidden."""
    return {
        name: "(hidden)" if any(word in name for word in _SECRET) else value
        for name, value in sorted(os.environ.items())
        if name.startswith("JINA_")
    }


def _version_of(package: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"

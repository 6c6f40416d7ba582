"""`install_requirements`: what the package of an Executor needs, installed before its modules are imported."""

from __future__ import annotations

import fcntl
import hashlib
import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile

from jina.errors import ConfigError

_LINES = 5
"""Lines of the installer's output that an error repeats: the last ones say why it failed."""
_REMOVE = "remove it, or set TMPDIR to a folder of your own"


def install(path: str) -> None:
    """Install the requirements file `path` into the environment of this interpreter, with pip, else with uv.

    Replicas that start at the same time take turns, so that all but the first find everything there. Raises
    `ConfigError` with the last lines of the installer.
    """
    place = lock_file()
    # The folder is everybody's: a link that somebody put there is not followed.
    try:
        lock = os.open(place, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"install_requirements: {place}: {error.strerror}", help=_REMOVE) from None
    try:
        if os.fstat(lock).st_uid != os.getuid():  # who could keep it locked
            raise ConfigError(f"install_requirements: {place} belongs to another user", help=_REMOVE)
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(  # noqa: S603 - pip, with a file that the user named
            [*_installer(), "-r", path], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
        )
    finally:
        os.close(lock)
    if done.returncode:
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-_LINES:])
        raise ConfigError(
            f"install_requirements: {path} cannot be installed:\n{said}",
            help="install it by hand, or leave install_requirements out",
        )
    importlib.invalidate_caches()


def lock_file() -> str:
    """What installations into the environment of this interpreter lock while they last."""
    name = hashlib.sha256(os.path.realpath(sys.prefix).encode()).hexdigest()[:16]
    return os.path.join(tempfile.gettempdir(), f"jina-{os.getuid()}-{name}.lock")


def _installer() -> list[str]:
    uv = shutil.which("uv")
    if uv is not None and importlib.util.find_spec("pip") is None:
        return [uv, "pip", "install", "--python", sys.executable]
    return [sys.executable, "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]

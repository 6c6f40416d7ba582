"""Folders of wheels for tests that install: those of `make wheels`, and all that they depend on.

pip asks the index for one package after another, which takes minutes where the index is far away; with everything in
one folder an installation takes seconds, and says the same about our wheels.
"""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
UV = Path(sys.executable).with_name("uv")
AT_ONCE = 8


def ours(folder: Path) -> Path:
    """What `make wheels` makes, in `folder`; the agent's wheel only where it is built."""
    agents = sorted((ROOT / ".cache/agent").glob("*.whl"))
    command = [sys.executable, ROOT / "scripts/build_wheels.py", folder, *agents]
    subprocess.run(command, check=True, timeout=100, stdout=subprocess.DEVNULL)
    return folder


def dependencies(python: str, *extras: str) -> Path:
    """A folder with the wheels of all dependencies for that version of Python, gathered once for each set of them."""
    if not UV.exists():
        pytest.skip("needs uv, of make setup")
    pins = _pins(python, extras)
    name = hashlib.sha256("\n".join([python, *pins]).encode()).hexdigest()[:16]
    folder = ROOT / ".cache/wheels" / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # workers of pytest gather the same ones
        if not folder.exists():
            _gather(folder, python, pins)
    return folder


def _gather(folder: Path, python: str, pins: list[str]) -> None:
    part = folder.with_suffix(".part")
    part.mkdir(exist_ok=True)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda some: _download(part, python, some), (pins[n::AT_ONCE] for n in range(AT_ONCE))))
    part.rename(folder)


def _pins(python: str, extras: tuple[str, ...]) -> list[str]:
    """The locked versions, so that a test says something about our wheels and not about today's packages."""
    command = [UV, "pip", "compile", "-q", "--no-header", "--no-annotate", "--python-version", python, "pyproject.toml",
               "-c", "requirements/dev.lock"]  # fmt: skip
    command += [word for extra in extras for word in ("--extra", extra)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return sorted(line for line in done.stdout.splitlines() if line[:1].isalpha())


def _download(folder: Path, python: str, pins: list[str]) -> None:
    platforms = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux_2_12_x86_64")
    command = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--python-version", python, *(f"--platform={one}" for one in platforms)]
    command += ["--dest", str(folder), *pins]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr

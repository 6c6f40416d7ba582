"""Images for the cluster: built by `jina hub build` without an engine, on a base of this machine's own Python."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from scripts.base_image import VERSION, base_layout

from tests import wheels

ROOT = Path(__file__).parents[2]
JINA = Path(sys.executable).with_name("jina")
EXECUTORS = Path(__file__).with_name("executors")
WITH = {"index": ("__init__.py", "nemesis/__init__.py", "nemesis/planted.py", "nemesis/state.py")}
"""Files of the tests that an image has as well."""
CACHE = ROOT / ".cache/cluster"


def name_of(executor: str, tag: str = "1") -> str:
    """What the image of an Executor is called; the tag must not be `latest`."""
    return f"docker.io/jina-test/{executor}:{tag}"


def archive(executor: str) -> Path:
    """The image `NAME:1` with the Executor of that folder of `executors`; kept until what is in it changes."""
    found = CACHE / f"{executor}-{_fingerprint(executor)}.tar"
    if not found.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        for old in CACHE.glob(f"{executor}-*.tar"):
            old.unlink()
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            _build(executor, Path(scratch)).rename(found)
    return found


def _files(executor: str) -> dict[str, Path]:
    """Path in the package -> file, without the wheels."""
    own = {file.name: file for file in sorted((EXECUTORS / executor).iterdir()) if file.is_file()}
    return own | {f"tests/{name}": ROOT / "tests" / name for name in WITH.get(executor, ())}


def _fingerprint(executor: str) -> str:
    """Of all that is in an image."""
    digest = hashlib.sha256()
    sources = [path for path in (ROOT / "src").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    others = [ROOT / "requirements/dev.lock", ROOT / "scripts/base_image.py", *(ROOT / ".cache/agent").glob("*.whl")]
    for path in sorted([*sources, *others, *_files(executor).values()]):
        digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _build(executor: str, scratch: Path) -> Path:
    package, made = scratch / executor, scratch / "image.tar"
    wheels.ours(package / "wheels")
    for file in wheels.dependencies(VERSION, "kubernetes").iterdir():
        shutil.copy(file, package / "wheels")
    for name, file in _files(executor).items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, package / name)
    base = base_layout(ROOT / f".cache/images/stand-in/python-{VERSION}")
    command = [JINA, "hub", "build", package, "--daemonless", "--base", base, "--output"]
    done = subprocess.run(
        [*map(str, command), f"docker-archive:{made}:{name_of(executor)}"], capture_output=True, text=True, timeout=500,
        check=False, env={**os.environ, "PIP_NO_INDEX": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return made


def tagged(made: Path, executor: str, tag: str, folder: Path) -> Path:
    """The same image as a later version: with one more layer, whose file `/workdir/tag.txt` has the tag."""
    found = folder / f"{executor}-{tag}.tar"
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        _add(tar, "workdir/tag.txt", tag.encode())
    with tarfile.open(made) as old, tarfile.open(found, "w") as new:
        read = lambda name: old.extractfile(name).read()  # noqa: E731
        manifest = json.loads(read("manifest.json"))[0]
        config = json.loads(read(manifest["Config"]))
        config["rootfs"]["diff_ids"].append(f"sha256:{hashlib.sha256(layer.getvalue()).hexdigest()}")
        config.get("history", []).append({"created_by": "the tests"})
        for name in manifest["Layers"]:
            _add(new, name, read(name))
        _add(new, "tag.tar", layer.getvalue())
        _add(new, "config.json", json.dumps(config).encode())
        manifest |= {"Config": "config.json", "Layers": [*manifest["Layers"], "tag.tar"]}
        _add(new, "manifest.json", json.dumps([{**manifest, "RepoTags": [name_of(executor, tag)]}]).encode())
    return found


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    about = tarfile.TarInfo(name)
    about.size, about.mode = len(data), 0o644
    tar.addfile(about, io.BytesIO(data))

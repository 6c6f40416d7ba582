"""Images for the cluster: built by `jina hub build` without an engine, on a base of this machine's own Python."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from scripts.base_image import VERSION, base_layout

from tests import wheels

ROOT = Path(__file__).parents[2]
JINA = Path(sys.executable).with_name("jina")
EXECUTORS = Path(__file__).with_name("executors")


def name_of(executor: str, tag: str = "1") -> str:
    """What the image of an Executor is called; the tag must not be `latest`."""
    return f"docker.io/jina-test/{executor}:{tag}"


class Images:
    """Archives in a folder, each made once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._base = base_layout(ROOT / f".cache/images/stand-in/python-{VERSION}")
        self._wheels = folder / "wheels"
        wheels.ours(self._wheels)
        for file in wheels.dependencies(VERSION).iterdir():
            shutil.copy(file, self._wheels)

    def archive(self, executor: str, tag: str = "1") -> Path:
        """The image with the Executor of that folder of `executors`; it knows its tag as JINA_TEST_TAG."""
        archive = self.folder / f"{executor}-{tag}.tar"
        if archive.exists():
            return archive
        package = self.folder / f"package-{executor}-{tag}"
        shutil.copytree(EXECUTORS / executor, package, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(self._wheels, package / "wheels", copy_function=os.link)
        (package / "tag.txt").write_text(tag)
        command = [JINA, "hub", "build", package, "--daemonless", "--base", self._base]
        done = subprocess.run(
            [*map(str, command), "--output", f"docker-archive:{archive}:{name_of(executor, tag)}"],
            capture_output=True, text=True, timeout=500, check=False, env={**os.environ, "PIP_NO_INDEX": "1"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        shutil.rmtree(package)
        return archive

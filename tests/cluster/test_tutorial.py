"""The tutorial "To a cluster", followed: its files, its commands in their order, what they print.

In place of the registry, the images that it builds are put into the nodes.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from scripts.base_image import VERSION, base_layout

from tests import wheels
from tests.cluster import binaries
from tests.cluster.cluster import Cluster
from tests.docs.blocks import Block, blocks_of

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/tutorial/to-a-cluster.md"
BUILD = re.compile(r"jina hub build (\S+) --daemonless -t (\S+)")
NAMESPACE = "shop"

pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.timeout(900)]


class Reader:
    """Somebody who types what the page says, in a terminal whose `kubectl` reaches the cluster."""

    def __init__(self, cluster: Cluster, folder: Path, programs: Path) -> None:
        self.cluster, self.folder = cluster, folder
        self._archives = programs.with_name("archives")
        self._archives.mkdir()
        programs.mkdir()
        (programs / "kubectl").symlink_to(binaries.FOLDER / "kubectl")
        path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
        self._environment = {**cluster.environment, "PATH": path, "HOME": str(folder), "PIP_NO_INDEX": "1"}
        self._ports: list[subprocess.Popen[bytes]] = []

    def build(self, package: str, image: str) -> None:
        """With the wheels of this tree, on the base of the tests."""
        own = self.folder / package / "wheels"
        if not own.exists():
            wheels.ours(own)
            for file in wheels.dependencies(VERSION).iterdir():
                shutil.copy(file, own)
        archive = self._archives / f"{image.rpartition(':')[2]}.tar"
        base = base_layout(ROOT / f".cache/images/stand-in/python-{VERSION}")
        words = [
            "hub",
            "build",
            package,
            "--daemonless",
            "--base",
            base,
            "--output",
            f"docker-archive:{archive}:{image}",
        ]
        self.run(shlex.join(["jina", *map(str, words)]))
        self.cluster.load(archive)

    def run(self, line: str, limit: float = 300.0) -> str:
        """One command of the page; one that ends in `&` runs on."""
        if line.endswith("&"):
            words = [*self.cluster.inside, *shlex.split(line.removesuffix("&"))]
            self._ports.append(
                subprocess.Popen(words, cwd=self.folder, env=self._environment, stdout=subprocess.DEVNULL)
            )
            asks = [sys.executable, "-c", "import socket; socket.create_connection(('127.0.0.1', 8080)).close()"]
            self.cluster.wait(lambda: self.cluster.run(*asks) or True, "the forwarded port", 30)
            return ""
        done = subprocess.run(
            [*self.cluster.inside, "bash", "-ec", line], cwd=self.folder, env=self._environment, timeout=limit,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}{done.stderr[-3000:]}"
        return done.stdout

    def follow(self, block: Block) -> str:
        """Write the file of a block, or type its commands; gives what they printed."""
        if block.title:
            path = self.folder / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.code, encoding="utf-8")
            return ""
        said = []
        for line in block.code.splitlines():
            found = BUILD.fullmatch(line)
            said.append(self.build(*found.groups()) or "" if found else self.run(line))
        return "".join(said)

    def leave(self) -> None:
        """Close the terminal."""
        for process in self._ports:
            process.kill()
            process.wait()
        self._ports.clear()


def test_the_tutorial_is_followed(cluster: Cluster, tmp_path: Path) -> None:
    folder = tmp_path / "an empty folder"
    folder.mkdir()
    reader = Reader(cluster, folder, tmp_path / "bin")
    printed, is_new = "", False
    try:
        for block in blocks_of(PAGE.read_text(encoding="utf-8")):
            if block.language == "text":
                assert printed == block.code, f"{PAGE.name}:{block.line}"
                continue
            printed = reader.follow(block)
            if "jina client" in block.code:  # as the text below it says
                assert "HELLO" in printed
                assert printed.count("upper/") == 2
            if "diff -rq" in block.code:
                change(reader)
                is_new = True
            elif is_new and "rollout status" in block.code:
                reader.leave()  # the port led to a pod that has ended
                reader.run("kubectl -n shop port-forward service/gateway 8080 &")
                assert "HELLO!" in reader.run("jina client --port 8080 --text hello")
        assert is_new
        assert not cluster.kubectl("get", "namespace", NAMESPACE, "--ignore-not-found")
    finally:
        reader.leave()
        if cluster.kubectl("get", "namespace", NAMESPACE, "--ignore-not-found"):
            cluster.forget(NAMESPACE)


def change(reader: Reader) -> None:
    """Change the code, build `upper:v2`."""
    file = reader.folder / "upper/executor.py"
    file.write_text(file.read_text().replace(".upper()", ".upper() + '!'"))
    reader.build("upper", "registry.example.org/team/upper:v2")

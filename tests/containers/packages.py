"""Packages that the tests of containers make images of, and how they build them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import wheels
from tests.containers.engine import Engine

JINA = Path(sys.executable).with_name("jina")
UPPER = """from jina import DocumentArray, Executor, requests


class Upper(Executor):
    @requests
    def foo(self, docs: DocumentArray, **kwargs):
        for doc in docs:
            doc.text = doc.text.upper()

    def close(self):
        print('Upper is closed', flush=True)
"""
"""An Executor that says when it is closed."""
IMAGE = "probe:ours"
WAIT = 120.0
PROBE = """
import json
import os
import sys
import time

{imports}


class Probe(Executor):
    def __init__(self, suffix='', **kwargs):
        super().__init__(**kwargs)
        self.suffix = suffix
        print('Probe is made', flush=True)

    @requests(on='/upper')
    def upper(self, docs: DocumentArray, parameters={{}}, **kwargs):
        if 'seconds' in parameters:
            print('Probe works', flush=True)
            time.sleep(float(parameters['seconds']))
        for doc in docs:
            doc.text = doc.text.upper() + self.suffix

    @requests(on='/about')
    def about(self, docs: DocumentArray, **kwargs):
        print('Probe was asked', file=sys.stderr, flush=True)
        found = {{'env': dict(os.environ), 'uid': os.getuid(), 'pid': os.getpid(), 'argv': sys.argv}}
        found['workspace'] = str(self.workspace)
        for doc in docs:
            doc.text = json.dumps(found)

    @requests(on='/keep')
    def keep(self, docs: DocumentArray, **kwargs):
        path = os.path.join(self.workspace, 'kept')
        with open(path, 'a') as file:
            file.write(''.join(doc.text for doc in docs))
        with open(path) as file:
            kept = file.read()
        for doc in docs:
            doc.text = kept

{stateful}
    def close(self):
        print('Probe is closed', flush=True)
"""
STATEFUL = """
    @write
    @requests(on='/add')
    def add(self, docs: DocumentArray, **kwargs):
        for doc in docs:
            self.added = doc.text = getattr(self, 'added', '') + doc.text

    def snapshot(self, path):
        with open(path, 'w') as file:
            file.write(getattr(self, 'added', ''))

    def restore(self, path):
        with open(path) as file:
            self.added = file.read()
"""


def new_package(folder: Path, name: str, code: str, python: str, *extras: str, words: tuple[str, ...] = ()) -> Path:
    """A package as `jina hub new` writes it, with that code, and with all wheels that it needs for a Python."""
    subprocess.run([JINA, "hub", "new", "--name", name, "--path", folder, *words], check=True, timeout=50)
    (folder / "executor.py").write_text(code)
    wheels.ours(folder / "wheels")
    for file in wheels.dependencies(python, *extras).iterdir():
        shutil.copy(file, folder / "wheels")
    return folder


def build(package: Path, base: str, output: str, *words: str) -> str:
    """Build an image without an engine; gives its digest."""
    command = [JINA, "hub", "build", package, "--daemonless", "--base", base, "--output", output, *words]
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
        env={**os.environ, "PIP_NO_INDEX": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[0]


def tool(name: str, package: str = "") -> str:
    """A program of Debian's, installed if it is not there; skips the test where it cannot be."""
    if not shutil.which(name):
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            pytest.skip(f"no {name} here, and no way to install it")
        install = "DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -o DPkg::Lock::Timeout=100 install -qy"
        command = f"{install} --no-install-recommends {package or name}"
        subprocess.run(["sh", "-c", command], capture_output=True, stdin=subprocess.DEVNULL, timeout=170, check=False)
    return shutil.which(name) or pytest.skip(f"{name} cannot be installed")


def containers(made: Engine, *words: str) -> list[str]:
    """The names of all containers, also of those that do not run."""
    return made.docker("ps", "--all", "--format", "{{.Names}}", *words).split()


def until(condition: Callable[[], object], what: str, within: float = WAIT) -> None:
    """Wait for it; there is no event for what an engine or another process does."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {within:g} s"
        time.sleep(0.1)

"""A Flow whose Executors come from everywhere: a registry, git and the program, each with the numpy it wants.

numpy comes from the index that uv or pip are told of.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from jina import Client, Document
from jina.cli.main import main
from jina.errors import Unavailable
from tests.acceptance.flow_asking import until
from tests.processes import gone

OTHER = "1.26.4" if np.__version__ != "1.26.4" else "2.2.6"
"""A numpy that this environment does not have."""
CLIENTS = 3
PACKAGE = """
import numpy
from jina import DocumentArray, Executor, requests

class Numbers(Executor):
    @requests
    def say(self, docs: DocumentArray, **kwargs):
        for doc in docs:
            assert numpy.arange(3).sum() == 3
            doc.tags = {**doc.tags, "NAME": numpy.__version__}
"""


def package(folder, name, requirements):
    folder.mkdir(parents=True)
    (folder / "executor.py").write_text(PACKAGE.replace("NAME", name))
    (folder / "config.yml").write_text("jtype: Numbers\npy_modules: [executor.py]\n")
    (folder / "requirements.txt").write_text(requirements)
    return folder


def in_git(folder):
    """The address of a package in a repository whose main line has moved on since."""
    package(folder / "in git" / "numbers", "git", "")
    git = ["git", "-C", folder, "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "one"], ["tag", "v1"]):
        subprocess.run([*git, *words], check=True, timeout=60)
    (folder / "in git/numbers/executor.py").write_text("raise RuntimeError('the next version')\n")
    subprocess.run([*git, "commit", "--quiet", "-am", "two"], check=True, timeout=60)
    return f"git+{folder.as_uri()}@v1#subdirectory=in%20git/numbers"


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """What the Flow is made of: a package is pushed to a registry in a folder, another one stands in git."""
    folder = tmp_path_factory.mktemp("sources")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("JINA_HUB_REGISTRY", "JINA_HUB_TRUST", "JINA_HUB_KEYS"):
            patch.delenv(name, raising=False)
        for name in ("cache", "data"):
            patch.setenv(f"XDG_{name.upper()}_HOME", str(folder / f"the {name}"))
        assert main(["hub", "push", str(package(folder / "numbers", "hub", f"numpy=={OTHER}\n"))]) == 0
        yield in_git(folder / "a repository")


@contextlib.contextmanager
def serving(*words):
    """The program, once it serves, and what it said of itself."""
    command = [sys.executable, "-m", "tests.acceptance.mixed_flow", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ) as child:
        try:
            line = next(
                (line for line in child.stdout if line.startswith("{")), ""
            )  # a container may say something first
            assert line, child.stderr.read()
            yield child, json.loads(line)
        finally:
            child.kill()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_each_has_the_numpy_that_it_wants(sources):
    """All answer; then SIGTERM under load: each request that was taken on is answered, and nothing is left."""
    with serving(sources) as (child, output):
        with Client(host="127.0.0.1", port=output["ports"][0]) as client:
            (doc,) = client.post("/", Document())
            assert dict(doc.tags) == {"hub": OTHER, "git": np.__version__, "ours": np.__version__}
        answered, code = ended_under_load(child, output["ports"])
        assert code == 0, child.stderr.read()
    assert min(answered) >= 1
    until(lambda: all(map(gone, output["processes"].values())), 10)


def ended_under_load(child, ports):
    targets = list(zip(("grpc", "http"), ports, strict=True)) * CLIENTS
    warm = threading.Barrier(len(targets) + 1)
    with ThreadPoolExecutor(len(targets)) as pool:
        loads = [pool.submit(ask_until_refused, port, protocol, warm) for protocol, port in targets]
        warm.wait(60)
        child.send_signal(signal.SIGTERM)
        return [load.result(60) for load in loads], child.wait(60)


def ask_until_refused(port, protocol, warm):
    answered = 0
    with Client(host="127.0.0.1", port=port, protocol=protocol) as client:
        while True:
            try:
                (doc,) = client.post("/", Document(), timeout=30)
            except Unavailable:
                return answered
            assert doc.tags["hub"] == OTHER
            answered += 1
            if answered == 1:
                warm.wait(60)

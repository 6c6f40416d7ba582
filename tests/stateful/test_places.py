"""Folders with long names and unusual characters, wherever a user has one: nothing depends on them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

JINA = str(Path(sys.executable).with_name("jina"))
ODD = "a folder with spaces, 'quotes', $signs and ümlauts"
PROGRAM = """
import json
import os

from jina import Deployment, Document, DocumentArray, Executor, requests, write


class Keeper(Executor):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.lines = []

    @write
    @requests(on="/add")
    def add(self, docs: DocumentArray, **kwargs):
        self.lines += [doc.text for doc in docs]

    @requests(on="/list")
    def list(self, docs: DocumentArray, **kwargs):
        return DocumentArray([Document(text=text) for text in [*self.lines, os.getcwd()]])

    def snapshot(self, snapshot_dir):
        with open(os.path.join(snapshot_dir, "lines"), "w") as file:
            json.dump(self.lines, file)

    def restore(self, snapshot_dir):
        with open(os.path.join(snapshot_dir, "lines")) as file:
            self.lines = json.load(file)
"""
SERVE = """
import json
import subprocess
import sys

from jina import Deployment, Document, DocumentArray
from keeper import Keeper

workspace, jina = sys.argv[1:]
with Deployment(uses=Keeper, name="kept", stateful=True, workspace=workspace, host="127.0.0.1") as deployment:
    deployment.post("/add", DocumentArray([Document(text="one")]))
    texts = deployment.post("/list", Document(), headers={"jina-consistency": "linearizable"}).texts
    command = [jina, "raft", "snapshot", "kept", "--workspace", workspace]
    snapshot = subprocess.run(command, capture_output=True, text=True)
    print(json.dumps({"texts": texts, "snapshot": [snapshot.returncode, snapshot.stdout + snapshot.stderr]}))
"""


def _deep(folder, length=300):
    """A folder in `folder` whose path has at least so many bytes."""
    while len(os.fsencode(folder)) < length:
        folder = folder / ODD
    folder.mkdir(parents=True)
    return folder


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_stateful_deployment_in_deep_folders(tmp_path):
    work, home, temporary = (_deep(tmp_path / name) for name in ("work", "home", "tmp"))
    workspace = str(_deep(tmp_path / "kept"))
    (work / "keeper.py").write_text(PROGRAM)
    (work / "serve.py").write_text(SERVE)
    ran = subprocess.run(
        [sys.executable, "serve.py", workspace, JINA],
        cwd=work,
        env={**os.environ, "HOME": str(home), "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    output = json.loads(ran.stdout.splitlines()[-1])
    assert output["texts"] == ["one", str(work)]
    assert output["snapshot"][0] == 0, output["snapshot"][1]
    assert not list(temporary.iterdir())

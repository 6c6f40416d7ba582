"""A notebook that nbclient executes: what its cells show of a Deployment, a Flow, a status, documents and errors."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jina.notebook import LINES

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".cache/env-notebook/bin/python"
pytestmark = [
    pytest.mark.interop,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not PYTHON.exists(), reason="scripts/env.sh notebook makes its environment"),
]
CELLS = {
    "class": """
from jina import Deployment, Document, DocumentArray, Executor, Flow, requests

class Shout(Executor):
    @requests(on='/shout')
    def shout(self, docs: DocumentArray, **kwargs):
        for doc in docs:
            doc.text = check(doc.text).upper() + '!'

def check(text):
    if text == 'fail':
        raise ValueError('on <b>purpose</b>')
    return text
""",
    "deployment": "deployment = Deployment(uses=Shout, name='loud', host='127.0.0.1', quiet=True)\ndeployment",
    "started": "deployment.start()",
    "status": "deployment.status()",
    "documents": "deployment.post('/shout', DocumentArray([Document(text='<i>hello</i>'), Document(text='you')]))",
    "handler": "deployment.post('/shout', Document(text='fail'))",
    "endpoint": "def ask():\n    return deployment.post('/shot', Document())\n\nask()",
    "value": "try:\n    ask()\nexcept Exception as error:\n    found = error\nfound",
    "flow": "flow = Flow(name='shop', host='127.0.0.1')\nflow.add(uses=Shout, name='first').add(uses=Shout)",
    "start": """
class Broken(Executor):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.model = self.load()

    def load(self):
        raise FileNotFoundError('no model at /models/one.bin')

Deployment(uses=Broken, host='127.0.0.1', quiet=True).start()
""",
    "option": "Deployment(uses=Shout, replicass=3)",
    "plain": "1 / 0",
    "end": "deployment.close()\ndeployment",
}


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("notebook")
    kernel = folder / "jupyter/kernels/jina-test"
    kernel.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernel / "kernel.json").write_text(json.dumps({"argv": command, "display_name": "jina", "language": "python"}))
    cells = [
        {
            "cell_type": "code",
            "id": name,
            "metadata": {},
            "outputs": [],
            "execution_count": None,
            "source": text.strip(),
        }
        for name, text in CELLS.items()
    ]
    spec = {"name": "jina-test", "display_name": "jina", "language": "python"}
    (folder / "shown.ipynb").write_text(
        json.dumps({"cells": cells, "metadata": {"kernelspec": spec}, "nbformat": 4, "nbformat_minor": 5})
    )
    environment = {
        **os.environ,
        "HOME": str(folder),
        "JUPYTER_PATH": str(folder / "jupyter"),
        "JUPYTER_PLATFORM_DIRS": "1",
    }
    done = subprocess.run(
        [PYTHON, Path(__file__).with_name("execute.py"), folder / "shown.ipynb"],
        cwd=folder, env=environment, timeout=280, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    if keep := os.environ.get("JINA_NOTEBOOK_HTML"):  # to look at
        shutil.copy(folder / "executed.html", keep)
    found = json.loads((folder / "executed.ipynb").read_text())
    return {cell["id"]: cell["outputs"] for cell in found["cells"]}


def html(outputs, name):
    shown = [one["data"] for one in outputs[name] if one["output_type"] == "execute_result"]
    assert len(shown) == 1, outputs[name]
    return "".join(shown[0]["text/html"])


def error(outputs, name):
    (found,) = [one for one in outputs[name] if one["output_type"] == "error"]
    lines = "\n".join(found["traceback"]).splitlines()
    assert len(lines) <= LINES, lines
    return "\n".join(lines)


def test_deployments(outputs):
    assert "not started" in html(outputs, "deployment")
    assert "/shout" in html(outputs, "deployment")
    assert "● ready" in html(outputs, "started")
    assert "grpc://127.0.0.1:" in html(outputs, "started")
    assert "not started" in html(outputs, "end")


def test_a_status(outputs):
    shown = html(outputs, "status")
    assert "● ready" in shown
    assert "<td" in shown
    assert "loud" in shown


def test_documents(outputs):
    shown = html(outputs, "documents")
    assert "&lt;I&gt;HELLO&lt;/I&gt;!" in shown
    assert "YOU!" in shown
    assert "<i>" not in shown.lower()


def test_a_flow(outputs):
    shown = html(outputs, "flow")
    assert "<svg" in shown
    for word in ("Flow shop", "first", "executor1", "not started"):
        assert word in shown


def test_errors(outputs):
    handler = error(outputs, "handler")
    for part in (
        "Cell In[6], line 1",
        "frames of jina)",
        "Cell In[1], line 11, in check",
        "raise ValueError",
        "on <b>purpose</b>",
    ):
        assert part in handler, handler
    endpoint = error(outputs, "endpoint")
    for part in ("ask()", "in ask", "EndpointNotFound: ", "'/shout'"):
        assert part in endpoint, endpoint
    assert "EndpointNotFound" in html(outputs, "value")
    start = error(outputs, "start")
    for part in ("failed in __init__", "no model at /models/one.bin", "in load"):
        assert part in start, start
    assert "did you mean 'replicas'" in error(outputs, "option")


def test_errors_that_are_not_ours_are_left_alone(outputs):
    (found,) = outputs["plain"]
    assert "ZeroDivisionError" in "\n".join(found["traceback"])
    assert "print_exception" not in "\n".join(found["traceback"])

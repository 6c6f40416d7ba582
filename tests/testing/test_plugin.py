"""The fixtures as users get them, in a pytest of their own, and the check for leaks."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading

import pytest

from jina.testing import no_leaks

TEST = """
from docarray import BaseDoc, DocList
from jina import Deployment, Executor, Flow, requests

class Note(BaseDoc):
    text: str = ""

class Mark(Executor):
    closed = 0

    @requests
    def mark(self, docs: DocList[Note], **kwargs) -> DocList[Note]:
        for doc in docs:
            doc.text += "!"

    def close(self):
        type(self).closed += 1

def ask(service):
    return [doc.text for doc in service.post("/", DocList[Note]([Note(text="a")]), return_type=DocList[Note])]

def test_in_process(jina_in_process):
    assert ask(jina_in_process(Flow().add(uses=Mark).add(uses=Mark))) == ["a!!"]
    assert ask(jina_in_process(Deployment(uses=Mark))) == ["a!"]

def test_closed():
    assert Mark.closed == 3

def test_served(jina_served):
    assert ask(jina_served(Deployment(uses=Mark))) == ["a!"]
"""


@pytest.mark.slow
def test_pytest_has_the_fixtures(tmp_path):
    (tmp_path / "test_mine.py").write_text(TEST)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=150, cwd=tmp_path)
    assert "3 passed" in done.stdout, done.stdout + done.stderr


def test_what_ends_in_time_is_no_leak():
    with no_leaks():
        thread = threading.Thread(target=threading.Event().wait, args=(0.1,))
        thread.start()


def test_what_was_there_before_is_no_leak():
    with socket.socket(), no_leaks(0):
        pass


def test_each_kind_of_leak_is_named(tmp_path):
    asked = threading.Event()
    thread = threading.Thread(target=asked.wait, name="forgotten")
    kept = []
    try:
        with pytest.raises(AssertionError) as failure, no_leaks(0.1):
            thread.start()
            kept += [socket.socket(), (tmp_path / "file").open("w")]
            kept.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))
    finally:
        asked.set()
        thread.join()
        kept[-1].stdin.close()
        kept[-1].wait()
        for one in kept[:2]:
            one.close()
    for word in ("thread 'forgotten'", "descriptor of socket:", str(tmp_path / "file"), f"process {kept[-1].pid}"):
        assert word in str(failure.value)

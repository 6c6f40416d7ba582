"""`jina dev`, and the commands as process 1: real processes."""

import os
import re
import shutil
import signal
import subprocess
import sys

import pytest
from tests.acceptance.flow_asking import until
from tests.cli.running import JINA, call, serving

from jina import Client, Document

WORD = """
from jina import DocumentArray, Executor, requests

class Word(Executor):
    @requests(on='/word')
    def word(self, docs: DocumentArray, **kwargs):
        docs.texts = ['one'] * len(docs)

    def close(self):
        print('closed', flush=True)
"""


def word(address):
    try:
        with Client(host=address) as client:
            return client.post("/word", Document(), timeout=5).texts[0]
    except ConnectionError:
        return ""


@pytest.mark.slow
def test_an_executor_from_its_first_mistake_on(tmp_path):
    """A file that cannot be parsed is waited for; changes are taken in; the port stays."""
    file = tmp_path / "word.py"
    file.write_text(WORD.replace("class Word(", "class Word(("))
    with serving("dev", "word.py", cwd=tmp_path) as service:
        until(lambda: "waiting for a change" in service.output, 30)
        assert "word.py:4: invalid syntax" in service.output
        file.write_text(WORD.replace("docs.texts = ", "docs.texts = undefined_name = ") + "\nno_such_name\n")
        until(lambda: "NameError" in service.output and service.output.count("waiting for a change") == 2, 30)
        file.write_text(WORD)
        address = service.address("grpc")
        until(lambda: word(address) == "one", 30)
        file.write_text(WORD.replace("'one'", "'two'"))
        until(lambda: word(address) == "two", 30)
        assert service.end() == 0


@pytest.mark.slow
def test_a_flow_whose_yaml_changes(tmp_path):
    (tmp_path / "word.py").write_text(WORD)
    flow = tmp_path / "flow.yml"
    text = "jtype: Flow\nexecutors:\n  - {name: a, uses: Word, py_modules: [word.py]}\n"
    flow.write_text(text)
    with serving("dev", "flow.yml", cwd=tmp_path) as service:
        address = service.address("grpc")
        assert word(address) == "one"
        flow.write_text(text + "  - {name: b, uses: Word, py_modules: [word.py]}\n")
        until(lambda: service.output.count("is ready: ") == 2, 30)
        assert word(address) == "one"
        assert len(set(re.findall(r"is ready: (\S+)", service.output))) == 1
        assert service.end(signal.SIGINT) == 0


def test_what_cannot_be_served(tmp_path):
    assert "there is no file" in call("dev", str(tmp_path / "x.py")).stderr


def _namespaces():
    command = ["unshare", "-Urpf", "true"]
    return (
        sys.platform == "linux"
        and bool(shutil.which("unshare"))
        and not subprocess.run(command, check=False).returncode
    )


ZOMBIES = """
import subprocess
import psutil
from jina import DocumentArray, Executor, requests

class Orphaning(Executor):
    @requests(on='/word')
    def word(self, docs: DocumentArray, **kwargs):
        subprocess.run(['sh', '-c', 'sleep 0.1 & exit 0'])
        subprocess.run(['sleep', '0.3'])
        states = [process.info['status'] for process in psutil.process_iter(['status'])]
        docs.texts = [f"{states.count(psutil.STATUS_ZOMBIE)} zombies"]

    def close(self):
        print('closed', flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("command", ["executor", "deployment"])
def test_the_first_process_of_a_namespace(tmp_path, command):
    """It collects orphans, and SIGTERM to it closes the Executor."""
    if not _namespaces():
        pytest.skip("no pid namespaces here")
    (tmp_path / "orphaning.py").write_text(ZOMBIES)
    words = ["unshare", "-Urpf", "--mount-proc", JINA, command, "--uses", "Orphaning", "--py-modules", "orphaning.py"]
    log = tmp_path / "log"
    with log.open("w") as output, subprocess.Popen(words, cwd=tmp_path, stdout=output, stderr=output) as outer:
        until(lambda: "is ready: " in log.read_text(), 40)
        address = re.search(r"grpc://\S+", log.read_text())[0].replace("0.0.0.0", "127.0.0.1")
        assert word(address) == "0 zombies"
        with open(f"/proc/{outer.pid}/task/{outer.pid}/children") as file:
            os.kill(int(file.read()), signal.SIGTERM)
        assert outer.wait(40) == 0
    assert log.read_text().count("closed") == 1

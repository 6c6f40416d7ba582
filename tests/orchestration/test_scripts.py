"""Programs as users write them: no main guard, Ctrl+C, SIGTERM, forgotten `close`."""

import os
import signal
import subprocess
import sys
import time

import pytest
from tests.processes import children, gone

DEADLINE = 60

SERVE = """
import os, sys
from docarray import BaseDoc, DocList
from jina import Deployment, Executor, requests

class Note(BaseDoc):
    text: str = ""

class Writer(Executor):
    @requests(on="/shout")
    def shout(self, docs: DocList[Note], **kwargs) -> DocList[Note]:
        for doc in docs:
            doc.text = doc.text.upper()
        return docs

    def close(self):
        if delay := os.environ.get("DELAY"):
            import time
            print("closing", flush=True)
            time.sleep(float(delay))
        print("closed", flush=True)
"""

BLOCK = (
    SERVE
    + """
import signal, threading, time

def tell(word):
    while signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:  # until it blocks
        time.sleep(0.01)
    print(word, flush=True)

with Deployment(uses=Writer, host="127.0.0.1", quiet=True) as deployment:
    word = deployment.post("/shout", Note(text="hello")).text[0]
    threading.Thread(target=tell, args=[word]).start()
    deployment.block()
print("after", flush=True)
"""
)

SLEEP = (
    SERVE
    + """
import time
with Deployment(uses=Writer, host="127.0.0.1", quiet=True) as deployment:
    print(deployment.post("/shout", Note(text="hello")).text[0], flush=True)
    time.sleep(600)
"""
)


@pytest.fixture
def program(tmp_path):
    """Starts a program in a process group of its own, as a shell does."""
    running = []

    def start(source, *, stdin=False, **environment):
        path = tmp_path / "program.py"
        path.write_text(source)
        command = [sys.executable, "-"] if stdin else [sys.executable, str(path)]
        with path.open() as source_file:
            process = subprocess.Popen(
                command,
                stdin=source_file if stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                process_group=0,
                env={**os.environ, **environment},
            )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate(timeout=DEADLINE)


def _until(condition):
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def test_sigterm_drains_closes_and_exits_with_0(program):
    process = program(BLOCK)
    assert process.stdout.readline() == "HELLO\n"
    (child,) = children(process.pid)
    process.terminate()
    out, err = process.communicate(timeout=DEADLINE)
    assert (out.split(), process.returncode) == (["closed", "after"], 0), err
    assert gone(child)


@pytest.mark.slow
def test_ctrl_c_reaches_only_the_program_which_closes_its_worker(program):
    process = program(SLEEP, stdin=True)
    assert process.stdout.readline() == "HELLO\n"  # also: a class of `python -`
    (child,) = children(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=DEADLINE)
    assert out.split() == ["closed"]
    assert "KeyboardInterrupt" in err
    assert gone(child)


@pytest.mark.slow
def test_the_second_signal_ends_at_once(program):
    process = program(BLOCK, DELAY="600")
    process.stdout.readline()
    (child,) = children(process.pid)
    process.terminate()
    assert process.stdout.readline() == "closing\n"
    process.terminate()
    process.communicate(timeout=DEADLINE)
    assert process.returncode == 128 + signal.SIGTERM
    _until(lambda: gone(child))


@pytest.mark.slow
def test_a_forgotten_close_happens_at_the_end_of_the_program(program):
    process = program(SERVE + 'Deployment(uses=Writer, host="127.0.0.1", quiet=True).start()\nd = Deployment()\n')
    out, err = process.communicate(timeout=DEADLINE)
    assert (out.split(), process.returncode) == (["closed"], 0), err


@pytest.mark.slow
def test_an_uncaught_failed_start_ends_with_the_cause_in_its_last_lines(program):
    source = SERVE.replace(
        "    @requests", "    def __init__(self, **kwargs):\n        raise OSError('no model')\n    @requests"
    )
    process = program(source + 'Deployment(uses=Writer, host="127.0.0.1", quiet=True).start()\n')
    _out, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 1
    *before, last = err.splitlines()
    assert last.endswith("RuntimeFailToStart: executor failed in __init__ (program.py:11): OSError: no model")
    assert "    raise OSError('no model')" in before  # the worker's own traceback


@pytest.mark.slow
def test_a_program_that_only_serves_imports_neither_grpc_nor_docarray(program, tmp_path):
    (tmp_path / "plain.py").write_text("from jina import Executor\nclass Plain(Executor): pass\n")
    source = """
import sys
from jina import Deployment
assert not {"grpc", "docarray", "pydantic", "rich", "numpy"} & sys.modules.keys()
with Deployment(uses="plain.Plain", host="127.0.0.1", quiet=True):
    print(sorted({"grpc", "docarray", "rich", "numpy", "aiohttp", "uvicorn", "cloudpickle"} & sys.modules.keys()))
"""
    process = program(source)
    out, err = process.communicate(timeout=DEADLINE)
    assert out == "[]\n", err


@pytest.mark.slow
def test_one_plain_line_says_that_it_is_ready(program):
    source = SERVE + "with Deployment(uses=Writer, log_level='ERROR') as deployment: print(deployment.port)\n"
    process = program(source, PYTHONWARNINGS="ignore")
    out, err = process.communicate(timeout=DEADLINE)
    port = out.split()[0]
    assert err == f"executor is ready: grpc://0.0.0.0:{port}\n"

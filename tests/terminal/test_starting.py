"""What Executors print while they start is all to be seen, in tmux and through a pipe; the terminal is left well."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys

import pytest

from tests.terminal.tmux import WITHIN, Pane, needs_tmux

PROGRAM = """
import logging
import os
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

from jina import Document, Executor, Flow, requests

HERE = Path(__file__).parent


class Loud(Executor):
    def __init__(self, name, end, waits, **kwargs):
        super().__init__(**kwargs)
        for number in range(40):
            print(f"{name} prints line {number:02}.", file=sys.stderr if number % 3 == 2 else sys.stdout)
        warnings.warn(f"{name} warns.")
        logging.getLogger("theirs").warning(f"{name} logs.")
        print(f"{name} begins, ", end="", flush=True)
        print(f"goes on, ", end="")
        print(f"and ends a line of {name}.")
        print(f"{name} has a long line: " + " ".join(f"word{number:03}" for number in range(80)) + ".")
        print(f"{name} prints \\u00fcn\\u00efc\\u00f6d\\u00e9 and a tab\\there.")
        subprocess.run(["sh", "-c", f"echo {name} has a child that prints.; echo {name} has a child that warns. >&2"])
        os.write(1, f"{name} writes to the descriptor.\\n".encode())
        print(f"{name} waits without an end of the line", end="", flush=True)
        while waits and not (HERE / "go").exists():
            time.sleep(0.01)
        print()
        for number in range(40, 60):
            print(f"{name} prints line {number:02}.")
        print(f"{name} is last and has no end of the line.", end="")
        if end == "fails" and name == "second":
            self.load(name)

    @requests
    def work(self, docs, **kwargs):
        print(f"{self.runtime_args.name} works, and ends no line. ", end="", flush=True)

    def load(self, name):
        raise ValueError(f"{name} has no model at /models/"
                         "one.bin")


def serve(first, second, end, waits):
    flow = Flow(host="127.0.0.1", name=f"flow-of-{first}")
    for name in (first, second):
        flow = flow.add(name=name, uses=Loud, uses_with={"name": name, "end": end, "waits": waits})
    with flow:
        print(f"{first} and {second} serve.")
        if end == "posts":
            flow.post("/", [Document()] * 3, request_size=1, show_progress=True)
        if end == "blocks":
            flow.block()


if __name__ == "__main__":
    end, waits = sys.argv[1], sys.argv[2] == "waits"
    if end == "parallel":
        threads = [threading.Thread(target=serve, args=(*names, end, waits))
                   for names in (("first", "second"), ("third", "fourth"))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    else:
        serve("first", "second", end, waits)
"""
pytestmark = pytest.mark.timeout(400)
LAST = "is last and has no end of the line."


def wanted_lines(name: str) -> list[str]:
    words = " ".join(f"word{number:03}" for number in range(80))
    return [
        *(f"{name} prints line {number:02}." for number in range(60)),
        f"{name} begins, ",
        f"and ends a line of {name}.",
        f"{name} has a long line: {words}.",
        f"{name} prints ünïcödé and a tab",
        f"{name} has a child that prints.",
        f"{name} has a child that warns.",
        f"{name} writes to the descriptor.",
        f"{name} waits without an end of the line",
        f"{name} {LAST}",
        f"UserWarning: {name} warns.",
        f"{name} logs.",
    ]


def missing(text: str, *names: str) -> list[str]:
    return [line for name in names for line in wanted_lines(name) if line not in text]


def of_pane(folder, columns, end, environment=None, *, pipe=False):
    """A program in a pane, which goes on once its progress is shown; gives what is seen then, and the exit code."""
    (folder / "program.py").write_text(PROGRAM)
    command = f"{shlex.quote(sys.executable)} program.py {end} {'at-once' if pipe else 'waits'}"
    with Pane(folder, f"{command} 2>&1 | cat" if pipe else command, columns=columns, environment=environment) as pane:
        if not pipe:
            pane.until("in __init__")
            (folder / "go").touch()
        code = pane.end()
        return pane.text, pane.raw, code


@needs_tmux
@pytest.mark.slow
@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("environment", [{}, {"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["plain", "no-color", "dumb"])
def test_every_line_stays(tmp_path, columns, environment):
    text, raw, code = of_pane(tmp_path, columns, "serves", environment)
    assert code == 0, text
    assert missing(text, "first", "second") == [], text
    assert "first and second serve." in text
    assert "is ready to serve" in text
    if environment:
        # `dumb` obeys nothing at all; NO_COLOR leaves bold and the like.
        assert not re.search(r"\x1b\[[\d;]*m" if "TERM" in environment else r"\x1b\[(\d*;)*[34]\d", raw), raw


@needs_tmux
@pytest.mark.slow
@pytest.mark.parametrize("columns", [80, 120])
def test_a_failed_start_shows_all_of_its_traceback(tmp_path, columns):
    text, _, code = of_pane(tmp_path, columns, "fails")
    assert code == 1, text
    assert missing(text, "second") == [], text
    assert "Traceback (most recent call last):" in text
    for line in ("self.load(name)", 'raise ValueError(f"{name} has no model at /models/"', "second failed in __init__"):
        assert line in text, text
    assert text.count("ValueError: second has no model at /models/one.bin") >= 2, text


@needs_tmux
@pytest.mark.slow
def test_flows_that_start_at_once_lose_nothing(tmp_path):
    text, _, code = of_pane(tmp_path, 80, "parallel")
    assert code == 0, text
    assert missing(text, "first", "second", "third", "fourth") == [], text
    assert text.count("is ready to serve") == 2, text


@needs_tmux
@pytest.mark.slow
def test_progress_of_requests_erases_nothing(tmp_path):
    text, _, code = of_pane(tmp_path, 80, "posts")
    assert code == 0, text
    assert missing(text, "first", "second") == [], text
    assert text.count("works, and ends no line. ") == 6, text
    assert "/: 3 of 3 answered in" in text


@needs_tmux
@pytest.mark.slow
@pytest.mark.parametrize("while_starting", [True, False], ids=["starting", "serving"])
def test_ctrl_c_leaves_the_terminal_as_it_was(tmp_path, while_starting):
    (tmp_path / "program.py").write_text(PROGRAM)
    with Pane(tmp_path, f"{shlex.quote(sys.executable)} program.py blocks waits", columns=80) as pane:
        pane.until("in __init__")
        if not while_starting:
            (tmp_path / "go").touch()
            pane.until("first and second serve.")
        pane.press("C-c")
        code = pane.end()
        text = pane.text
    assert code == (130 if while_starting else 0), text
    lost = missing(text, "first", "second")
    if while_starting:  # the rest was never printed
        lost = [line for line in lost if LAST not in line and not re.search(r"line [45]\d\.$", line)]
    assert lost == [], text


@needs_tmux
@pytest.mark.slow
def test_a_pipe_in_a_terminal_gets_every_line(tmp_path):
    text, raw, _ = of_pane(tmp_path, 80, "serves", pipe=True)
    assert missing(text, "first", "second") == [], text
    assert "\x1b[" not in raw


@pytest.mark.slow
@pytest.mark.parametrize("end", ["serves", "fails"])
def test_a_pipe_gets_every_line(tmp_path, end):
    (tmp_path / "program.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "program.py", end, "at-once"],
        cwd=tmp_path, env={**os.environ, "HOME": str(tmp_path)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        timeout=WITHIN, check=False, text=True,
    )  # fmt: skip
    assert done.returncode == (0 if end == "serves" else 1), done.stdout
    assert missing(done.stdout, "second" if end == "fails" else "first", "second") == [], done.stdout
    assert "\x1b" not in done.stdout

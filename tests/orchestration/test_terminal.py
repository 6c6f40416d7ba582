"""What a terminal shows while a service starts: all that Executors print and log is there and stays there."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
import time

import pyte
import pytest

WITHIN = 50.0
PROGRAM = """
import logging
import os
import signal
import sys
import time
from pathlib import Path

from jina import Executor, Flow, requests

HERE = Path(__file__).parent


def wait_for(name):
    while not (HERE / name).exists():
        time.sleep(0.01)


class Loud(Executor):
    def __init__(self, end, **kwargs):
        super().__init__(**kwargs)
        for number in range(6):
            print(f"line {number} of the user")
        wait_for("first")
        for number in range(6, 12):
            print(f"line {number} of the user", file=sys.stderr)
        logging.getLogger("theirs").warning("a warning of the user")
        for percent in range(0, 101, 5):
            print(f"\\rloaded {percent} %", end="", flush=True)
        wait_for("second")
        print("\\nturning 100 %\\r", end="", flush=True)
        wait_for("third")
        print("\\nwithout an end", end="")
        if end == "fails":
            raise ValueError("on purpose")
        if end == "dies":
            os.kill(os.getpid(), signal.SIGKILL)


class Quiet(Executor):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        wait_for("third")


if __name__ == "__main__":
    flow = Flow(host="127.0.0.1").add(uses=Loud, uses_with={"end": sys.argv[1]}).add(uses=Quiet)
    with flow:
        print("it serves")
"""
WANTED = [
    *(f"line {number} of the user" for number in range(12)),
    "a warning of the user",
    "loaded 100 %",
    "turning 100 %",
    "without an end",
]


class Terminal:
    """A program on a terminal of 120 columns and 40 lines, and what is to be seen there, scrolled off or not."""

    def __init__(self, command, folder):
        self.changed = threading.Condition()
        self.screen = pyte.HistoryScreen(120, 40, history=1000)
        self._stream = pyte.ByteStream(self.screen)
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        environment = {**os.environ, "TERM": "xterm-256color", "HOME": str(folder)}
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        while True:
            try:
                data = os.read(self._ours, 1 << 16)
            except OSError:  # all others have closed it
                break
            with self.changed:
                self._stream.feed(data)
                self.changed.notify_all()
        os.close(self._ours)

    @property
    def text(self):
        past = ["".join(line[column].data for column in range(120)).rstrip() for line in self.screen.history.top]
        return "\n".join([*past, *(line.rstrip() for line in self.screen.display)]).rstrip()

    def until(self, condition, what):
        """Wait until `condition(text)`."""
        deadline = time.monotonic() + WITHIN
        with self.changed:
            while not condition(self.text):
                left = deadline - time.monotonic()
                assert left > 0, f"no {what}:\n{self.text}"
                self.changed.wait(left)

    def end(self):
        """Wait until the program and all that it started have ended; gives the exit code."""
        code = self.process.wait(WITHIN)
        self._reader.join(WITHIN)
        return code

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.wait()
        self._reader.join(WITHIN)


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("end", ["serves", "fails"])
def test_all_that_executors_print_stays(tmp_path, end):
    (tmp_path / "program.py").write_text(PROGRAM)
    terminal = Terminal([sys.executable, "program.py", end], tmp_path)
    with terminal:
        for name, last in (("first", "line 5 of"), ("second", "loaded 100"), ("third", "turning 100")):
            terminal.until(lambda text, last=last: "in __init__" in text.partition(last)[2], f"progress after {last!r}")
            (tmp_path / name).touch()
        code = terminal.end()
    assert code == (0 if end == "serves" else 1), terminal.text
    assert ("it serves" if end == "serves" else "ValueError: on purpose") in terminal.text
    assert [text for text in WANTED if text not in terminal.text] == [], terminal.text


@pytest.mark.slow
@pytest.mark.parametrize("end", ["serves", "fails", "dies"])
def test_what_executors_print_goes_into_a_file_as_it_is(tmp_path, end):
    (tmp_path / "program.py").write_text(PROGRAM)
    for name in ("first", "second", "third"):
        (tmp_path / name).touch()
    with open(tmp_path / "said", "wb") as file:
        ended = subprocess.run(
            [sys.executable, "program.py", end], cwd=tmp_path, stdout=file, stderr=file, timeout=WITHIN, check=False
        )
    said = (tmp_path / "said").read_text()
    assert ended.returncode == (0 if end == "serves" else 1), said
    wanted = WANTED[:-1] if end == "dies" else WANTED
    assert [text for text in wanted if text not in said] == [], said
    assert "\x1b" not in said

"""Commands that serve, as processes of their own."""

import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

JINA = str(Path(sys.executable).with_name("jina"))
WITHIN = 50.0
"""Seconds after which a wait fails; generous, because tests share their machine."""


class Program:
    """A running `jina` command, with what it wrote so far."""

    def __init__(self, process):
        self.process = process
        self.output = ""
        self._lines = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        with self.process.stdout as lines:
            for line in lines:
                self.output += line
                self._lines.put(line)
        self._lines.put(None)

    def address(self, scheme):
        """The address that the program announced."""
        deadline = time.monotonic() + WITHIN
        while True:
            line = self._lines.get(timeout=max(0.01, deadline - time.monotonic()))
            assert line is not None, f"ended:\n{self.output}"
            if found := re.search(rf"is ready:.*?({scheme}://\S+)", line):
                return found.group(1)

    def end(self, number=signal.SIGTERM):
        """Send the signal, unless it has ended; gives the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait()

    def wait(self):
        """Wait for its end; gives the exit code."""
        code = self.process.wait(WITHIN)
        self._reader.join(WITHIN)
        return code


@contextmanager
def serving(*words, cwd, home):
    """`jina ...` with `home` as its home folder."""
    paths = os.pathsep.join(path for path in sys.path if path)
    process = subprocess.Popen(
        [JINA, *words],
        cwd=cwd,
        env={**os.environ, "HOME": str(home), "NO_COLOR": "1", "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    )
    program = Program(process)
    try:
        yield program
    finally:
        if process.poll() is None:
            process.kill()
        program.wait()

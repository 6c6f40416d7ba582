"""Commands as processes: started, read, ended."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

JINA = str(Path(sys.executable).with_name("jina"))
WITHIN = 40.0


class Service:
    """A running command, with what it wrote so far."""

    def __init__(self, words: list[str], cwd: Path) -> None:
        environment = {**os.environ, "HOME": str(cwd), "NO_COLOR": "1"}
        self.process = subprocess.Popen(
            [JINA, *words],
            cwd=cwd,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="backslashreplace",  # what others write through it may be no text
        )
        self.lines: list[str] = []
        self.changed = threading.Condition()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        with self.process.stdout as stdout:
            for line in stdout:
                with self.changed:
                    self.lines.append(line)
                    self.changed.notify_all()

    def address(self, scheme: str) -> str:
        """The address that the service announced."""
        pattern = re.compile(rf"is ready:.*?({scheme}://\S+)")
        deadline = time.monotonic() + WITHIN
        with self.changed:
            while True:
                for line in self.lines:
                    if found := pattern.search(line):
                        return found.group(1).replace("0.0.0.0", "127.0.0.1")
                left = deadline - time.monotonic()
                assert left > 0, f"not ready:\n{''.join(self.lines)}"
                assert self.process.poll() is None, f"ended:\n{''.join(self.lines)}"
                self.changed.wait(min(left, 0.5))

    def end(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(WITHIN)
        self.reader.join(WITHIN)
        return code

    @property
    def output(self) -> str:
        return "".join(self.lines)


@contextmanager
def serving(*words: str, cwd: Path):
    service = Service(list(words), cwd)
    try:
        yield service
    finally:
        if service.process.poll() is None:
            service.process.kill()
        service.end()


def call(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([JINA, *words], capture_output=True, text=True, timeout=WITHIN, check=False)

"""Programs of the interop tests: started, talked to in lines, ended with all that they started."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import socket
import subprocess
import threading
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PYTHONS = {"ours": ROOT / ".venv/bin/python", "theirs": ROOT / ".cache/env-jina3/bin/python"}


def free_ports(count: int) -> list[int]:
    """Free ports, all different."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


class Program:
    """A script of this folder run by the Python of one side; `log` gets what it prints."""

    def __init__(self, side: str, script: str, *arguments: str, log: Path, **environment: str) -> None:
        python = PYTHONS[side]
        if not python.exists():
            raise RuntimeError(f"{python} is missing: run `make test-interop`, which makes it")
        self._log = log
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                [str(python), str(HERE / script), *arguments],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=out, text=True, bufsize=1, cwd=HERE,
                env={**os.environ, "JINA_OPTOUT_TELEMETRY": "1", "JINA_LOG_LEVEL": "ERROR", **environment},
                start_new_session=True,
            )  # fmt: skip
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def line(self, seconds: float) -> str:
        """The next line that the program writes."""
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            raise TimeoutError(f"no answer in {seconds} s; {self.log()}") from None
        if not line:
            raise RuntimeError(f"the program ended; {self.log()}")
        return line.rstrip("\n")

    def ask(self, question: dict, seconds: float = 30.0) -> dict:
        """Write a JSON line, read one."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        return json.loads(self.line(seconds))

    def log(self) -> str:
        """The end of what it printed."""
        return f"its log ends:\n{self._log.read_text(errors='replace')[-3000:]}"

    def kill(self) -> None:
        """End it and its children, now."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()

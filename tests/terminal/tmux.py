"""A program in a pane of tmux, and what is to be seen there."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import Self

import pytest

WITHIN = 150.0
MISSING = shutil.which("tmux") is None
needs_tmux = pytest.mark.skipif(MISSING, reason="tmux is not installed (on Debian: apt-get install tmux)")


class Pane:
    """Runs a command line of a shell in a terminal of so many columns; nothing of the user's own tmux is read.

    Programs in the pane may tell that they are somewhere: `tmux wait-for -S NAME`, see `wait_for`.
    """

    def __init__(self, folder: Path, command: str, *, columns: int, environment: dict[str, str] | None = None) -> None:
        self._folder = folder
        self._seen = bytearray()
        self._changed = threading.Condition()
        (folder / "tmux.conf").write_text(
            'set -g history-limit 20000\nset -g default-terminal "tmux-256color"\nset -g status off\n'
        )
        words = " ".join(f"{name}={shlex.quote(value)}" for name, value in (environment or {}).items())
        script = f"trap : INT\nstty -g > before\n{command}\necho $? > code\nstty -g > after\n"
        script += "tmux wait-for -S ended\nread -r rest\n"
        (folder / "pane.sh").write_text(f"tmux wait-for go\nexport TERM=tmux-256color {words}\n{script}")
        own = {name: value for name, value in os.environ.items() if name not in {"TMUX", "NO_COLOR", "TERM"}}
        self._environment = {**own, "HOME": str(folder), "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
        self._call("-f", "tmux.conf", "new-session", "-d", "-x", str(columns), "-y", "24", "sh pane.sh")
        self.process = int(self._call("display-message", "-p", "#{pid}"))
        os.mkfifo(folder / "raw")
        self._call("pipe-pane", "exec cat > raw")
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._call("wait-for", "-S", "go")

    def _call(self, *words: str) -> str:
        done = subprocess.run(
            ["tmux", "-S", "tmux", *words],  # the name of a socket is short, and the folder's may be long
            cwd=self._folder, env=self._environment, timeout=WITHIN, check=True, capture_output=True, text=True,
        )  # fmt: skip
        return done.stdout

    def _read(self) -> None:
        with (self._folder / "raw").open("rb", buffering=0) as raw:
            while data := raw.read(1 << 16):
                with self._changed:
                    self._seen += data
                    self._changed.notify_all()

    @property
    def raw(self) -> str:
        """All that was written, with what only the terminal obeys."""
        return self._seen.decode(errors="replace")

    @property
    def text(self) -> str:
        """What is in the window and above it; lines that the window broke are whole."""
        return self._call("capture-pane", "-p", "-J", "-S", "-").rstrip()

    def until(self, text: str) -> None:
        """Wait until the program has written this."""
        deadline = time.monotonic() + WITHIN
        with self._changed:
            while text not in self.raw:
                left = deadline - time.monotonic()
                assert left > 0, f"no {text!r} within {WITHIN} s:\n{self.raw}"
                self._changed.wait(left)

    def wait_for(self, name: str) -> None:
        """Wait until a program of the pane tells that it is there."""
        try:
            self._call("wait-for", name)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"no {name!r} within {WITHIN} s:\n{self.text}") from None

    def press(self, *keys: str) -> None:
        """Send keys, as tmux calls them."""
        self._call("send-keys", *keys)

    def end(self) -> int:
        """Wait until the command has ended; gives its exit code. The terminal has to be as it was before."""
        self.wait_for("ended")
        assert (self._folder / "after").read_text() == (self._folder / "before").read_text(), "stty differs"
        state = self._call("display-message", "-p", "#{cursor_flag} #{alternate_on} #{mouse_any_flag}").split()
        assert state == ["1", "0", "0"], f"cursor, alternate screen, mouse: {state}"
        return int((self._folder / "code").read_text())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._call("kill-server")
        self._reader.join(WITHIN)

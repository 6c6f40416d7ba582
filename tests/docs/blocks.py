"""Runs the code blocks of a Markdown page, in order, in one folder of their own.

What a block is, by its fence::

    ```python                     a program: runs, must exit 0
    ```text                       what the program or command before it must print; `...` stands for anything
    ```python title="a.py"        a file that later blocks use (any language)
    ```bash                       commands: run with `bash -e`, must exit 0
    ```bash                       with nothing but `make TARGET`: the targets must exist
    ```bash title="terminal 1"    commands that keep running: started, waited for until ready, ended after the page
    ```sh, ```js, ```json ...     shown, not run

Ports from 54321 to 54329 are replaced by free ones.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

FENCE = re.compile(r'^( *)```(\w+)(?: +title="([^"]+)")?[^\n]*\n(.*?)^\1```', re.MULTILINE | re.DOTALL)
ROOT = Path(__file__).parents[2]
PORT = re.compile(r"\b5432[1-9]\b")
READY_WITHIN = 60.0
RUN_WITHIN = 120.0
LANGUAGES = {"python", "bash", "text", "yaml", "json", "js", "toml", "dockerfile", "protobuf", "http", "sh"}


@dataclass
class Block:
    """One fenced block; `line` is where it starts in the page."""

    language: str
    title: str
    code: str
    line: int


def blocks_of(text: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found = []
    for match in FENCE.finditer(text):
        indent, language, title, code = match.groups()
        lines = [line.removeprefix(indent) for line in code.splitlines(keepends=True)]
        found.append(Block(language, title or "", "".join(lines), text[: match.start()].count("\n") + 1))
    return found


@dataclass
class Page:
    """A page being run: its folder, free ports and what runs in the background."""

    path: Path
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    ports: dict[str, str] = field(default_factory=dict)
    background: list[tuple[Block, subprocess.Popen[bytes], Path]] = field(default_factory=list)
    output: str | None = None

    def run(self) -> None:
        """Run every block; raises AssertionError naming the page and line."""
        text = PORT.sub(lambda match: self._port(match.group()), self.path.read_text(encoding="utf-8"))
        bin_folder = str(Path(sys.executable).parent)
        self.environment = {
            **os.environ,
            "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.folder),
            "PYTHONPATH": "",
        }
        # Certificates that this machine trusts in general must not stand in for those of the page.
        self.environment.pop("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", None)
        try:
            for block in blocks_of(text):
                self._block(block)
        finally:
            self._end()

    def _port(self, written: str) -> str:
        if written not in self.ports:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.ports[written] = str(probe.getsockname()[1])
        return self.ports[written]

    def _block(self, block: Block) -> None:
        where = f"{self.path.name}:{block.line}"
        if block.title.startswith("terminal"):
            self._start(block, where)
        elif block.title:
            file = self.folder / block.title
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.code, encoding="utf-8")
        elif block.language == "python":
            self._program(block, where, [sys.executable, self._write(block, ".py")])
        elif block.language == "bash" and all(line.startswith("make ") for line in block.code.splitlines()):
            self._targets(block, where)
        elif block.language == "bash":
            self._program(block, where, ["bash", "-euo", "pipefail", self._write(block, ".sh")])
        elif block.language == "text" and self.output is not None:
            expected = "(?s:.*)".join(map(re.escape, block.code.strip().split("...")))
            assert re.fullmatch(expected, self.output.strip()), f"{where}: printed\n{self.output}\nnot\n{block.code}"
            self.output = None
        else:
            assert block.language in LANGUAGES, f"{where}: no rule for {block.language!r}"

    def _targets(self, block: Block, where: str) -> None:
        """The targets exist: running them here would run the tests inside the tests."""
        for line in block.code.splitlines():
            target = line.split()[1]
            done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{where}: make {target}: {done.stderr}"

    def _write(self, block: Block, suffix: str) -> str:
        file = self.folder / f"block_{block.line}{suffix}"
        file.write_text(block.code, encoding="utf-8")
        return str(file)

    def _program(self, block: Block, where: str, command: list[str]) -> None:
        program = subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        with program:
            try:
                output, complaints = program.communicate(timeout=RUN_WITHIN)
            finally:
                # What a block starts in the background and does not end, as when a line before that fails.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(program.pid, signal.SIGKILL)
        code = program.returncode
        assert code == 0, f"{where}: exit code {code}\n{block.code}\n{output}\n{complaints}"
        self.output = output

    def _start(self, block: Block, where: str) -> None:
        log = self.folder / f"terminal_{block.line}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {block.code.strip()}"],
                cwd=self.folder, env=self.environment, stdout=out, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self.background.append((block, process, log))
        deadline = time.monotonic() + READY_WITHIN
        while "ready" not in log.read_text(encoding="utf-8", errors="replace"):
            assert process.poll() is None, f"{where}: ended with {process.returncode}\n{log.read_text()}"
            assert time.monotonic() < deadline, f"{where}: not ready after {READY_WITHIN} s\n{log.read_text()}"
            try:
                process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue

    def _end(self) -> None:
        for _, process, _ in self.background:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for block, process, log in self.background:
            try:
                code = process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                raise AssertionError(
                    f"{self.path.name}:{block.line}: did not end on SIGTERM\n{log.read_text()}"
                ) from None
            assert code == 0, f"{self.path.name}:{block.line}: exit code {code} on SIGTERM\n{log.read_text()}"

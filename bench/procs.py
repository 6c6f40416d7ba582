"""Server processes: started, measured, ended. Linux only: figures come from /proc."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".cache" / "bench"


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Server:
    """One server under test: a script run by the Python of its environment, with the port as last argument."""

    name: str
    python: str
    script: str
    arguments: list[str] = field(default_factory=list)
    port: int = 0
    process: subprocess.Popen | None = None
    source: str = ""
    """Folder from which `jina` is imported instead of from the environment; see `environments.source_at`."""
    scripts: Path = ROOT / "bench" / "servers"
    patience: float = 90.0
    """Seconds until the port accepts."""

    def start(self) -> float:
        """Start and wait until the port accepts; gives the seconds it took."""
        self.port = free_port()
        CACHE.mkdir(parents=True, exist_ok=True)
        log_file = CACHE / f"{self.name}.log"
        environment = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # else each start would compile
        environment |= {"JINA_OPTOUT_TELEMETRY": "1", "BENTOML_DO_NOT_TRACK": "True", "OMP_NUM_THREADS": "1"}
        environment |= {"JINA_LOG_LEVEL": "ERROR"} | ({"PYTHONPATH": self.source} if self.source else {})
        command = [self.python, str(self.scripts / self.script), *self.arguments, str(self.port)]
        started = time.perf_counter()
        with log_file.open("wb") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, cwd=self.scripts, env=environment,
                start_new_session=True,
            )  # fmt: skip
        atexit.register(self.stop)  # also where the benchmark is ended while it starts
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 0.2):
                return time.perf_counter() - started
            if self.process.poll() is not None or time.perf_counter() - started > self.patience:
                self.stop()
                raise RuntimeError(f"{self.name} did not start; see {log_file}")
            time.sleep(0.01)

    def tree(self) -> list[psutil.Process]:
        """The process and all below it."""
        assert self.process is not None
        top = psutil.Process(self.process.pid)
        return [top, *top.children(recursive=True)]

    def cpu_ns(self) -> int:
        """Nanoseconds that all threads of all its processes ran, from schedstat, and those that ended since."""
        total = 0
        for process in self.tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                ended = process.cpu_times()
                total += round((ended.children_user + ended.children_system) * 1e9)
            for task in Path(f"/proc/{process.pid}/task").glob("*/schedstat"):
                with contextlib.suppress(OSError):
                    total += int(task.read_text().split()[0])
        return total

    def pss_mb(self) -> float:
        """Proportional set size of all its processes."""
        return sum(process.memory_full_info().pss for process in self.tree()) / 2**20

    def behind_mb(self) -> float:
        """Of that the part of those behind its gateway: neither the process that was started nor one that listens."""
        total = 0
        for process in self.tree()[1:]:
            listens = [one.laddr.port for one in process.net_connections("tcp") if one.status == psutil.CONN_LISTEN]
            if self.port not in listens:
                total += process.memory_full_info().pss
        return total / 2**20

    def peak_mb(self) -> float:
        """Sum of the peaks (VmHWM) of its processes."""
        total = 0.0
        for process in self.tree():
            for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    total += int(line.split()[1]) / 1024
        return total

    def stop(self) -> None:
        """End it and what it started."""
        atexit.unregister(self.stop)
        if self.process is None:
            return
        tree = self.tree() if self.process.poll() is None else []
        for process in tree[:1]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGTERM)
        _, alive = psutil.wait_procs(tree, timeout=8)
        for process in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait(10)
        self.process = None

"""What starting costs: to the first answer beside the peers, and to ready beside the imports alone."""

from __future__ import annotations

import contextlib
import http.client
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from bench.cases import TEXT
from bench.environments import install_size, python_of, versions
from bench.procs import Server, free_port
from bench.report import Check, Section
from bench.runs import bench_server
from bench.stats import ratio


def start(rounds: int) -> Section:
    """Process start to the first right answer over HTTP, each with an environment of its own."""
    turns = max(2, rounds // 4)
    arms = {
        "ours-http": ("ours", "ours.py", "/upper", {"protocol": "http"}),
        "jina3-http-direct": ("jina3", "jina3.py", "/upper", {"protocol": "http", "include_gateway": "false"}),
        "jina3-http-default": ("jina3", "jina3.py", "/upper", {"protocol": "http"}),
        "litserve": ("litserve", "peer_litserve.py", "/upper", {}),
        "mosec": ("mosec", "peer_mosec.py", "/inference", {}),
        "bentoml": ("bentoml", "peer_bentoml.py", "/upper", {}),
    }
    servers = {
        name: (bench_server(name, script, python_of(peer), **options), path)
        for name, (peer, script, path, options) in arms.items()
    }
    found = first_answers(servers, turns)
    rows = []
    for name, series in found.items():
        wall, cpu, pss = (statistics.median(values) for values in zip(*series, strict=True))
        rows.append([name, versions(arms[name][0]), wall, cpu, pss, *install_size(arms[name][0])])
    head = ["server", "version", "wall (s)", "CPU (s)", "PSS (MB)", "install (MB)", "distributions"]
    ours = found["ours-http"]
    checks = [
        Check(f"our {what} / {name}", ratio([one[k] for one in ours], [one[k] for one in series]))
        for name, series in found.items()
        if name != "ours-http"
        for k, what in enumerate(("wall", "CPU", "PSS"))
    ]
    note = f"{turns} starts each. CPU of all processes to the first answer, also ended ones; install without bytecode."
    bars = {row[0]: row[2] for row in rows}
    return Section("Start to the first answer over HTTP", head, rows, checks, note, "s", bars, {"found": found})


def first_answers(servers: Mapping[str, tuple[Server, str]], turns: int) -> dict[str, list[tuple[float, float, float]]]:
    """The figures of `first_answer` for each server and path, in turns whose order changes."""
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in servers}
    for turn in range(turns + 1):
        for name, (server, path) in [*servers.items()][:: 1 if turn % 2 == 0 else -1]:
            figures = first_answer(server, path)
            if turn:  # the first turn writes bytecode and warms the file cache
                found[name].append(figures)
    return found


def first_answer(server: Server, path: str) -> tuple[float, float, float]:
    """Seconds of wall and CPU, and MB of PSS, at the first right answer."""
    began = time.perf_counter()
    server.start()
    try:
        while not _answers(server.port, path):
            if time.perf_counter() - began > 90:
                raise RuntimeError(f"{server.name} gave no right answer")
            time.sleep(0.01)
        return time.perf_counter() - began, server.cpu_ns() / 1e9, server.pss_mb()
    finally:
        server.stop()


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("POST", path, TEXT, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status == 200 and b"HELLO WORLD" in answer.read()
    return False


SCRIPT = """
import sys
from jina import Deployment, Executor, requests


class Trivial(Executor):
    @requests
    def work(self, docs, **kwargs):
        return docs


if __name__ == "__main__":
    with Deployment(uses=Trivial, protocol=sys.argv[1], port=int(sys.argv[2])):
        print("ready", flush=True)
        sys.stdin.read()
"""
IMPORTS = {
    "grpc": "import docarray, uvloop, ngh2, google.protobuf.descriptor_pb2",
    "http": "import docarray, uvicorn, httptools, orjson",
}


def ready(rounds: int) -> Section:
    """A Deployment from the start of the script to ready, beside a process that only imports what it needs."""
    rows, checks, raw, bars = [], [], {}, {}
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "trivial.py"
        script.write_text(SCRIPT)
        for protocol, imports in IMPORTS.items():
            ours, bare = [], []
            for turn in range(rounds + 1):
                command = [sys.executable, str(script), protocol, str(free_port())]
                pair = _to_line(command), _to_line([sys.executable, "-c", f"{imports}; print('ready', flush=True)"])
                if turn:
                    ours.append(pair[0])
                    bare.append(pair[1])
            for name, series in ((f"ours-{protocol}", ours), (f"imports-{protocol}", bare)):
                wall, cpu = (statistics.median(values) for values in zip(*series, strict=True))
                rows.append([name, wall, cpu])
                bars[name] = wall
                raw[name] = series
            for k, what in enumerate(("wall", "CPU")):
                found = ratio([one[k] for one in ours], [one[k] for one in bare])
                checks.append(Check(f"{protocol}: our {what} / imports alone", found, 1.6))
    head = ["process", "wall to ready (s)", "CPU (s)"]
    note = "CPU of the script and its worker, the stop included. The imports: " + "; ".join(
        f"`{text}`" for text in IMPORTS.values()
    )
    return Section(
        "A Deployment with a trivial Executor until it is ready", head, rows, checks, note + ".", "s", bars, raw
    )


def _to_line(command: list[str]) -> tuple[float, float]:
    """Seconds to the first line, and of CPU in all, children included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        line = process.stdout.readline()
        wall = time.perf_counter() - began
        process.stdin.close()
        if process.wait(60) or line.strip() != b"ready":
            raise RuntimeError(f"{command} failed")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

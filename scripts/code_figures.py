"""Figures of the code: its size and grain, and what one warm request runs in the process that serves it.

    python scripts/code_figures.py [--json] [--no-requests]

The figures are observations, not limits.

Requests are traced by `sys.setprofile` and `threading.setprofile` in the processes that serve them: a
`sitecustomize.py` of this script, found by their PYTHONPATH, counts the calls of functions below `src/jina`, and writes
the counts out on SIGUSR2 and at the exit. A function belongs to a request if it is called at least once for every
second request.
"""

from __future__ import annotations

import argparse
import ast
import collections
import contextlib
import http.client
import io
import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import tokenize
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "jina"
WINDOW = 8
SMALL = 60
REQUESTS = 50
"""How many are traced. As many are sent before, so that nothing is done for the first time."""
DEADLINE = 60.0
"""Seconds in which a process has to write its counts."""

Function = tuple[str, str]
"""The file below `src/jina`, and the name of the function in it."""
Trace = Mapping[Function, int]
"""Function -> calls; comprehensions and generator expressions are not counted."""


# --- what the sources say -----------------------------------------------------------------------------------------


def source_figures(source: Path = SOURCE) -> dict[str, float]:
    """The figures that need no process."""
    files = {file.relative_to(source): file.read_text(encoding="utf-8") for file in sorted(source.rglob("*.py"))}
    texts = list(files.values())
    lengths = [len(text.splitlines()) for text in texts]
    trees = [ast.parse(text) for text in texts]
    return {
        "lines": sum(lengths),
        "modules": len(texts),
        "modules outside legacy": sum(file.parts[0] != "legacy" for file in files),
        "median lines of a module": int(statistics.median(lengths)),
        "lines of the largest module": max(lengths),
        f"modules of at most {SMALL} lines": sum(length <= SMALL for length in lengths),
        "public top-level functions and classes": sum(map(_public_names, trees)),
        "imports inside functions": sum(map(_imports_inside_functions, trees)),
        f"% of lines in duplicated windows of {WINDOW} lines": round(100 * _duplicated(texts), 1),
        "% of lines with a comment": round(100 * sum(map(_comments, texts)) / sum(lengths), 1),
    }


def _public_names(tree: ast.Module) -> int:
    defined = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return sum(isinstance(node, defined) and not node.name.startswith("_") for node in tree.body)


def _imports_inside_functions(tree: ast.Module) -> int:
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    inside = itertools.chain.from_iterable(map(ast.walk, functions))
    return len({node for node in inside if isinstance(node, ast.Import | ast.ImportFrom)})


def _comments(text: str) -> int:
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return sum(token.type == tokenize.COMMENT for token in tokens)


def _duplicated(texts: Iterable[str]) -> float:
    """The share of lines that are part of a window which stands in a second place too; blank lines are left out."""
    places: collections.defaultdict[tuple[str, ...], list[tuple[int, int]]] = collections.defaultdict(list)
    total = 0
    for number, text in enumerate(texts):
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        total += len(lines)
        for start in range(len(lines) - WINDOW + 1):
            places[tuple(lines[start : start + WINDOW])].append((number, start))
    several = itertools.chain.from_iterable(found for found in places.values() if len(found) > 1)
    covered = {(number, line) for number, start in several for line in range(start, start + WINDOW)}
    return len(covered) / total


# --- what a request runs ------------------------------------------------------------------------------------------


_TRACER = """
import atexit, collections, json, os, signal, sys, threading

_source, _folder = {source!r}, {folder!r}
_calls = collections.Counter()  # code object -> calls; threads may lose a few, which the threshold allows for
_written = 0


def _count(frame, event, _):
    if event == "call":
        _calls[frame.f_code] += 1


def _write(*_):
    global _written
    _written += 1
    found = collections.Counter()
    for code, calls in list(_calls.items()):
        if code.co_filename.startswith(_source) and not code.co_name.endswith(("comp>", "genexpr>")):
            found[code.co_filename[len(_source) + 1:] + ":" + code.co_qualname] += calls
    _calls.clear()
    path = os.path.join(_folder, f"{{os.getpid()}}.{{_written}}")
    with open(path + ".part", "w") as file:
        json.dump(found, file)
    os.rename(path + ".part", path)


def _forked():
    global _written
    _written = 0
    _calls.clear()


os.register_at_fork(after_in_child=_forked)
atexit.register(_write)
signal.signal(signal.SIGUSR2, _write)
threading.setprofile(_count)
sys.setprofile(_count)
"""


class Tracer:
    """Counts calls in the processes that are started while it is in effect."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self._written: collections.Counter[int] = collections.Counter()
        (self._folder / "sitecustomize.py").write_text(
            _TRACER.format(source=str(SOURCE), folder=folder), encoding="utf-8"
        )

    @contextlib.contextmanager
    def starting(self) -> Iterator[None]:
        """Within it, processes that are started find the tracer."""
        before = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = os.pathsep.join([str(self._folder), *([before] if before else [])])
        try:
            yield
        finally:
            if before is None:
                del os.environ["PYTHONPATH"]
            else:
                os.environ["PYTHONPATH"] = before

    def traced(self, send: Callable[[], None]) -> list[Trace]:
        """What a warm request runs in each process that takes part in it, in the order of the first calls."""
        for _ in range(REQUESTS):
            send()
        self._counts()
        for _ in range(REQUESTS):
            send()
        traces = [
            {name: calls for name, calls in counts.items() if calls >= REQUESTS / 2}
            for counts in self._counts().values()
        ]
        return [trace for trace in traces if trace]

    def ended(self, program: subprocess.Popen[str]) -> set[str]:
        """The files that run, in any of its processes, from SIGTERM to a program until it has ended."""
        self._counts()
        program.terminate()
        if code := program.wait(DEADLINE):
            raise RuntimeError(f"the program ended with {code}")
        last = (self._folder / f"{process}.{written + 1}" for process, written in self._written.items())
        return {name for file in last if file.exists() for name, _ in self._parsed(file)}

    def _counts(self) -> dict[int, dict[Function, int]]:
        """By process: what it has called since this was asked before."""
        below = psutil.Process().children(recursive=True)
        processes = [process.pid for process in below if _handles(process.pid, signal.SIGUSR2)]
        for process in processes:
            os.kill(process, signal.SIGUSR2)
            self._written[process] += 1
        return {process: self._read(process) for process in processes}

    def _read(self, process: int) -> dict[Function, int]:
        file = self._folder / f"{process}.{self._written[process]}"
        deadline = time.monotonic() + DEADLINE
        while not file.exists():
            if time.monotonic() > deadline:
                raise TimeoutError(f"process {process} has not written its counts in {DEADLINE:.0f} s")
            time.sleep(0.01)
        return self._parsed(file)

    @staticmethod
    def _parsed(file: Path) -> dict[Function, int]:
        return {(name.partition(":")[0], name.partition(":")[2]): n for name, n in json.loads(file.read_text()).items()}


def _handles(process: int, number: signal.Signals) -> bool:
    """Whether a process, of Python, has a handler for a signal, which would end it otherwise."""
    with contextlib.suppress(OSError):
        if not Path(f"/proc/{process}/exe").readlink().name.startswith("python"):
            return False
        status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
        caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
        return bool(int(caught.split()[1], 16) >> (number - 1) & 1)
    return False


@contextlib.contextmanager
def tracer() -> Iterator[Tracer]:
    """A tracer whose files are removed at the end."""
    with tempfile.TemporaryDirectory(prefix="jina-trace-") as folder:
        yield Tracer(folder)


def http_request() -> Trace:
    """What the worker of a Deployment runs for one HTTP request."""
    from jina import Deployment

    with tracer() as tracing:
        with tracing.starting():
            deployment = Deployment(uses=_executor(), protocol="http", quiet=True).start()
        with contextlib.closing(deployment):
            (worker,) = tracing.traced(_post(deployment.port))
    return worker


def grpc_request() -> Trace:
    """What the worker of a Deployment runs for one gRPC request."""
    from jina import Deployment

    with tracer() as tracing:
        with tracing.starting():
            deployment = Deployment(uses=_executor(), quiet=True).start()
        with contextlib.closing(deployment):
            (worker,) = tracing.traced(_call(deployment.port))
    return worker


def flow_request() -> tuple[Trace, Trace]:
    """What a gateway, and each of the two workers behind it, runs for one gRPC request."""
    from jina import Flow

    with tracer() as tracing:
        with tracing.starting():
            flow = Flow(quiet=True).add(uses=_executor(), name="first").add(uses=_executor(), name="second").start()
        with contextlib.closing(flow):
            traces = tracing.traced(_call(flow.port))
    (gateway,) = [trace for trace in traces if any(file.startswith("gateway/") for file, _ in trace)]
    first, second = [trace for trace in traces if trace is not gateway]
    return gateway, {**first, **second}


def written() -> Trace:
    """What the worker of a stateful Deployment with one replica runs for one write; needs the extra `stateful`."""
    from jina import Deployment, write

    with tracer() as tracing, tempfile.TemporaryDirectory(prefix="jina-trace-") as workspace:
        with tracing.starting():
            deployment = Deployment(uses=_executor(write), stateful=True, workspace=workspace, quiet=True).start()
        with contextlib.closing(deployment):
            (worker,) = tracing.traced(_call(deployment.port))
    return worker


_PROGRAM = """
from jina import Executor, Flow, requests

class Same(Executor):
    @requests
    def same(self, docs, **_):
        return docs

if __name__ == "__main__":
    with Flow(quiet=True).add(uses=Same).add(uses=Same) as flow:
        print("ready", flush=True)
        flow.block()
"""


def stopped_flow() -> set[str]:
    """The files that run in the processes of a Flow from SIGTERM to its end."""
    with tracer() as tracing:
        with tracing.starting():
            program = subprocess.Popen([sys.executable, "-c", _PROGRAM], stdout=subprocess.PIPE, text=True)
        with program:
            try:
                assert program.stdout is not None
                if program.stdout.readline() != "ready\n":
                    raise RuntimeError("the program did not start")
                return tracing.ended(program)
            finally:
                program.kill()


def _executor(mark: Callable[[Any], Any] = lambda method: method) -> Any:
    """A class, whose method has one more decorator. It travels to its worker by value, wherever this script is."""
    from docarray import DocList
    from docarray.documents import TextDoc

    from jina import Executor, requests

    class Upper(Executor):
        """Texts in capitals."""

        @mark
        @requests(on="/upper")
        def upper(self, docs: DocList[TextDoc], **_: Any) -> DocList[TextDoc]:
            """Change the documents in place."""
            for doc in docs:
                doc.text = doc.text.upper()
            return docs

    return Upper


def _post(port: int) -> Callable[[], None]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    body = json.dumps({"data": [{"text": "a"}]})

    def send() -> None:
        connection.request("POST", "/upper", body, {"content-type": "application/json"})
        reply = connection.getresponse()
        answer = json.loads(reply.read())
        if reply.status != 200 or answer["data"][0]["text"] != "A":
            raise RuntimeError(f"{reply.status}: {answer}")

    return send


def _call(port: int) -> Callable[[], None]:
    from docarray import DocList
    from docarray.documents import TextDoc

    from jina import Client

    client = Client(port=port)
    docs = DocList[TextDoc]([TextDoc(text="a")])

    def send() -> None:
        answer = client.post("/upper", docs, return_type=DocList[TextDoc])
        if answer[0].text != "A":
            raise RuntimeError(str(answer))

    return send


def files_of(trace: Trace) -> list[str]:
    """The modules that a request runs, in the order of their first calls."""
    return list(dict.fromkeys(file for file, _ in trace))


def request_traces() -> dict[str, Trace]:
    """What one warm request of each kind runs in the process that serves it."""
    gateway, worker = flow_request()
    return {
        "HTTP request to a Deployment": http_request(),
        "gRPC request to a Deployment": grpc_request(),
        "gRPC request to a Flow, in its gateway": gateway,
        "gRPC request to a Flow, in a worker": worker,
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="one JSON object, with the files that each request runs")
    parser.add_argument("--no-requests", action="store_true", help="leave out those for which processes are started")
    options = parser.parse_args()
    figures, traces = source_figures(), {} if options.no_requests else request_traces()
    for kind, trace in traces.items():
        figures |= {f"{kind}: modules": len(files_of(trace)), f"{kind}: functions": len(trace)}
    if options.json:
        print(json.dumps({"figures": figures, "files": {kind: files_of(t) for kind, t in traces.items()}}, indent=2))
        return
    width = max(map(len, figures))
    for name, value in figures.items():
        print(f"{name:{width}} {value:>8,}")


if __name__ == "__main__":
    main()

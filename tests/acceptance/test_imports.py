"""What importing jina costs, and that it changes nothing in the process."""

import json
import subprocess
import sys

import pytest

HEAVY = ("grpc", "uvicorn", "aiohttp", "docarray", "numpy", "opentelemetry", "rich", "prometheus_client", "pydantic")

PROGRAM = """
import json, os, signal, sys, time, warnings, resource, threading, logging, locale, atexit
def process():
    return [
        {str(number): str(signal.getsignal(number)) for number in sorted(signal.valid_signals())},
        dict(os.environ),
        {name: resource.getrlimit(getattr(resource, name)) for name in dir(resource) if name.startswith("RLIMIT_")},
        os.getcwd(),
        str(warnings.filters),
        sorted(thread.name for thread in threading.enumerate()),
        sorted(os.listdir("/proc/self/fd")),
        (os.umask(0o22), sys.getrecursionlimit(), sys.getswitchinterval(), locale.setlocale(locale.LC_ALL)),
        (repr(sys.excepthook), repr(sys.stdout), sys.path, len(sys.meta_path), atexit._ncallbacks()),
        (logging.getLogger().level, repr(logging.getLogger().handlers), logging.getLoggerClass().__name__),
    ]
os.umask(0o22)
before = process()
began = time.process_time()
{{import}}
cost = time.process_time() - began
after = process()
changed = [one for one in zip(before, after) if one[0] != one[1]]
print(json.dumps({"cost": cost, "changed": changed, "loaded": sorted(sys.modules)}))
"""


def run(statement):
    program = PROGRAM.replace("{{import}}", statement)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("statement", "milliseconds"),
    [("import jina", 150), ("from jina import Executor, requests, Deployment, Flow, Client", 250)],
)
def test_import(statement, milliseconds):
    runs = [run(statement) for _ in range(5)]
    assert [one["changed"] for one in runs] == [[]] * 5
    loaded = {name.partition(".")[0] for name in runs[0]["loaded"]}
    assert loaded & set(HEAVY) == set()
    assert min(one["cost"] for one in runs) * 1000 <= milliseconds


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_asking_whether_a_service_is_ready_needs_no_documents(protocol):
    """A health check of a container does so every ten seconds."""
    done = run(f"from jina import Client; Client(host='{protocol}://127.0.0.1:1').is_flow_ready(timeout=0.1)")
    assert {name.partition(".")[0] for name in done["loaded"]} & {"docarray", "numpy", "rich"} == set()

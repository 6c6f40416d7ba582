"""What the tests of Flows ask and count."""

import gc
import http.client
import json
import os
import threading
import time
from collections import Counter
from pathlib import Path

from tests.processes import descendants

PAUSE = threading.Event()


def until(condition, seconds=30):
    """What the condition gave at last."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        PAUSE.wait(0.01)
    return found


def until_same(look, expected, seconds=30):
    """Wait until `look` gives no more than `expected`, by name; a failure shows both."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if all(found <= expected[name] for name, found in seen.items()):
            return
        assert time.monotonic() < deadline, f"{seen}, expected at most {expected}"
        PAUSE.wait(0.05)


def results(flow, endpoint, **arguments):
    """What each step returned, by the name of its Deployment."""
    (response,) = flow.post(endpoint, return_responses=True, **arguments)
    return {name.split("/")[0]: found for name, found in response.parameters["__results__"].items()}


def get(port, path, *, method="GET", body=None, headers=None):
    """(status, headers, body) of one HTTP request; JSON is parsed."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body, {"content-type": "application/json", **(headers or {})})
        response = connection.getresponse()
        content = response.read()
        is_json = response.headers.get_content_type().endswith("json")
        return response.status, dict(response.headers), json.loads(content) if is_json else content.decode()
    finally:
        connection.close()


def health(port):
    """The answer of grpc.health.v1: 1 serves, 2 does not."""
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        return health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=20).status


def processes_of(flow):
    """Process ids by name, of a Flow that runs."""
    return {process.name: process.pid for process in flow._processes[0].processes}


def used(pids):
    """Descriptors and threads of processes, by `name kind`."""
    counts = {}
    for name, pid in pids.items():
        counts[f"{name} descriptors"] = len(os.listdir(f"/proc/{pid}/fd"))
        counts[f"{name} threads"] = len(os.listdir(f"/proc/{pid}/task"))
    return counts


def pss(pid):
    """kB of a process, pages that it shares counted in part."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise AssertionError(f"no Pss of {pid}")


def left_over():
    """Children, descriptors, threads of ours and shared memory of this process."""
    gc.collect()
    return (
        sorted(descendants()),
        len(os.listdir("/proc/self/fd")),
        sorted(thread.name for thread in threading.enumerate()),
        sorted(os.listdir("/dev/shm")),
    )


def nothing_new(before):
    """Whether nothing is left that `left_over` did not tell before; what earlier tests left may go meanwhile."""
    children, files, threads, memory = left_over()
    return (
        set(children) <= set(before[0])
        and files <= before[1]
        and not Counter(threads) - Counter(before[2])
        and set(memory) <= set(before[3])
    )

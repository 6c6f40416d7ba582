"""A real Prometheus and a real collector of OpenTelemetry data, as `scripts/env.sh observe` installs them."""

import json
import os
import re
import shutil
import subprocess
import threading
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
AGENTS = sorted((ROOT / ".cache" / "env-observe").glob("lib/python3*/site-packages/rotel/rotel-agent"))


def needs(*programs):
    """Skip where a program is not installed; in CI it must be."""
    missing = [name for name in programs if not (AGENTS if name == "rotel" else shutil.which(name))]
    return pytest.mark.skipif(
        bool(missing) and not os.environ.get("CI"),
        reason=f"{', '.join(missing)} not installed; scripts/env.sh observe installs them",
    )


def read(url, accept="*/*"):
    with urllib.request.urlopen(urllib.request.Request(url, headers={"accept": accept}), timeout=20) as answer:
        return answer.read().decode()


def wait_for(look, seconds=30):
    """What `look` gives as soon as it is true."""
    deadline, pause = time.monotonic() + seconds, threading.Event()
    while not (found := look()):
        assert time.monotonic() < deadline, "waited in vain"
        pause.wait(0.05)
    return found


@contextmanager
def prometheus(folder, targets, port):
    """A server that scrapes; gives a function that answers queries with `{labels: value}`."""
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [{"job_name": "jina", "static_configs": [{"targets": targets}]}],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
             f"--web.listen-address=127.0.0.1:{port}"],
            stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def query(text):
        try:
            answer = json.loads(read(f"http://127.0.0.1:{port}/api/v1/query?query={urllib.request.quote(text)}"))
        except OSError:
            assert process.poll() is None, (folder / "prometheus.log").read_text()
            return {}
        return {tuple(sorted(one["metric"].items())): float(one["value"][1]) for one in answer["data"]["result"]}

    try:
        yield query
    finally:
        process.terminate()
        process.wait(20)


SPAN = re.compile(r"Trace ID +: (\w+)\n +Parent ID +: (\w*)\n +ID +: (\w+)\n +Name +: (.*)\n +Kind +: (\w+)\n")
KEYS = ("trace", "parent", "id", "name", "kind")


class Collector:
    """A running collector, and what it was sent."""

    def __init__(self, port, log):
        self.port = port
        self._log = log

    @property
    def text(self):
        return self._log.read_text()

    @property
    def spans(self):
        """`{"trace", "parent", "id", "name", "kind", "rest"}` of each span, by its id."""
        found = {}
        for part in self.text.split("\nSpan #")[1:]:
            head, rest = SPAN.search(part), part.partition("\nResource")[0]
            found[head[3]] = {**dict(zip(KEYS, head.groups(), strict=True)), "rest": rest}
        return found

    def of(self, trace):
        """The spans of a trace."""
        return [span for span in self.spans.values() if span["trace"] == trace]

    def tree(self, trace):
        """The spans of a trace as nested `(name, [children])`; the caller's span, if any, is `None`."""
        spans = self.of(trace)
        ids = {span["id"] for span in spans}

        def below(parent):
            return sorted((span["name"], below(span["id"])) for span in spans if span["parent"] == parent)

        return [tree for parent in sorted({span["parent"] for span in spans} - ids) for tree in below(parent)]


@contextmanager
def collector(folder, port, http_port):
    log = folder / "collector.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [AGENTS[-1], "start", "--otlp-grpc-endpoint", f"127.0.0.1:{port}",
             "--otlp-http-endpoint", f"127.0.0.1:{http_port}", "--exporter", "blackhole",
             "--debug-log", "traces", "--debug-log", "metrics", "--debug-log-verbosity", "detailed",
             "--pid-file", folder / "collector.pid", "--log-file", folder / "agent.log"],
            stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        wait_for(lambda: "Starting Rotel" in log.read_text() or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield Collector(port, log)
    finally:
        process.terminate()
        process.wait(20)

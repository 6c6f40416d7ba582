"""A service that is attacked, in processes of its own, and all that is watched meanwhile."""

import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import psutil

from tests.attacks import executors
from tests.cli.running import JINA, Service

MIB = 1 << 20
PATIENCE = 40
KEY = "a-long-random-key-of-alice"
OPTIONS = {
    "protocol": ["grpc", "http", "websocket"], "host": "127.0.0.1", "timeout_read": 3, "timeout_write": 3,
    "max_message_size": 4_000_000, "max_documents": 2000, "max_unread": 1 << 20, "max_unread_total": 16 << 20,
}  # fmt: skip
KEYS = {"alice": KEY, "bob": {"key": "another-random-key-of-bob", "endpoints": ["/wishes"]}}


def configuration(kind):
    """The YAML of a service, as a mapping; JSON is YAML."""
    source = {"uses": "Taker", "py_modules": ["executors.py"]}
    if kind == "worker":
        return "deployment", {"jtype": "Deployment", "with": {**OPTIONS, **source, "name": "taker"}}
    if kind == "stateful":
        group = {"stateful": True, "replicas": 3, "workspace": "files", "name": "keeper"}
        return "deployment", {"jtype": "Deployment", "with": {**OPTIONS, **source, "uses": "Keeper", **group}}
    gateway = {**OPTIONS, **({"api_keys": KEYS} if kind == "keyed" else {})}
    limits = {"max_message_size": OPTIONS["max_message_size"]}
    return "flow", {"jtype": "Flow", "with": gateway, "executors": [{"name": "taker", **source, **limits}]}


class World:
    """A running service with a prober and a customer beside it."""

    def __init__(self, kind, folder):
        self.kind, self.folder = kind, Path(folder)
        command, mapping = configuration(kind)
        shutil.copy(executors.__file__, self.folder / "executors.py")
        (self.folder / "service.yml").write_text(json.dumps(mapping))
        self.service = Service([command, "--uses", "service.yml"], self.folder)
        self.helpers, self._peers = [], None
        self.ports = {name: self._port(name) for name in OPTIONS["protocol"]}
        self.processes = self._processes()
        self.record = self.folder / "asked.jsonl"
        self.record.touch()
        self._begin("customer", str(self.ports["http"]), str(self.record), *([KEY] if kind == "keyed" else []))
        self.lines_when(lambda lines: sum(line[1:2] == ["customer"] for line in lines) >= 20)
        idle = self._begin("idle").stdout.readline().decode().strip()
        self._begin("prober", str(self.ports["http"]), idle, str(self.record))
        self.lines_when(lambda lines: sum(line[1] == "idle" for line in lines) >= 20)
        self.began, self.base = time.monotonic(), self.memory()

    def _port(self, name):
        scheme = {"grpc": "grpc", "http": "http", "websocket": "ws"}[name]
        return int(self.service.address(scheme).rsplit(":", 1)[1].strip("/,"))

    def _begin(self, *words):
        root = Path(__file__).parents[2]
        environment = {**os.environ, "PYTHONPATH": str(root)}
        words = [sys.executable, "-m", "tests.attacks.beside", *words]
        self.helpers.append(subprocess.Popen(words, stdout=subprocess.PIPE, cwd=root, env=environment))
        return self.helpers[-1]

    def _processes(self):
        root = psutil.Process(self.service.process.pid)
        return [root, *sorted(root.children(recursive=True), key=lambda one: one.pid)]

    def lines_when(self, wanted):
        """The lines of prober and customer, once they are as wanted."""
        deadline = time.monotonic() + PATIENCE
        while not wanted(lines := self.lines()):
            assert time.monotonic() < deadline, f"prober and customer wrote {len(lines)} lines: {lines[-3:]}"
            assert all(one.poll() is None for one in self.helpers), "a program beside the service ended"
            time.sleep(0.05)
        return lines

    def lines(self):
        text = self.record.read_text()
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    def memory(self):
        """Bytes that the processes of the service have in memory together."""
        return sum(one.memory_info().rss for one in self.processes)

    def alive(self):
        assert self.service.process.poll() is None, self.service.output[-3000:]
        now = {one.pid for one in self._processes()}
        assert now == {one.pid for one in self.processes}, (
            f"other processes than at the start: {self.service.output[-3000:]}"
        )

    def asked_since(self, began):
        """What prober and customer were told since then, once each has been answered again."""
        end = time.monotonic()

        def after(lines):
            return {line[1] for line in lines if line[0] >= end} == {"service", "idle", "customer"}

        return [line for line in self.lines_when(after) if line[0] >= began]

    @property
    def group(self):
        return "keeper"

    def peers(self):
        """Address and generation of each agent, as `jina raft status` tells them."""
        if self._peers is None:
            words = [JINA, "raft", "status", self.group, "--workspace", "files", "--json"]
            output = subprocess.run(
                words, cwd=self.folder, capture_output=True, text=True, timeout=PATIENCE, check=False
            )
            assert output.returncode == 0, output.stdout + output.stderr
            self._peers = [
                (one["peers"][str(one["replica"])], one["generation"])
                for one in json.loads(output.stdout)[0]["replicas"]
            ]
        return self._peers

    def end(self):
        for one in self.helpers:
            one.kill()
            one.wait(PATIENCE)
            one.stdout.close()
        if self.service.process.poll() is None:
            self.service.end()


class Local:
    """No service, but this process, in which commands are run."""

    kind = "local"
    processes: list = []

    def __init__(self):
        self.service = SimpleNamespace(output="")
        self.began, self.base = 0.0, 0

    def memory(self):
        return psutil.Process().memory_info().rss

    def asked_since(self, began):
        return []

    def alive(self):
        pass

    def end(self):
        pass


class Watch:
    """Memory during an attack: at most, and when it has gone back."""

    def __init__(self, world):
        self.world, self.ended = world, threading.Event()
        self.base = self.most = world.memory()
        self.thread = threading.Thread(target=self._look, daemon=True)

    def _look(self):
        while not self.ended.wait(0.05):
            self.most = max(self.most, self.world.memory())

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join(PATIENCE)

    def after(self, kept):
        """Bytes once no more than `kept` above the base are held, or what is held when patience ends."""
        deadline = time.monotonic() + PATIENCE
        while (now := self.world.memory()) > self.base + kept and time.monotonic() < deadline:
            time.sleep(0.1)
        return now


def rng(seed, name):
    return random.Random(f"{seed} {name}")


def part(seconds, share):
    """The value below which that share of them is."""
    ranked = sorted(seconds)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))] if ranked else 0.0

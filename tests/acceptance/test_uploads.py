"""Large files through a gateway and an Executor: the memory of each process, and what is left behind."""

import json
import os
import shutil
import signal
import subprocess
import threading
import time

import pytest

from jina import Deployment, Executor, File, Flow, requests

WITHIN = 60
MOST = 64 * 1024 * 1024
"""Bytes of memory above those of an idle process."""
SIZES = [200 << 20, pytest.param(1 << 30, marks=pytest.mark.slow)]
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


class Sums(Executor):
    """Reads files."""

    @requests(on="/sum")
    def sum(self, file: File) -> dict:
        total = 0
        with file.open() as source:
            while piece := source.read(1 << 20):
                total += piece.count(b"x")
        return {"name": file.name, "size": file.size, "x": total}

    @requests(on="/same")
    def same(self, file: File) -> File:
        return file


def memory(pid):
    """Proportional set size in bytes."""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("Pss:"))
    except (FileNotFoundError, ProcessLookupError, StopIteration, PermissionError):
        return 0


def children(pid):
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/children") as file:
                found += [int(child) for child in file.read().split()]
        except FileNotFoundError:
            continue
    return found + [below for child in found for below in children(child)]


class Watch:
    """The most memory that each process below this one has while the block runs, above what it had before."""

    def __enter__(self):
        self.before = {pid: memory(pid) for pid in children(os.getpid())}
        self.most = dict(self.before)
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        return self

    def _run(self):
        while not self.ended.wait(0.05):
            for pid in self.before:
                self.most[pid] = max(self.most[pid], memory(pid))

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()

    @property
    def above(self):
        return max((self.most[pid] - self.before[pid] for pid in self.before), default=0)


def curl(*arguments, **options):
    done = subprocess.run(["curl", "-sS", *arguments], capture_output=True, timeout=300, check=False, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def waiting(folder):
    return [name for _, _, files in os.walk(folder / f"jina-uploads-{os.getuid()}") for name in files if name != "lock"]


def nothing_waits(folder):
    deadline = time.monotonic() + WITHIN
    while found := waiting(folder):
        assert time.monotonic() < deadline, found
        threading.Event().wait(0.02)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where the processes of the test have their uploads."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.slow
@needs_curl
@pytest.mark.parametrize("size", SIZES)
def test_a_large_upload_needs_little_memory_in_each_process(folder, size):
    path = folder / "large.bin"
    with open(path, "wb") as file:
        file.writelines(b"x" * (1 << 20) for _ in range(size >> 20))
    flow = Flow(protocol="http", host="127.0.0.1", quiet=True).add(name="sums", uses=Sums)
    with flow:
        address = f"http://127.0.0.1:{flow.port}"
        (folder / "small.bin").write_bytes(b"x" * 1000)
        curl("-F", f'file=@"{folder}/small.bin"', f"{address}/sum")
        with Watch() as watch:
            answer = json.loads(curl("-F", f'file=@"{path}"', f"{address}/sum"))
        assert answer == {"name": "large.bin", "size": size, "x": size}
        assert watch.above <= MOST, watch.above
        nothing_waits(folder)
        with Watch() as watch:
            code = curl(
                "-F", f'file=@"{path}"', "-o", str(folder / "back.bin"), "-w", "%{http_code}", f"{address}/same"
            )
        assert code == b"200"
        assert os.path.getsize(folder / "back.bin") == size
        assert watch.above <= MOST, watch.above
        nothing_waits(folder)


@pytest.mark.slow
@needs_curl
def test_what_a_killed_server_left_goes_at_the_next_start(folder):
    deployment = Deployment(uses=Sums, protocol="http", host="127.0.0.1", quiet=True, restart_limit=0)
    with deployment:
        address = f"http://127.0.0.1:{deployment.port}"
        sending = subprocess.Popen(
            ["curl", "-sS", "-T", "-", "-X", "POST", "-H", "Content-Type: image/png", f"{address}/sum"],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + WITHIN
        while not waiting(folder):
            assert time.monotonic() < deadline, "no upload began"
            sending.stdin.write(b"x" * 100_000)
            sending.stdin.flush()
        owners = [pid for pid in children(os.getpid()) if holds(pid, folder)]
        for pid in owners:
            os.kill(pid, signal.SIGKILL)
        sending.kill()
        sending.communicate()
    assert owners
    assert waiting(folder)
    with Deployment(uses=Sums, protocol="http", host="127.0.0.1", quiet=True):
        nothing_waits(folder)


def holds(pid, folder):
    """Whether a process has the lock of a folder of uploads open."""
    try:
        found = [os.readlink(f"/proc/{pid}/fd/{one}") for one in os.listdir(f"/proc/{pid}/fd")]
    except (FileNotFoundError, PermissionError):
        return False
    return any(one.startswith(str(folder)) and one.endswith("/lock") for one in found)

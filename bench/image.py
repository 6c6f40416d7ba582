"""An image of the MiniLM encoder: its size beside what peers install, its start beside that of the bare worker."""

from __future__ import annotations

import http.client
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import ModuleType

from scripts.base_image import base_layout

from bench.environments import ROOT
from bench.procs import CACHE, free_port
from bench.report import Check, Section
from bench.stats import interval, ratio
from jina.hub.engine import Engine

IMAGE = "jina-bench-encoder"
BODY = json.dumps({"data": [{"text": "a place where people borrow books"}]}).encode()
ANSWER = 120.0
PEERS = {"rejina": ["{wheels}"], "bentoml": ["bentoml"], "cog": ["cog"]}
"""What is installed beside numpy and onnxruntime to serve the model."""
MOST_MB = 350


def image(rounds: int) -> Section:
    """Start to the first answer over HTTP, in turns: a container and the worker alone; sizes."""
    engine = Engine.find()
    example = _example()
    folder = example.write_package(CACHE / "image/encoder")
    base = base_layout(CACHE / "image/base")
    archive = CACHE / "image/encoder.tar"
    example.build(folder, base, f"docker-archive:{archive}:{IMAGE}:latest", limit=900)
    size, base_size = example.unpacked(archive) / 1e6, _layout_mb(Path(base.removeprefix("oci:")))
    subprocess.run([engine.program, "load", "-q", "-i", archive], check=True, stdout=subprocess.DEVNULL, timeout=300)
    arms: dict[str, Callable[[], float]] = {
        "worker": lambda: _start(_worker(folder)),
        "container": lambda: _start(_container(engine)),
        "container of the engine alone": lambda: _engine_alone(engine),
    }
    found: dict[str, list[float]] = {name: [] for name in arms}
    try:
        for turn in range(rounds + 1):
            for name, arm in arms.items():
                seconds = arm()
                if turn:  # the first turn warms the file cache
                    found[name].append(seconds)
    finally:
        subprocess.run([engine.program, "rmi", "-f", f"{IMAGE}:latest"], stdout=subprocess.DEVNULL, check=False)
    medians = {name: statistics.median(series) for name, series in found.items()}
    rows = [[name, "-", seconds] for name, seconds in medians.items()]
    rows += [["image, unpacked", size, "-"], ["its base", base_size, "-"]]
    rows += [[f"numpy, onnxruntime and {peer}", _installed_mb(peer), "-"] for peer in PEERS]
    checks = [
        Check("container / worker, wall to the first answer", ratio(found["container"], found["worker"]), 1.5),
        Check("image unpacked, with its base (MB)", interval([size]), MOST_MB),
    ]
    version = subprocess.run([engine.program, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    note = (
        f"{rounds} starts each, in turns; {version}. The base is made of this machine's Python; installed sizes are "
        "those of `uv pip install --target`, without bytecode."
    )
    return Section("The MiniLM encoder in a container", ["what", "MB", "wall (s)"], rows, checks, note, "s", medians, {
        "found": found
    })  # fmt: skip


def _example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("encoder_image", ROOT / "examples/semantic_search/image.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _layout_mb(folder: Path) -> float:
    return sum(file.stat().st_size for file in (folder / "blobs/sha256").iterdir()) / 1e6


def _installed_mb(peer: str) -> float:
    """What pip adds to an image of the model, in MB."""
    with tempfile.TemporaryDirectory() as folder:
        wheels = Path(folder) / "wheels"
        from jina.hub.dockerfiles import own_wheels

        words = ["numpy", "onnxruntime", *PEERS[peer]]
        if "{wheels}" in words:
            words[-1] = str(next(file for file in own_wheels(wheels) if file.name.startswith("rejina-4")))
        command = [Path(sys.executable).with_name("uv"), "pip", "install", "-q", "--target", f"{folder}/packages"]
        subprocess.run([*command, "--python", sys.executable, *words], check=True, timeout=600)
        return sum(file.stat().st_size for file in Path(folder, "packages").rglob("*") if file.is_file()) / 1e6


@contextmanager
def _worker(folder: Path) -> Iterator[int]:
    port = free_port()
    command = [Path(sys.executable).with_name("jina"), "executor", "--uses", "config.yml"]
    with subprocess.Popen(
        [*command, "--protocol", "http", "--port", str(port)],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            yield port
        finally:
            process.terminate()


@contextmanager
def _container(engine: Engine) -> Iterator[int]:
    port = free_port()
    name = f"{IMAGE}-{port}"
    command = [engine.program, "run", "--rm", "--name", name, "--network", "host", f"{IMAGE}:latest"]
    with subprocess.Popen(
        [*command, "--protocol", "http", "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        try:
            yield port
        except RuntimeError as error:
            if process.poll() is not None and process.stderr is not None:
                raise RuntimeError(f"{engine.program} run: {process.stderr.read().decode().strip()}") from error
            raise
        finally:
            subprocess.run([engine.program, "stop", name], stdout=subprocess.DEVNULL, timeout=60, check=False)


def _start(started: contextmanager) -> float:
    """Seconds from the start of the process to the first right answer."""
    began = time.perf_counter()
    with started as port:
        while not _answers(port):
            if time.perf_counter() - began > ANSWER:
                raise RuntimeError(f"no answer within {ANSWER:g} s")
            time.sleep(0.005)
        return time.perf_counter() - began


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with closing(connection), suppress(OSError, http.client.HTTPException):
        connection.request("POST", "/encode", BODY, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status == 200 and len(json.load(answer)["data"][0]["embedding"]) == 384
    return False


def _engine_alone(engine: Engine) -> float:
    """A container that ends at once: what of the start is the engine's."""
    began = time.perf_counter()
    command = [engine.program, "run", "--rm", "--network", "host", "--entrypoint", "true", f"{IMAGE}:latest"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=ANSWER)
    return time.perf_counter() - began

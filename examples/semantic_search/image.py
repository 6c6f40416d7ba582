"""The encoder as an image: a package with its weights, built without an engine, and run where there is one.

The base is an image of this machine's own Python, so that no registry is asked; `--base` takes another one.
Requirements are pinned to the versions that this repository tests.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT)]

from encoder import FILES, weights  # noqa: E402
from scripts.base_image import VERSION, Unsuitable, base_layout  # noqa: E402

from jina.errors import ConfigError  # noqa: E402
from jina.hub.engine import Engine  # noqa: E402

PLACE = ROOT / ".cache" / "demo-image"
JINA, UV = (str(Path(sys.executable).with_name(name)) for name in ("jina", "uv"))
NAME = "jina-demo-encoder"
CONFIG = """\
jtype: Encoder
py_modules:
  - encoder.py
metas:
  name: Encoder
  description: Text to sentence embeddings by all-MiniLM-L6-v2
"""
ASKED = """
import time
from docarray import DocList
from documents import Passage
from jina import Client

found = Client(port=8080).post('/encode', DocList[Passage]([Passage(text='hello')]), return_type=DocList[Passage])
print(len(found[0].embedding))
"""


def write_package(folder: Path) -> Path:
    """The package of the encoder: its modules, its requirements, and the model's files."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "weights").mkdir(parents=True)
    for name in ("encoder.py", "documents.py", "wordpiece.py"):
        shutil.copy(HERE / name, folder / name)
    for name in FILES:
        shutil.copy(weights(name), folder / "weights" / name)
    (folder / "config.yml").write_text(CONFIG)
    (folder / "requirements.txt").write_text(pinned("numpy\nonnxruntime\n"))
    return folder


def pinned(requirements: str) -> str:
    """These and what jina requires, in the versions of the lock files."""
    command = [UV, "pip", "compile", "-q", "--no-header", "--no-annotate", "--python-version", VERSION]
    command += ["pyproject.toml", "-", "-c", "requirements/dev.lock", "-c", "requirements/demo.lock"]
    done = subprocess.run(
        command, cwd=ROOT, input=requirements, capture_output=True, text=True, timeout=100, check=True
    )
    return done.stdout


def build(folder: Path, base: str, output: str, *words: str, limit: float = 120) -> float:
    """Build the image without an engine, with what uv has in its cache if that is enough; gives the seconds it took.

    Raises `Unsuitable` where it takes longer than the limit.
    """
    began = time.perf_counter()
    command = [JINA, "hub", "build", str(folder), "--daemonless", "--base", base, "--output", output, *words]
    for offline in ("1", "0"):
        left = limit - (time.perf_counter() - began)
        with subprocess.Popen(
            command,
            env={**os.environ, "UV_OFFLINE": offline},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                _, said = process.communicate(timeout=max(left, 1))
            except subprocess.TimeoutExpired:
                process.terminate()  # it removes what is half built
                process.communicate(timeout=60)
                raise Unsuitable(f"it was not built within {limit:g} s") from None
        if process.returncode == 0:
            return time.perf_counter() - began
    raise RuntimeError(f"jina hub build: {said}")


def unpacked(archive: Path) -> int:
    """The bytes of all files in the layers of a docker archive."""
    import json
    import tarfile

    with tarfile.open(archive) as saved:
        (listed,) = json.load(saved.extractfile("manifest.json"))  # type: ignore[arg-type]
        total = 0
        for layer in listed["Layers"]:
            with tarfile.open(fileobj=saved.extractfile(layer)) as files:
                total += sum(member.size for member in files)
    return total


def run(engine: Engine, archive: Path) -> str:
    """Load the image, ask a container of it from within, and stop it; gives what happened in one line.

    Raises `Unsuitable` where the engine starts no container, for want of rights, say.
    """
    began = time.perf_counter()

    def call(*words: str, check: bool = True) -> str:
        done = subprocess.run([engine.program, *words], capture_output=True, text=True, timeout=120, check=False)
        if check and done.returncode:
            raise RuntimeError(f"{engine.name} {words[0]}: {done.stderr.strip()[-500:]}")
        return done.stdout.strip()

    image = call("load", "-i", str(archive)).split()[-1]  # podman puts localhost/ before the name
    call("rm", "-f", NAME, check=False)
    try:
        call("run", "-d", "--network", "none", "--read-only", "--tmpfs", "/tmp", "--name", NAME, image)
    except RuntimeError as error:
        call("rm", "-f", NAME, check=False)
        call("rmi", image, check=False)
        raise Unsuitable(" ".join(str(error).split())) from None
    try:
        call("exec", NAME, "jina", "ping", "executor", "grpc://127.0.0.1:8080", "--attempts", "60")
        size = call("exec", NAME, "python3", "-c", ASKED)
        call("stop", NAME)
        code = call("inspect", "--format", "{{.State.ExitCode}}", NAME)
    finally:
        call("rm", "-f", NAME, check=False)
        call("rmi", image, check=False)
    seconds = time.perf_counter() - began
    return f"{engine.name}: {size} numbers for 'hello' from a container, exit code {code}, {seconds:.1f} s"


def main() -> int:
    """Build it, and run it if there is an engine; 0 also where something is missing for that, which is said."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", help="the base image [default: this machine's Python, made into one]")
    options = parser.parse_args()
    try:
        base = options.base or base_layout(PLACE / "base")
    except Unsuitable as error:
        print(f"no image of the encoder: {error}")
        return 0
    folder = write_package(PLACE / "encoder")
    archive = PLACE / "encoder.tar"
    try:
        seconds = build(folder, base, f"docker-archive:{archive}:{NAME}")
    except Unsuitable as error:
        print(f"no image of the encoder: {error}")
        return 0
    print(
        f"image of the encoder without an engine: {unpacked(archive) / 1e6:.0f} MB unpacked, built in {seconds:.1f} s"
    )
    try:
        engine = Engine.find()
    except ConfigError as error:
        print(f"it is not run: {error.message}")
        return 0
    try:
        print(run(engine, archive))
    except Unsuitable as error:
        print(f"it is not run: {error}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

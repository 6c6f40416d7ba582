"""A container engine of the tests' own, and a base image for it, made from what is on this machine.

No registry is needed: the image holds this machine's Python and a few programs, under the name that a Dockerfile says.
The engine changes nothing in the network of the host: containers use it as it is (`--network host`).
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripts.base_image import base_root, python_for

DOCKER = Path("/usr/bin/docker")  # a newer client elsewhere on PATH may lack BuildKit
NETWORK = ("--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false", "--bridge=none")
BRIDGED = ("-H", "tcp://127.0.0.1:2375", "--bip=198.18.0.1/24", "--default-address-pool=base=198.18.16.0/20,size=24")
READY_WITHIN = 60.0
GROUPS = Path("/sys/fs/cgroup")
SHARES = 200_000

__all__ = ["DOCKER", "Engine", "base_image", "base_root", "engine", "python_for"]


class Engine:
    """A running dockerd; `docker` calls its client."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = {**os.environ, "DOCKER_HOST": f"unix://{home}/docker.sock", "HOME": str(home)}
        self.inside: list[str] = []

    def docker(self, *words: object, cwd: Path | None = None, buildkit: bool = False, limit: float = 500) -> str:
        """What the client printed; fails with the end of it."""
        command = [str(DOCKER), *map(str, words)]
        environment = {**self.environment, "DOCKER_BUILDKIT": "1" if buildkit else "0"}
        done = subprocess.run(
            command,
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
        return done.stdout

    def first_event(self, name: str, *kinds: str, limit: float) -> str:
        """The first event of these kinds of a container, now or before; empty where none comes in time."""
        filters = [f"--filter=event={kind}" for kind in kinds]
        command = [str(DOCKER), "events", "--since", "1", "--format", "{{.Action}}", f"--filter=container={name}"]
        with subprocess.Popen([*command, *filters], env=self.environment, stdout=subprocess.PIPE) as events:
            assert events.stdout is not None
            output = select.select([events.stdout], [], [], limit)[0]
            line = events.stdout.readline() if output else b""
            events.kill()
        return line.decode().strip()

    def said(self, name: str) -> str:
        """What a container has written so far."""
        command = [str(DOCKER), "logs", name]
        done = subprocess.run(
            command,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=50,
            check=False,
        )
        return done.stdout


@contextlib.contextmanager
def engine(*, elsewhere: bool = False) -> Iterator[Engine]:
    """Start an engine; skips the test where there can be none.

    One that is `elsewhere` has a network namespace of its own with a bridge, and is reached there alone, over TCP at
    127.0.0.1: `Engine.inside` begins commands that are to run there.
    """
    program = [_program()]
    if elsewhere:
        program = ["unshare", "--net", "--", *program]
    home = Path(tempfile.mkdtemp(prefix="jina-engine-", dir="/tmp"))  # sockets need a short path
    roots = ("--data-root", home / "data", "--exec-root", home / "exec", "--pidfile", home / "docker.pid")
    _group(home.name)
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    channel.bind(f"{home}/notify.sock")
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                *program,
                *roots,
                "-H",
                f"unix://{home}/docker.sock",
                "--cgroup-parent",
                f"/{home.name}",
                *(BRIDGED if elsewhere else NETWORK),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "NOTIFY_SOCKET": f"{home}/notify.sock"},
        )
    try:
        _wait(home, process, channel)
        made = Engine(home)
        if elsewhere:
            made.inside = ["nsenter", f"--net=/proc/{process.pid}/ns/net", "--"]
            subprocess.run([*made.inside, "ip", "link", "set", "lo", "up"], check=True, timeout=30)
        yield made
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        channel.close()
        _unmount(home)
        shutil.rmtree(home)
        for group in sorted(GROUPS.glob(f"*/{home.name}/**/"), reverse=True):
            with contextlib.suppress(OSError):  # a container that has just ended is in it still
                group.rmdir()


def _group(name: str) -> None:
    """Containers in a group of their own: all of them together would get as much of the CPU as one process outside."""
    if (GROUPS / "cpu/cpu.shares").exists():
        (GROUPS / "cpu" / name).mkdir()
        (GROUPS / "cpu" / name / "cpu.shares").write_text(str(SHARES))


def _unmount(home: Path) -> None:
    """dockerd leaves the network of the host mounted."""
    places = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for place in reversed([place for place in places if place.startswith(f"{home}/")]):
        subprocess.run(["umount", place], check=True, timeout=30)


def _program() -> str:
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("a container engine needs Linux and root")
    if not (shutil.which("dockerd") and DOCKER.exists()):
        if not shutil.which("apt-get"):
            pytest.skip("no dockerd here, and no apt-get to install docker.io")
        install = (
            "apt-get update -q; DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends docker.io"
        )
        done = subprocess.run(
            ["sh", "-c", install], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=170, check=False
        )
        if not (shutil.which("dockerd") and DOCKER.exists()):
            pytest.skip(f"docker.io cannot be installed: {done.stderr[-300:]}")
    return shutil.which("dockerd") or ""


def _wait(home: Path, process: subprocess.Popen[bytes], channel: socket.socket) -> None:
    """Until dockerd tells that it serves, as it tells systemd (https://man7.org/linux/man-pages/man3/sd_notify.3.html)."""
    ended = os.pidfd_open(process.pid)
    try:
        received = select.select([channel, ended], [], [], READY_WITHIN)[0]
    finally:
        os.close(ended)
    log = (home / "log").read_text(errors="replace")
    if ended in received:
        pytest.skip(f"dockerd does not run here: {log[-500:]}")
    assert received, f"dockerd does not serve after {READY_WITHIN:g} s: {log[-2000:]}"
    assert b"READY=1" in channel.recv(4096)


def base_image(made: Engine, tag: str, prefix: Path, version: str) -> None:
    """An image with a Python in /usr/local, as the official ones have it, whose pip asks no index."""
    with tempfile.TemporaryDirectory(prefix="jina-image-", dir="/tmp") as folder:
        base_root(Path(folder) / "root", prefix, version)
        _import(made, tag, Path(folder))


def _import(made: Engine, tag: str, folder: Path) -> None:
    with subprocess.Popen(["tar", "-C", folder / "root", "-c", "."], stdout=subprocess.PIPE) as tar:
        subprocess.run(
            [DOCKER, "import", "-", f"{tag}-raw"],
            stdin=tar.stdout,
            env=made.environment,
            check=True,
            capture_output=True,
            timeout=100,
        )
    (folder / "context").mkdir()
    (folder / "context/Dockerfile").write_text(
        f"FROM {tag}-raw\n"
        "ENV PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8 PIP_NO_INDEX=1\n"
        "RUN ldconfig && python3 -m ensurepip && ln -s pip3 /usr/local/bin/pip\n"
        'CMD ["python3"]\n'
    )
    made.docker("build", "--network", "host", "-t", tag, folder / "context")

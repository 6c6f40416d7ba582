"""Container engines: found by themselves, called by their command line, never through a shell."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import struct
import subprocess
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from jina.errors import ConfigError, RemoteError

ENGINES: Final = ("docker", "podman", "nerdctl")
"""In the order in which they are tried."""
_ANSWER: Final = 30.0
_REMOTE: Final = frozenset({"tcp", "ssh", "http", "https"})
_BUILD: Final = 7200.0
_ADDRESS: Final = "{{.Endpoints.docker.Host}}"
"""What prints where the engine of Docker's current context is."""
_CREDENTIALS: Final = struct.Struct("3i")
_OWN_FILES: Final = re.compile(r"containers/([0-9a-f]{64})/(?:userdata/)?(hostname|hosts|resolv\.conf) /etc/\2 ")
"""In /proc/self/mountinfo: files of /etc that an engine gives its container, from a folder of that one's name."""
_MARKS: Final = ("/.dockerenv", "/run/.containerenv")


class EngineFailed(RemoteError):
    """A container engine did not do what it was asked to; it has said why."""


@dataclass(frozen=True)
class Engine:
    """A command line that speaks Docker's words, and whose engine answers."""

    name: str
    program: str
    cache_mounts: bool
    """Whether its builder knows `RUN --mount=type=cache`."""
    environment: Mapping[str, str]
    """What is set for its builder."""

    @classmethod
    def find(
        cls, wanted: str | None = None, *, instead: str = "build without any: --daemonless --output oci:DIR"
    ) -> Engine:
        """The engine of that name or path, or the first that answers.

        Raises `ConfigError` that says what was tried, and what to do `instead` of starting one.
        """
        tried = []
        for name in (wanted,) if wanted else ENGINES:
            program = shutil.which(name)
            if program is None:
                tried.append(f"{name}: not on PATH")
                continue
            asked = _run([program, "version"])
            if asked.returncode == 0:
                return cls(Path(program).name, program, *_builder(Path(program).name, program))
            words = (asked.stderr or asked.stdout).strip().splitlines() or [f"exit code {asked.returncode}"]
            tried.append(f"{program}: {words[-1]}")
        raise ConfigError(
            f"no container engine answers: {'; '.join(tried)}",
            help=f"start one, or {instead}",
        )

    def build(
        self,
        context: Path,
        *,
        tags: Sequence[str] = (),
        platform: str | None = None,
        arguments: Mapping[str, str] | None = None,
        network: str | None = None,
    ) -> None:
        """Build the Dockerfile of a folder; what the engine says goes to standard error. Raises `EngineFailed`."""
        words = [self.program, "build"]
        words += [word for tag in tags for word in ("--tag", tag)]
        words += ["--platform", platform] if platform else []
        words += ["--network", network] if network else []
        words += [word for name, value in (arguments or {}).items() for word in ("--build-arg", f"{name}={value}")]
        try:
            done = subprocess.run(  # noqa: S603 - a list of words, no shell
                [*words, str(context)],
                stdin=subprocess.DEVNULL,
                stdout=2,  # what was made is printed by the caller
                env={**os.environ, **self.environment},
                timeout=_BUILD,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise EngineFailed(f"{self.name} build did not end within {_BUILD:g} s") from None
        if done.returncode:
            raise EngineFailed(f"{self.name} build failed with exit code {done.returncode}; its last lines say why")

    def inspect(self, image: str) -> dict[str, Any] | None:
        """What the engine knows of an image that it has; None for one that it has not."""
        done = _run([self.program, "image", "inspect", image])
        try:
            found = json.loads(done.stdout)[0] if done.returncode == 0 else None
        except (ValueError, LookupError):
            found = None
        return found if isinstance(found, dict) else None

    @property
    def host(self) -> str:
        """The machine that the engine is on, where its address names another than this one; empty for this one."""
        address = os.environ.get("CONTAINER_HOST" if self.name == "podman" else "DOCKER_HOST", "")
        if not address and self.name == "docker":
            address = self.ask("context", "inspect", "--format", _ADDRESS)
        parts = urllib.parse.urlsplit(address)
        return (parts.hostname or "") if parts.scheme in _REMOTE else ""

    def own_container(self) -> OwnContainer | None:
        """The container that this program runs in; None outside of any, and in one that this engine does not run."""
        for name in _own_ids():
            done = _run([self.program, "container", "inspect", name])
            try:
                found = json.loads(done.stdout)[0] if done.returncode == 0 else {}
                mounts = ((one["Destination"], one["Source"]) for one in found["Mounts"])
                return OwnContainer(found["Id"], found["HostConfig"]["NetworkMode"], tuple(mounts))
            except (ValueError, LookupError, TypeError):
                continue
        return None

    @property
    def is_around(self) -> bool:
        """Whether this program runs in a container, and the engine outside it."""
        if not _in_container() or self.name == "podman":  # podman has no daemon, and starts containers where it runs
            return False
        address = os.environ.get("DOCKER_HOST") or self.ask("context", "inspect", "--format", _ADDRESS)
        with socket.socket(socket.AF_UNIX) as sock:
            try:
                sock.connect(urllib.parse.urlsplit(address).path)
                process, _, _ = _CREDENTIALS.unpack(
                    sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
                )
            except OSError:
                return False  # what cannot be asked is said by the command that needs it
        return bool(process == 0)  # one that is not seen from here

    def ask(self, *words: str) -> str:
        """What a command prints, without outer blanks; empty where it fails."""
        done = _run([self.program, *words])
        return done.stdout.strip() if done.returncode == 0 else ""

    def pinned(self, image: str) -> str:
        """The image with the digest by which the engine got it; as it is where the engine does not know one."""
        known = (self.inspect(image) or {}).get("RepoDigests") or []
        digest = next((one.rpartition("@")[2] for one in known if isinstance(one, str)), "")
        return f"{image}@{digest}" if digest and "@" not in image else image


@dataclass(frozen=True, slots=True)
class OwnContainer:
    """The container that this program runs in, as its engine knows it."""

    name: str
    network: str
    """Its network mode: `host`, `bridge`, the name of a network, or `container:NAME`."""
    mounts: Sequence[tuple[str, str]]
    """Folders in it, and where the engine has them."""

    def outside(self, path: str) -> str:
        """Where the engine has a path of this program; empty for one that is in the container alone."""
        for inside, place in sorted(self.mounts, reverse=True):
            if path == inside or path.startswith(f"{inside.rstrip('/')}/"):
                return os.path.normpath(f"{place}/{os.path.relpath(path, inside)}")
        return ""


def _in_container() -> bool:
    return any(map(os.path.exists, _MARKS))


def _own_ids() -> list[str]:
    """By what names an engine may know the container that this program runs in."""
    try:
        text = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    found = [match[1] for match in _OWN_FILES.finditer(text)]
    own = socket.gethostname()
    # By itself it is the beginning of the id; one that somebody chose may be the name of another container.
    found += [own] if _in_container() and re.fullmatch(r"[0-9a-f]{12}", own) else []
    return list(dict.fromkeys(found))


def _builder(name: str, program: str) -> tuple[bool, dict[str, str]]:
    """Whether the engine's builder has cache mounts, and what makes it the one that has."""
    if name != "docker":
        return True, {}
    if _run([program, "buildx", "version"]).returncode == 0:
        return True, {"DOCKER_BUILDKIT": "1"}
    # Up to version 22 the client had BuildKit built in; later ones only have it as the plug-in buildx.
    version = re.match(r"Docker version (\d+)", _run([program, "--version"]).stdout)
    inside = version is not None and int(version[1]) < 23
    return inside, {"DOCKER_BUILDKIT": "1" if inside else "0"}


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603 - a list of words, no shell
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_ANSWER, check=False
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"no answer within {_ANSWER:g} s")
    except OSError as error:
        return subprocess.CompletedProcess(command, 126, "", str(error))

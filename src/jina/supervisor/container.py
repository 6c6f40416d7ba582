"""A worker whose Executor runs in a container: the process that starts the container, passes requests on, removes it.

It is a child of the supervisor as any worker is, with the same reports, signals and link, so that restarts, changes and
the end of a service are the same. The engine's client is attached to the container: the lines that the container writes
are passed on, its standard input gives an Executor of ours its plan, and ends with this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import logging
import os
import random
import re
import secrets
import signal
import socket
import sys
import threading
import time
from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from jina.client.grpc import GrpcUpstream
from jina.codec.messages import Reply, Request, Route
from jina.codec.payloads import size_of
from jina.config.paths import user_cache
from jina.errors import ConfigError, RuntimeFailToStart
from jina.hub.containers import arguments_of, gpu_words
from jina.hub.engine import Engine, OwnContainer
from jina.net.service import EndpointInfo, UpstreamUnavailable
from jina.observe import logs
from jina.observe.exporters import Exporters
from jina.observe.metrics import OBSERVATION, OBSERVE_KEY, Metrics
from jina.plan.plans import (
    AccessPlan,
    ConsensusPlan,
    ContainerPlan,
    ExecutorPlan,
    ListenerPlan,
    NodePlan,
    UpstreamPlan,
    WorkerPlan,
    to_json,
)
from jina.runtime.admission import Admission, Observed
from jina.runtime.process import Parent, ProcessMain, run_process_main
from jina.worker.process import WorkerLinks

PLAN_VARIABLE: Final = "JINA_PLAN"
"""Tells `jina executor` in the container where its plan comes from; its only value is `stdin`."""
INSIDE: Final = "host.docker.internal"
"""The name of the host in a container."""
PORT: Final = 8080
"""Where the Executor listens in a container that has a network of its own."""
METRICS_PORT: Final = 9090
"""Where it tells its metrics there; an image of Jina 3 does not."""
AUTO_VOLUME: Final = ".cache/jina"
"""The workspace of containers without other volumes, below jina's folder of the user's cache, where Jina 3 has it; what
else is kept there is not mounted."""
AUTO_WORKSPACE: Final = "/app/.cache/jina"
"""Its path in the container."""
_HERE: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 0.5
_KEPT: Final = 30
"""Lines of a container that are remembered, to say why it did not start."""
_CLOSE: Final = 8.0
"""Seconds beyond the grace time in which `close()` in the container may end."""
_LOST: Final = 3.0
"""Seconds within which the end of a container is known after its connection broke."""
_SCRAPE: Final = 2.0
"""Seconds in which a container gives its metrics."""
_STALE: Final = 10.0
"""Seconds for which the last that a container told is taken for how it is."""
_METRICS_BYTES: Final = 16 << 20
_LOWEST, _HIGHEST = 20_000, 32_000
_TRIES: Final = 100
_KILLED: Final = 128 + signal.SIGKILL
_USELESS: Final = re.compile(r"(Run|See) '.*--help'")
"""What an engine's client adds behind the line that says why."""
_OWN_VARIABLES: Final = re.compile(r"(DOCKER|CONTAINER|LD|SSH|XDG)_.*|PATH|HOME|.*_PROXY|.*_proxy")
"""Variables that the engine's client reads itself."""


def run_container(plan: WorkerPlan, parent: Parent, guard: Guard) -> int:
    """Run a worker's container until the parent, SIGTERM or its own end; gives the exit code. Main thread only."""
    try:
        return run_process_main(plan, parent, partial(ContainerProcess, plan, parent, guard))
    finally:
        guard.release()


# --- what ends a container without this process -------------------------------------------------------------------


class Guard:
    """A process that removes the container when this one has ended without doing so, however it ended.

    To be made with a single thread: it is a fork, in a session of its own, which SIGKILL for the process group of this
    one does not reach. It waits for the end of a pipe.
    """

    def __init__(self) -> None:
        ends = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _stand_by(ends[0])
        os.close(ends[0])
        self._pipe = ends[1]

    def expect(self, engine: str, name: str, *, starting: bool) -> None:
        """From now on there is such a container; one that is `starting` may appear only after this process ended."""
        self._send({"engine": engine, "name": name, "starting": starting})

    def release(self) -> None:
        """There is none any more, or the guard has to remove it now; returns when it is gone."""
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.pid, 0)

    def removed(self) -> None:
        """There is no container now."""
        self._send({})

    def _send(self, message: Mapping[str, Any]) -> None:
        with contextlib.suppress(OSError):  # the guard was killed
            os.write(self._pipe, json.dumps(message).encode() + b"\n")


def _stand_by(pipe: int) -> None:
    """The life of the guard's process."""
    code = 1
    try:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for standard in range(3):
            os.dup2(nothing, standard)
        for descriptor in map(int, os.listdir("/dev/fd")):
            if descriptor > 2 and descriptor != pipe:
                with contextlib.suppress(OSError):
                    os.close(descriptor)
        lines = b""
        while chunk := os.read(pipe, 1 << 16):
            lines += chunk  # a few short lines
        if last := json.loads(lines.splitlines()[-1] if lines else b"{}"):
            _remove(last["engine"], last["name"], starting=last["starting"])
        code = 0
    finally:
        os._exit(code)


def _remove(engine: str, name: str, *, starting: bool) -> None:
    import subprocess

    def run(*words: str) -> int:
        with contextlib.suppress(subprocess.TimeoutExpired, OSError):
            return subprocess.run(  # noqa: S603 - a list of words, no shell
                [engine, *words], capture_output=True, timeout=30, check=False
            ).returncode
        return 1

    run("stop", "--time", "1", name)
    run("rm", "--force", "--volumes", name)
    for _ in range(4 if starting else 1):
        time.sleep(0.5)
        if run("container", "inspect", name) == 0:
            run("rm", "--force", "--volumes", name)


# --- the container ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Network:
    """How a container is connected, and where it is reached."""

    words: tuple[str, ...]
    host: str
    """Where it is reached."""
    listens: str
    """The address that it listens on."""
    published: bool
    """Whether its port gets another number outside."""

    @classmethod
    def of(cls, plan: ContainerPlan, engine: Engine, remote: str = "", own: OwnContainer | None = None) -> Network:
        """That which the options ask for; by themselves, that of the host, or of the container that we are in.

        `remote` is the host that the engine is on, where that is another one. Raises `ConfigError` for one that cannot
        be reached from our own container.
        """
        given = next((word.partition("=")[2] for word in plan.flags if word.startswith("--network=")), "")
        mode = given or _MODES[plan.network] or _network_here(engine, remote, own)
        words = () if given or mode == "default" else (f"--network={mode}",)
        if mode.startswith("container:") or (mode == "host" and (own is None or own.network == "host")):
            return cls(words, remote or "127.0.0.1", "0.0.0.0" if remote else "127.0.0.1", published=False)  # noqa: S104
        if own is not None and own.network != "host":
            raise ConfigError(
                f"the network {mode!r} of an image is not reached from here: this program runs in the container"
                f" {own.name[:12]}, which has the network {own.network!r} of its own",
                help="leave out force_network_mode and the network of docker_kwargs: the image then shares the network"
                " of this program's container",
            )
        return cls(words, remote or "127.0.0.1", "0.0.0.0", published=True)  # noqa: S104

    def port_words(self, port: int) -> list[str]:
        """Publish the port on this machine alone, unless the engine is on another one."""
        if not self.published:
            return []
        return [f"--publish={'127.0.0.1::' if self.host in _HERE else ''}{port}"]

    def host_words(self) -> list[str]:
        """The name by which the container reaches the host, as Jina 3 gives it."""
        if "--network=host" in self.words:
            return [f"--add-host={INSIDE}:127.0.0.1"]
        return [f"--add-host={INSIDE}:host-gateway"] if self.published else []


_MODES: Final = {"AUTO": "", "HOST": "host", "BRIDGE": "bridge", "NONE": "default"}


def _network_here(engine: Engine, remote: str, own: OwnContainer | None) -> str:
    if remote or sys.platform != "linux":
        return "bridge"
    if own is None and engine.is_around:
        raise ConfigError(
            f"this program runs in a container that {engine.name} does not know: where one that it starts could be"
            " reached is not known",
            help="mount the socket of the engine that runs this program's container; or say the network that both"
            " have: docker_kwargs={'network': 'container:NAME'}",
        )
    if own is None or own.network == "host":
        return "host"
    return own.network if own.network.startswith("container:") else f"container:{own.name}"


def free_port() -> int:
    """A port that no one has now, below those that the system gives connections where there is room."""
    from jina.supervisor.ports import PortReservations

    if os.environ.get("JINA_RANDOM_PORT_MIN") is None and os.environ.get("JINA_RANDOM_PORT_MAX") is None:
        for _ in range(_TRIES):
            with socket.socket() as sock, contextlib.suppress(OSError):
                sock.bind(("", random.randrange(_LOWEST, _HIGHEST)))  # noqa: S311 - spreads ports, guards nothing
                return int(sock.getsockname()[1])
    ports = PortReservations()
    try:
        return ports.port()
    finally:
        ports.close()


class Lines(threading.Thread):
    """Passes on what a container writes, as it comes, to a file too where there is one, and remembers the last lines.

    Where the log is JSON, lines that are none become messages of it.
    """

    def __init__(self, source: int, target: int, log: Any, file: logging.Handler | None, *, as_json: bool) -> None:
        super().__init__(name="container-log", daemon=True)
        self.last: deque[str] = deque(maxlen=_KEPT)
        self._source, self._target, self._log, self._file, self._as_json = source, target, log, file, as_json

    def run(self) -> None:
        """Until the end of what it reads."""
        with os.fdopen(self._source, "rb") as source:
            for line in iter(partial(source.readline, 1 << 16), b""):
                text = line.decode(errors="replace").strip()
                if text and not _USELESS.match(text):
                    self.last.append(text)
                if self._as_json and not line.startswith(b"{"):
                    if text:
                        self._log.info("%s", text)
                    continue
                if self._file is not None and text:
                    self._file.handle(logging.makeLogRecord({"msg": logs.visible(text)}))
                with contextlib.suppress(OSError):
                    _write(self._target, line)


def _write(target: int, data: bytes) -> None:
    while data:
        data = data[os.write(target, data) :]


class Container:
    """One container, from `start` to its end."""

    def __init__(self, plan: WorkerPlan, engine: Engine, guard: Guard) -> None:
        assert plan.executor.container is not None
        self._plan, self._container, self._engine, self._guard = plan, plan.executor.container, engine, guard
        self.name = f"jina-{re.sub(r'[^a-zA-Z0-9]+', '-', plan.name).strip('-')}-{secrets.token_hex(4)}"
        self._remote = engine.host
        self._own = None if self._remote else engine.own_container()
        self.network = Network.of(self._container, engine, self._remote, self._own)
        if plan.consensus is not None and (self._remote or self.network.published):
            raise ConfigError(
                "stateful: replicas of an image need the network of this machine, and an engine here",
                help="leave out force_network_mode and the network of docker_kwargs",
            )
        self.port = PORT if self.network.published else free_port()
        self.metrics_port = METRICS_PORT if self.network.published else free_port()
        self.observe_key = secrets.token_urlsafe(32)
        self._log = logs.get_logger(plan.name)
        self._began = time.time()
        self._process: asyncio.subprocess.Process | None = None
        self._lines: list[Lines] = []
        self._file: logging.Handler | None = None

    # --- start --------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start it; returns before it is ready."""
        container = self._container
        variables = {**self._plan.env, **_secrets(container)}
        words = [self._engine.program, "run", "--interactive", "--rm", "--name", self.name]
        words += [f"--label=jina.worker={self._plan.name}", *self.network.words, *self.network.host_words()]
        words += [*self.network.port_words(self.port), *self.network.port_words(self.metrics_port)]
        words += [f"--platform={container.platform}"] if container.platform else []
        words += [f"--entrypoint={container.entrypoint[0]}"] if container.entrypoint else []
        words += gpu_words(container.gpus, self._engine.name)
        words += await asyncio.to_thread(self._volume_words)
        words += [f"--env={PLAN_VARIABLE}=stdin"]
        # Values stay out of the command line, which every user of the machine can read.
        words += [f"--env={name}={value}" if _OWN_VARIABLES.fullmatch(name) else f"--env={name}"
                  for name, value in variables.items()]  # fmt: skip
        words += [*container.flags, container.image, *container.entrypoint[1:], *self._arguments()]
        own = {name: value for name, value in variables.items() if not _OWN_VARIABLES.fullmatch(name)}
        self._guard.expect(self._engine.program, self.name, starting=True)
        await self._spawn(words, {**os.environ, **own})

    def _volume_words(self) -> list[str]:
        """Its volumes, whose folders are made, and the user that may write there."""
        container, consensus = self._container, self._plan.consensus
        volumes = list(container.volumes)
        if self._auto_volume:
            volumes.append(f"{self._auto_volume}:{AUTO_WORKSPACE}:rw")
        folders = [volume.partition(":")[0] for volume in volumes]
        # A folder that this program's container does not share is one of the machine that the engine is on.
        words = [
            f"--volume={self._outside(folder) or folder}{volume.removeprefix(folder)}"
            for folder, volume in zip(folders, volumes, strict=True)
        ]
        if consensus is not None:
            # Its log, the key of its group and its port are those of this user.
            return [*words, *self._consensus_words(consensus), f"--user={os.getuid()}:{os.getgid()}"]
        folders = [folder for folder in folders if self._outside(folder)]
        if not folders:
            return words
        user = ((self._engine.inspect(container.image) or {}).get("Config") or {}).get("User") or ""
        named = any(word.startswith("--user=") for word in container.flags)
        made = [folder for folder in folders if _made(folder)]
        if named or user.partition(":")[0] in {"", "0", "root"}:
            return words
        if os.getuid():  # the folders are ours, and so are the files that are written there
            return [*words, f"--user={os.getuid()}:{os.getgid()}"]
        if user.partition(":")[0].isdigit():
            for folder in made:
                os.chown(folder, int(user.partition(":")[0]), -1)
        return words

    def _outside(self, path: str) -> str:
        """Where the engine has a path of this program; empty where it does not have it."""
        if self._remote:
            return ""
        return path if self._own is None else self._own.outside(path)

    @property
    def _auto_volume(self) -> str:
        """The folder of the workspace where the options name none; empty where the container is to have none."""
        folder = f"{user_cache()}/{AUTO_VOLUME}"
        return folder if self._container.auto_volume and self._outside(folder) else ""

    def _consensus_words(self, plan: ConsensusPlan) -> list[str]:
        """The folder of a replica at the same path in its container, and the files by which its agent is known."""
        tls = plan.tls
        files = [plan.key_file, *([tls.certfile, tls.keyfile, tls.ca_file or ""] if tls is not None else [])]
        paths = {os.path.abspath(plan.directory): "rw"} | {os.path.abspath(file): "ro" for file in files if file}
        for path in paths:
            if not self._outside(path):
                raise ConfigError(
                    f"stateful: {path} is a path of this program's container alone, which the container of a replica"
                    " cannot have",
                    help="set it to a path in a volume of this program's container",
                )
        return [f"--volume={self._outside(path)}:{path}:{mode}" for path, mode in paths.items()]

    async def _spawn(self, words: list[str], environment: Mapping[str, str]) -> None:
        outputs = [os.pipe(), os.pipe()]
        try:
            self._process = await asyncio.create_subprocess_exec(
                *words,
                stdin=asyncio.subprocess.PIPE,
                stdout=outputs[0][1],
                stderr=outputs[1][1],
                env=environment,
            )
        finally:
            for _, inside in outputs:
                os.close(inside)
        as_json = self._plan.log.format == "json"
        self._file = logs.lines_file(self._plan.log, self._plan.name)
        self._lines = [
            Lines(source, target, self._log, self._file, as_json=as_json)
            for (source, _), target in zip(outputs, (1, 2), strict=True)
        ]
        for lines in self._lines:
            lines.start()
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # its end tells why
            self._process.stdin.write(self._document() + b"\n")
            await self._process.stdin.drain()

    def _document(self) -> bytes:
        """What an Executor of ours is to be; one of Jina 3 does not read it."""
        log = replace(self._plan.log, folder="")
        listener = ListenerPlan(protocol="grpc", host=self.network.listens, port=self.port)
        plan = replace(
            self._plan,
            executor=ExecutorPlan(),
            listeners=[listener],
            access=AccessPlan(),
            monitoring=ListenerPlan(protocol="http", host=self.network.listens, port=self.metrics_port),
            observe_key=self.observe_key,
            probes=None,
            watch=False,
            log=log,
            env={},
            workspace=self._workspace,
        )
        inside = {name: value for name, value in self._container.options.items() if name in RESOLVED_INSIDE}
        return msgspec.json.encode({"options": inside, "plan": msgspec.Raw(to_json(plan))})

    def _arguments(self) -> list[str]:
        plan = self._plan
        return arguments_of({
            "name": plan.name, "native": True, "host": self.network.listens, "port": [self.port],
            "workspace": self._workspace, "shard_id": plan.shard_id or None, **self._container.options,
        })  # fmt: skip

    @property
    def _workspace(self) -> str | None:
        """The folder in the container below which the Executor keeps its files."""
        return self._plan.workspace or (AUTO_WORKSPACE if self._auto_volume else None)

    async def address(self, port: int) -> str:
        """Where one of its ports is; empty as long as the engine has not published it."""
        host = f"[{self.network.host}]" if ":" in self.network.host else self.network.host
        if not self.network.published:
            return f"{host}:{port}"
        answer = await asyncio.to_thread(self._engine.ask, "port", self.name, f"{port}/tcp")
        return f"{host}:{answer.rpartition(':')[2]}" if answer else ""

    async def check_consensus(self) -> None:
        """Raise where a stateful Executor is in an image of Jina 3, whose replicas know nothing of ours."""
        if self._plan.consensus is None:
            return
        version = await asyncio.to_thread(self._engine.ask, "exec", self.name, "jina", "--version")
        if not version.partition(".")[0].isdigit() or int(version.partition(".")[0]) < 4:
            raise ConfigError(
                f"stateful: the image {self._container.image} has jina {version or 'of an unknown version'}, whose"
                " replicas do not work with this one",
                help="build the image by `jina hub build`, with rejina[stateful] among its requirements",
            )

    # --- end ----------------------------------------------------------------------------------------------

    def started(self) -> None:
        """It runs: from now on it can be found."""
        self._guard.expect(self._engine.program, self.name, starting=False)

    async def ended(self) -> int:
        """Wait for its end; gives its exit code, or that of the engine's client."""
        assert self._process is not None
        code = await self._process.wait()
        for lines in self._lines:
            await asyncio.to_thread(lines.join, 1.0)
        if self._file is not None:
            self._file.close()
        return code

    async def stop(self, seconds: float) -> None:
        """SIGTERM, or what the image says instead, and SIGKILL after so many seconds; returns when it is gone."""
        if self._process is None:
            return
        if self._process.returncode is None:
            words = [self._engine.program, "stop", "--time", str(max(1, round(seconds))), self.name]
            stopping = await asyncio.create_subprocess_exec(
                *words,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
            )
            await asyncio.wait(
                {asyncio.create_task(stopping.wait()), ended := asyncio.create_task(self._process.wait())}
            )
            await ended
        self._guard.removed()

    def how(self, code: int) -> str:
        """How it ended, with the last line that it wrote where that tells why."""
        if code == _KILLED:
            reason = "was killed by signal 9 (SIGKILL)" + (": out of memory" if self._out_of_memory() else "")
            return f"container {self.name} of {self._container.image} {reason}"
        return f"container {self.name} of {self._container.image} ended with exit code {code}"

    def last_line(self) -> str:
        """The last line that it wrote, of those to standard error if there are any."""
        for lines in reversed(self._lines):
            if lines.last:
                return lines.last[-1]
        return ""

    def _out_of_memory(self) -> bool:
        span = ("--since", f"{self._began:.0f}", "--until", f"{time.time() + 1:.0f}")
        filters = (f"--filter=container={self.name}", "--filter=event=oom", "--format={{.Action}}")
        return self._engine.name == "docker" and "oom" in self._engine.ask("events", *span, *filters)


def _made(folder: str) -> bool:
    """Whether a folder was made now; raises `ConfigError` where it cannot be."""
    if os.path.exists(folder):
        return False
    try:
        os.makedirs(folder)
    except OSError as error:
        raise ConfigError(f"volumes: {folder} cannot be made: {error.strerror}") from None
    return True


RESOLVED_INSIDE: Final = frozenset({
    "uses_with", "uses_metas", "uses_requests", "uses_dynamic_batching", "py_modules", "extra_search_paths",
})  # fmt: skip
"""Options that decide which class it is, and what it is constructed with: they are read in the container."""


def _secrets(plan: ContainerPlan) -> dict[str, str]:
    found = {}
    for variable, file in plan.secrets.items():
        try:
            found[variable] = Path(file).read_text(encoding="utf-8").rstrip("\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text"
            raise ConfigError(
                f"env_from_secret: {variable}: {file} cannot be read: {reason}",
                help="locally a secret is a file: JINA_SECRETS/NAME/KEY, JINA_SECRETS being /run/secrets by default",
            ) from None
    return found


async def pulled(plan: ContainerPlan, engine: Engine, log: Any) -> None:
    """Pull the image unless the engine has it; raises `ConfigError` where there is none."""
    if not plan.pull and await asyncio.to_thread(engine.inspect, plan.image) is not None:
        return
    if plan.offline:
        raise ConfigError(
            f"docker://{plan.image}: the engine has no such image, and offline none is pulled",
            help=f"{engine.name} pull {plan.image}",
        )
    log.info("pulls %s", plan.image)
    words = ["pull", *([f"--platform={plan.platform}"] if plan.platform else []), plan.image]
    process = await asyncio.create_subprocess_exec(
        engine.program,
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    last = ""
    try:
        assert process.stdout is not None
        async for line in process.stdout:
            last = line.decode(errors="replace").strip() or last
            log.debug("%s", last)
        code = await process.wait()
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        raise
    if code:
        raise ConfigError(
            f"docker://{plan.image} is neither an image that the engine has nor one that it can pull: {last}",
            help=f"`{engine.name} images` lists those that it has; `{engine.name} login` is for those that need it",
        )


# --- requests -----------------------------------------------------------------------------------------------------


class ContainerService:
    """The Executor in the container as a `LocalService`: requests go on as the bytes that came."""

    forwards = True

    def __init__(
        self, name: str, upstream: GrpcUpstream, endpoints: Mapping[str, EndpointInfo], metrics: str = ""
    ) -> None:
        self.name = name
        self._metrics = metrics
        self.endpoints = endpoints
        self.ended = asyncio.Event()
        """Set when the container has ended."""
        self.awaits_endpoints = False
        self.load = self.scaling = None
        self._upstream = upstream
        self.counts = Metrics(name)
        self._admission = Admission(name, sys.maxsize)

    @property
    def up(self) -> bool:
        """See `Service`."""
        return self._upstream.up

    @property
    def started(self) -> bool:
        """See `LocalService`."""
        return True

    @property
    def checks(self) -> Mapping[str, bool]:
        """See `LocalService`."""
        return {"container": self.up}

    def stats(self) -> dict[str, int]:
        """See `ProcessStats`."""
        return {"in_flight": self._admission.open, "queued": 0, "done": self.counts.done, **self.counts.totals()}

    async def describe(self) -> Mapping[str, EndpointInfo]:
        """See `Service`."""
        return self.endpoints

    async def call(self, request: Request) -> Reply:
        """See `Service`."""
        with self._observed(request) as observed:
            observed.parts = {"id": request.request_id}
            try:
                return await self._upstream.call(request)
            except UpstreamUnavailable:
                await self._lost()
                raise

    async def stream(self, request: Request) -> AsyncGenerator[Reply]:
        """See `Service`."""
        with self._observed(request, streamed=True) as observed:
            observed.parts = {"id": request.request_id, "stream": True}
            try:
                async with contextlib.aclosing(self._upstream.stream(request)) as replies:
                    async for reply in replies:
                        yield reply
            except UpstreamUnavailable:
                await self._lost()
                raise

    def _observed(self, request: Request, *, streamed: bool = False) -> Observed:
        """Counted under its path, or that of all others where the container has no such endpoint."""
        if request.began is not None:
            request.began()
        path = request.endpoint if request.endpoint in self.endpoints else "/default"
        return Observed(self.counts.endpoint(path), size_of(request.payload), self._admission, None, streamed=streamed)

    async def _lost(self) -> None:
        """Where the container has ended, the end of this process answers: the gateway then may ask another replica."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOST):
                await self.ended.wait()
                await asyncio.sleep(_LOST)

    async def ready(self) -> list[Route]:
        """See `Service`."""
        return await self._upstream.ready()

    def flush(self, *, on: bool = True) -> None:
        """See `Service`; gRPC has no word for it."""

    def throttle(self, *, on: bool = True) -> None:
        """See `Service`; its window bounds what is under way to us."""

    async def close(self) -> None:
        """See `Service`."""
        await self._upstream.close()

    def freed(self) -> None:
        """See `LocalService`."""

    async def metrics(self, *, openmetrics: bool = True) -> bytes:
        """See `LocalService`: those of the container; nothing of an image of Jina 3."""
        return await asyncio.to_thread(_scraped, self._metrics, openmetrics=openmetrics) if self._metrics else b""


def _scraped(address: str, *, openmetrics: bool) -> bytes:
    return _got(address, "/metrics", {"Accept": "application/openmetrics-text" if openmetrics else "text/plain"})


def _got(address: str, path: str, headers: Mapping[str, str]) -> bytes:
    """What the metrics port of a container answers; empty where it does not."""
    connection = http.client.HTTPConnection(address, timeout=_SCRAPE)
    try:
        connection.request("GET", path, headers=dict(headers))
        answer = connection.getresponse()
        text = answer.read(_METRICS_BYTES + 1)
    except (OSError, http.client.HTTPException):
        return b""
    finally:
        connection.close()
    return text if answer.status == http.HTTPStatus.OK and len(text) <= _METRICS_BYTES else b""


class Inside:
    """What the Executor in a container tells to those who look closely: with each question the last that came.

    So the thread that answers questions waits for no container. An image of Jina 3, or of a jina that does not know
    the question, tells nothing.
    """

    def __init__(self, address: str, key: str) -> None:
        self._address = address
        self._key = key
        self._newest: dict[str, Any] = {}
        self._at = 0.0
        self._last = 0
        """The number of the last log record that was passed on."""
        self._lock = threading.Lock()
        self._asking = False

    def observe(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """See `ProcessStats.inside`; empty before the first answer."""
        with self._lock:
            found = self._newest if time.monotonic() - self._at <= _STALE else {}
            self._newest = {name: value for name, value in found.items() if name != "logs"}  # which are passed on once
            if question.get("logs") is None:
                found = self._newest
            self._last = max([self._last, *(int(line["seq"]) for line in found.get("logs", ()))])
            if not self._asking:
                self._asking = True
                threading.Thread(target=self._ask, args=(self._last,), name="observation", daemon=True).start()
        return found

    def _ask(self, last: int) -> None:
        text = _got(self._address, f"{OBSERVATION}?logs={last}", {OBSERVE_KEY: self._key})
        try:
            found = msgspec.json.decode(text, type=dict[str, Any]) if text else {}
        except (msgspec.DecodeError, RecursionError):
            found = {}
        with self._lock:
            self._newest, self._at, self._asking = found, time.monotonic(), False


class ContainerProcess(ProcessMain):
    """See `run_container`."""

    def __init__(
        self, plan: WorkerPlan, parent: Parent, guard: Guard, loop: AbstractEventLoop, telemetry: Exporters
    ) -> None:
        super().__init__(plan.name, parent, loop)
        del telemetry
        assert plan.executor.container is not None
        self._plan, self._guard, self._wanted = plan, guard, plan.executor.container
        self._container: Container | None = None
        self._upstream: GrpcUpstream | None = None
        self._endpoints: Mapping[str, EndpointInfo] = {}

    async def _serve(self) -> int:
        try:
            if await self._unless_asked(self._start()):
                await self._serve_requests()
        finally:
            if self._upstream is not None:
                await self._upstream.close()
            if self._container is not None and not self._stop.hard:
                await self._container.stop(_CLOSE)
        return self._stop.exit_code

    # --- start --------------------------------------------------------------------------------------------

    async def _start(self) -> None:
        engine = await asyncio.to_thread(
            Engine.find, None, instead="serve the Executor without an image: uses= its class, YAML file or package"
        )
        self._report({"phase": "pulling its image"})
        await pulled(self._wanted, engine, self._log)
        self._report({"phase": "starting its container"})
        container = self._container = await asyncio.to_thread(Container, self._plan, engine, self._guard)
        await container.start()
        ended = asyncio.create_task(container.ended())
        reached = asyncio.create_task(self._reach(container))
        try:
            await asyncio.wait({ended, reached}, return_when=asyncio.FIRST_COMPLETED)
            if reached.done():
                reached.result()
                container.started()
                await container.check_consensus()
                return
            said = container.last_line()
            how = await asyncio.to_thread(container.how, ended.result())
            raise RuntimeFailToStart(f"{how} before it was ready{f': {said}' if said else ''}")
        finally:
            for task in (ended, reached):
                task.cancel()

    async def _reach(self, container: Container) -> None:
        """Wait until the Executor in the container has described itself."""
        pause = _PAUSE
        while True:
            if address := await container.address(container.port):
                upstream = self._connected(address)
                try:
                    self._endpoints = await upstream.describe()
                except UpstreamUnavailable as error:
                    self._log.debug("%s is not there yet: %s", container.name, error.message)
                except BaseException:
                    await upstream.close()
                    raise
                else:
                    self._upstream = upstream
                    return
                await upstream.close()
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _connected(self, address: str) -> GrpcUpstream:
        plan = self._plan
        node = NodePlan(name=plan.deployment, needs=[], upstreams=[])
        return GrpcUpstream(UpstreamPlan(kind="grpc", name=plan.name, address=address), node, plan.max_message_size)

    # --- requests -----------------------------------------------------------------------------------------

    async def _serve_requests(self) -> None:
        assert self._upstream is not None
        assert self._container is not None
        metrics = await self._container.address(self._container.metrics_port)
        service = ContainerService(self._plan.name, self._upstream, self._endpoints, metrics)
        links = WorkerLinks(self._links, service, self._plan.max_message_size, self._loop)
        self._stats.source, self._stats.counts = service.stats, service.counts
        self._stats.inside = Inside(metrics, self._container.observe_key).observe if metrics else None
        watching = asyncio.create_task(self._watch(self._container, service))
        links.open()
        try:
            self._report({"phase": "ready", "addresses": [], "versions": {"version": await self._upstream.version()}})
            self._log.debug("ready: container %s", self._container.name)
            await self._asked.wait()
            if service.ended.is_set():
                # Before what waits is cancelled, which gateways would take for the wish of somebody.
                links.break_off()
            else:
                await self._drain(links.stop(self._plan.grace))
        finally:
            watching.cancel()

    async def _watch(self, container: Container, service: ContainerService) -> None:
        code = await container.ended()
        service.ended.set()
        if not self._stop.requested:
            how = await asyncio.to_thread(container.how, code)
            self._stop.request_stop(how, exit_code=code or 1)

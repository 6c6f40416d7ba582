"""One gateway, or one process of a Deployment, in this very process."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from jina.errors import ConfigError
from jina.orchestration.display import announce
from jina.plan.plans import WorkerPlan

if TYPE_CHECKING:
    from jina.runtime.process import Stop


def serve_gateway_here(options: Mapping[str, Any], where: str = "jina gateway") -> int:
    """Serve the gateway that options of `GatewaySpec` describe until SIGTERM or Ctrl+C; gives the exit code.

    To be called on the main thread. Raises `ConfigError` naming the option, `PortAlreadyUsed`, and
    `RuntimeFailToStart` where Executors do not answer.
    """
    from jina.config import GatewaySpec, parse
    from jina.orchestration.resolve import protocol_of, resolve_gateway
    from jina.plan.gateway import plan_gateway
    from jina.supervisor.foreground import serve_gateway_here as serve
    from jina.supervisor.ports import PortReservations, given_listeners, shared

    spec = parse(GatewaySpec, dict(options), where)
    resolved = resolve_gateway(spec)
    only = protocol_of(resolved)
    if only is not None and "protocol" not in spec.model_fields_set:
        spec = parse(GatewaySpec, {**options, "protocol": only}, where)
    ports = PortReservations()
    try:
        plan = plan_gateway(spec, resolved.plan if resolved else None, ports)
        for listener in plan.listeners if resolved else ():
            if listener.share_port:
                ports.share(listener.port)
            else:
                ports.claim(listener)
        return serve(
            shared(plan, {listener.port for listener in given_listeners([plan]) if ports.hold_given(listener)}),
            resolved.executor_class if resolved else None,
            resolved.arguments if resolved else {},
            lambda: announce(spec.name, plan.listeners, quiet=spec.quiet),
        )
    finally:
        ports.close()


_MOST = 64 * 1024 * 1024
"""Bytes of a plan that standard input may give."""
_CLOSE = 3.0
"""Seconds that `close()` gets once the program that started the container has ended."""


def serve_plan(options: Mapping[str, Any], where: str = "jina executor") -> int:
    """Serve in a container what another program plans, until SIGTERM or the end of standard input; gives the exit code.

    The first line of standard input says what: options that come before those of the image, and the plan of a worker.
    Of the command line `uses` counts, which is the image's. Raises what `serve_part` raises.
    """
    from jina.orchestration import Deployment
    from jina.runtime.process import Stop

    line = sys.stdin.buffer.readline(_MOST)
    try:
        given = msgspec.json.decode(line, type=_Given)
    except msgspec.MsgspecError as error:
        raise ConfigError(
            f"{where}: the plan on standard input cannot be read: {error}",
            help="JINA_PLAN=stdin is for containers that `uses='docker://...'` starts; unset it",
        ) from None
    own = {name: options[name] for name in ("uses", "extra_search_paths") if name in options}
    arguments = {**own, **given.options, "quiet": True}  # where it listens is for its gateway alone
    deployment = Deployment.from_command_line(arguments, where.removeprefix("jina "))
    stop = Stop()
    threading.Thread(target=_end_with_input, args=(stop,), name="lifeline", daemon=True).start()

    def placed(plan: WorkerPlan) -> WorkerPlan:
        return replace(given.plan, executor=plan.executor)

    return deployment.serve_here(placed, stop)


class _Given(msgspec.Struct):
    """The line on standard input."""

    plan: WorkerPlan
    options: dict[str, Any] = {}


def _end_with_input(stop: Stop) -> None:
    """Whatever ended the program that started this one, its end of the pipe is closed."""
    while os.read(sys.stdin.fileno(), 1 << 12):
        pass
    stop.abandon()
    time.sleep(_CLOSE)
    os._exit(1)


_PLACE = ("replicas", "shards", "shard_id")
_HEAD = ("connection_list", "uses_before_address", "uses_after_address")
_ROLES = ("native", "pod_role", "runtime_cls", "deployment_role", "k8s_namespace")


def is_part(options: Mapping[str, Any]) -> bool:
    """Whether the options of a command line ask for one process of a larger Deployment."""
    return any(options.get(name) for name in ("native", "shard_id")) or is_head(options)


def is_head(options: Mapping[str, Any]) -> bool:
    """Whether that process is the one in front of the shards."""
    return "HEAD" in str(options.get("pod_role", "")).upper() or options.get("runtime_cls") == "HeadRuntime"


def serve_part(options: Mapping[str, Any], where: str = "jina executor", words: Sequence[str] | None = None) -> int:
    """Serve the worker or the head until SIGTERM or Ctrl+C; gives the exit code. Main thread only.

    `words` as in `Deployment.serve_here`. Raises `ConfigError` naming the option, and what `jina.supervisor.foreground`
    raises.
    """
    own = {name: value for name, value in options.items() if name not in {*_ROLES, *_HEAD}}
    if "name" in own:  # Jina 3 names the processes around shards `indexer/head`, which is no name of a folder
        own["name"] = str(own["name"]).replace("/", "-")
    if is_head(options):
        return _serve_head(options, own, where)
    from jina.orchestration import Deployment

    place = _placed(own, where)
    deployment = Deployment.from_command_line(
        {name: value for name, value in own.items() if name not in _PLACE}, where.removeprefix("jina ")
    )
    by_jina_3 = options.get("native") and options.get("noblock_on_start")
    again = (lambda: _say_again(deployment.name)) if by_jina_3 else (lambda: None)
    return deployment.serve_here(lambda plan: replace(plan, **place), words=words, on_ready=again)


_AGAIN = (0.3, 0.6, 1.2, 2.4, 4.8)
"""Seconds between the lines of `_say_again`."""


def _say_again(name: str) -> None:
    """Write some lines more, in the first seconds after the start: Jina 3 started this container.

    Its programs ask whether a container is ready only when it has written a line, and not more often than every 0.1 s:
    where that was too early after the last line, they wait for ever.
    """

    def say() -> None:
        for seconds in _AGAIN:
            time.sleep(seconds)
            print(f"{name} is ready", file=sys.stderr, flush=True)  # noqa: T201 - for whoever reads the container's log

    threading.Thread(target=say, name="ready-again", daemon=True).start()


def _placed(options: Mapping[str, Any], where: str) -> dict[str, int]:
    """Which of how many workers it is."""
    from jina.config import DeploymentSpec, parse

    counts = parse(DeploymentSpec, {name: options[name] for name in ("replicas", "shards") if name in options}, where)
    try:
        shard = int(options.get("shard_id", 0))
    except ValueError:
        shard = -1
    if not 0 <= shard < counts.shards:
        raise ConfigError(
            f"{where}: shard_id: {options['shard_id']!r} is not the number of a shard: there are {counts.shards}, "
            "counted from 0"
        )
    place = {"shards": counts.shards, "shard_id": shard}
    # Without it, the plan counts the members of a group.
    return {**place, "replicas": counts.replicas} if "replicas" in options or not options.get("raft_peers") else place


def _serve_head(options: Mapping[str, Any], own: dict[str, Any], where: str) -> int:
    from jina.config import DeploymentSpec, parse
    from jina.config.types import shown
    from jina.orchestration.display import announce
    from jina.plan.gateway import plan_head
    from jina.supervisor.foreground import serve_gateway_here
    from jina.supervisor.ports import PortReservations

    shards = options.get("connection_list") or {}
    if not isinstance(shards, Mapping):
        raise ConfigError(
            f"{where}: connection_list: {shown(shards)} does not give each shard its address",
            help="such as --connection-list 0=10.0.0.1:8081 1=10.0.0.2:8081",
        )
    own.setdefault("shards", str(len(shards)))
    spec = parse(DeploymentSpec, own, where)
    around = {name: str(options[name]) for name in _HEAD[1:] if options.get(name)}
    ports = PortReservations()
    try:
        plan = plan_head(spec, shards, around, ports)
        return serve_gateway_here(plan, None, {}, lambda: announce(spec.name, plan.listeners, quiet=spec.quiet))
    finally:
        ports.close()

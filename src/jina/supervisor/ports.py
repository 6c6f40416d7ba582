"""Ports that jina chooses or the user gave, held from the choice to the release."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import socket
import sys
import time
from collections.abc import Collection, Iterable
from typing import TypeVar, overload

from msgspec.structs import replace

from jina.errors import ConfigError, PortAlreadyUsed
from jina.net.sockets import bind_error, holder
from jina.plan.plans import ConsensusPlan, DeploymentPlan, FlowPlan, GatewayPlan, ListenerPlan, ProcessPlan, WorkerPlan

_TRIES = 200
_PAUSE = 0.002
"""Seconds, at most, between two tries for a port that others want at the same time."""


class PortReservations:
    """Chooses free ports and holds them until `close`; implements `jina.plan.plans.PortAllocator`.

    The range comes from JINA_RANDOM_PORT_MIN and JINA_RANDOM_PORT_MAX; without them the kernel chooses.
    """

    def __init__(self) -> None:
        self._held: dict[int, socket.socket] = {}

    def port(self) -> int:
        """A TCP port that is free on all interfaces."""
        limits = _range_of_environment()
        sock = _bind_any() if limits is None else _bind_within(*limits)
        port: int = sock.getsockname()[1]
        self._held[port] = sock
        return port

    def hold(self, port: int) -> None:
        """Take a port again that `close` released; raises PortAlreadyUsed when another process has it now."""
        if port in self._held:
            return
        try:
            self._held[port] = _take("", port)
        except OSError:
            raise PortAlreadyUsed(
                f"port {port}, chosen earlier for this deployment, is now used by {holder(port) or 'another process'}"
            ) from None

    def hold_given(self, listener: ListenerPlan) -> bool:
        """Hold a port that the user gave; of several processes that want it at the same time, one gets it.

        Raises `PortAlreadyUsed` where another process has it, before anything is started that would find that out
        late. False where it cannot be held for another reason, which the server tells.
        """
        if listener.port not in self._held:
            try:
                self._held[listener.port] = _take(listener.host, listener.port)
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    raise bind_error(listener, error) from None
                return False
        return True

    def hold_peer(self, plan: ConsensusPlan) -> bool:
        """The same for the port of a consensus agent.

        Held before any agent runs: one that connects to another could be given the port of a third by the system.
        """
        host, _, text = (plan.listen or plan.peers[plan.replica]).rpartition(":")
        port = int(text)
        if port not in self._held:
            try:
                self._held[port] = _take(host.strip("[]"), port)
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    who = holder(port) or "another process"
                    raise PortAlreadyUsed(
                        f"peer_ports: {host}:{port} is taken: {who} listens there, or has a connection from there"
                        f" ({plan.group}/rep-{plan.replica})",
                        help="give another port, or none to let jina choose a free one; take them below those that the"
                        " system gives connections (Linux: net.ipv4.ip_local_port_range)",
                    ) from None
                return False
        return True

    def claim(self, listener: ListenerPlan) -> None:
        """Keep other services of this user from a port that a server of the user's own opens, which may share it.

        Raises `PortAlreadyUsed` where one has claimed it. Linux only.
        """
        if listener.port in self._held or sys.platform != "linux":
            return
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.bind(
                f"\0jina-port/{os.getuid()}/{listener.host}/{listener.port}"
            )  # its name vanishes with the process
        except OSError as error:
            sock.close()
            if error.errno == errno.EADDRINUSE:
                raise bind_error(listener, error) from None
            return
        self._held[listener.port] = sock

    def take_over(self, other: PortReservations) -> None:
        """Take over the ports that another one holds."""
        while other._held:
            port, sock = other._held.popitem()
            self._held[port] = sock

    def share(self, port: int) -> None:
        """Allow servers of this user that bind with SO_REUSEADDR, as servers do, to open a port held here."""
        self._held[port].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

    @property
    def held(self) -> frozenset[int]:
        """The ports that are held."""
        return frozenset(self._held)

    def give_back(self, ports: Iterable[int]) -> None:
        """Release these ports."""
        for port in ports:
            self._held.pop(port).close()

    def close(self) -> None:
        """Release all ports."""
        while self._held:
            self._held.popitem()[1].close()


def _range_of_environment() -> tuple[int, int] | None:
    low, high = os.environ.get("JINA_RANDOM_PORT_MIN"), os.environ.get("JINA_RANDOM_PORT_MAX")
    if low is None and high is None:
        return None
    try:
        limits = int(low or 49153), int(high or 65535)
    except ValueError:
        raise ConfigError(
            f"JINA_RANDOM_PORT_MIN={low!r} and JINA_RANDOM_PORT_MAX={high!r} must be port numbers"
        ) from None
    if not 0 < limits[0] <= limits[1] <= 65535:
        raise ConfigError(f"JINA_RANDOM_PORT_MIN={limits[0]} to JINA_RANDOM_PORT_MAX={limits[1]} is not a port range")
    return limits


def _bind_any() -> socket.socket:
    try:
        return _bind("", 0)
    except OSError:
        raise PortAlreadyUsed("the system has no free port left") from None


def _bind_within(low: int, high: int) -> socket.socket:
    for _ in range(_TRIES):
        with contextlib.suppress(OSError):
            return _bind("", random.randint(low, high))  # noqa: S311 - spreads ports, guards nothing
    raise PortAlreadyUsed(f"found no free port from {low} to {high} (JINA_RANDOM_PORT_MIN and _MAX) in {_TRIES} tries")


def _take(host: str, port: int) -> socket.socket:
    """A socket that has the port, though closed connections may linger on it for a minute (TIME_WAIT)."""
    for left in reversed(range(_TRIES)):
        with contextlib.suppress(OSError):
            return _bind(host, port)
        try:
            return _bind(host, port, after_use=True)
        except _Contended:
            if not left:
                raise
            time.sleep(random.uniform(0, _PAUSE))  # noqa: S311 - as above
    raise AssertionError("the last try returns or raises")


class _Contended(OSError):
    """Another process is taking the port at this very moment: one of the two gets it in the next try."""


def _bind(host: str, port: int, *, after_use: bool = False) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if after_use:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        if after_use and sys.platform == "linux":
            _be_the_only_one(sock)
    except OSError:
        sock.close()
        raise
    # Only now: bound with these options, the kernel would let others have the port too.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    if hasattr(socket, "SO_REUSEPORT"):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return sock


def _be_the_only_one(sock: socket.socket) -> None:
    """Raise `_Contended` where another socket is bound to the port as well.

    Linux lets several sockets that have SO_REUSEADDR bind to a port, and one of them listen. Once the one that listens
    has that option no more, the others cannot listen, and it need not listen any longer to keep the port.
    """
    try:
        sock.listen(0)
    except OSError as error:
        raise _Contended(error.errno, error.strerror) from None
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    sock.shutdown(socket.SHUT_RDWR)


P = TypeVar("P", bound=ProcessPlan)


def shared(plan: P, held: Collection[int]) -> P:
    """The plan of a process whose server binds beside the holder of its ports."""
    if isinstance(plan, GatewayPlan) and plan.custom is not None:
        return plan  # a server of the user's own opens them
    changed = replace(plan, listeners=[_shared(listener, held) for listener in plan.listeners])
    if isinstance(changed, WorkerPlan) and changed.probes is not None:
        changed = replace(changed, probes=_shared(changed.probes, held))
    if isinstance(changed, WorkerPlan) and changed.consensus is not None and port_of_peer(changed.consensus) in held:
        consensus = replace(changed.consensus, share_port=True)
        changed = replace(changed, consensus=consensus)
    return changed


def port_of_peer(plan: ConsensusPlan) -> int:
    """Where the agent listens to others."""
    return int((plan.listen or plan.peers[plan.replica]).rpartition(":")[2])


def given_peers(plans: Collection[ProcessPlan]) -> list[ConsensusPlan]:
    """The agents whose ports the user gave."""
    found = [plan.consensus for plan in plans if isinstance(plan, WorkerPlan) and plan.consensus is not None]
    return [consensus for consensus in found if not consensus.share_port]


@overload
def all_shared(plan: DeploymentPlan, held: Collection[int]) -> DeploymentPlan: ...


@overload
def all_shared(plan: FlowPlan, held: Collection[int]) -> FlowPlan: ...


@overload
def all_shared(plan: DeploymentPlan | FlowPlan, held: Collection[int]) -> DeploymentPlan | FlowPlan: ...


def all_shared(plan: DeploymentPlan | FlowPlan, held: Collection[int]) -> DeploymentPlan | FlowPlan:
    """The same for all processes of a plan."""
    if isinstance(plan, DeploymentPlan):
        workers = [shared(worker, held) for worker in plan.workers]
        gateway = None if plan.gateway is None else shared(plan.gateway, held)
        return replace(plan, workers=workers, gateway=gateway)
    deployments = [all_shared(deployment, held) for deployment in plan.deployments]
    return replace(plan, deployments=deployments, gateway=shared(plan.gateway, held))


def given_listeners(plans: Collection[ProcessPlan]) -> list[ListenerPlan]:
    """The listeners of processes whose ports can be held though the user gave them."""
    served = [plan for plan in plans if not (isinstance(plan, GatewayPlan) and plan.custom is not None)]
    return [listener for plan in served for listener in listeners_of(plan) if not listener.share_port]


def listeners_of_users(plans: Collection[ProcessPlan]) -> list[ListenerPlan]:
    """Those whose ports the user gave, and a server of the user's own opens."""
    custom = [plan for plan in plans if isinstance(plan, GatewayPlan) and plan.custom is not None]
    return [listener for plan in custom for listener in plan.listeners if not listener.share_port]


def listeners_of(plan: ProcessPlan) -> list[ListenerPlan]:
    """Those whose ports a process and its successor serve at the same time."""
    probes = plan.probes if isinstance(plan, WorkerPlan) else None
    return [*plan.listeners, *([] if probes is None else [probes])]


def _shared(listener: ListenerPlan, held: Collection[int]) -> ListenerPlan:
    return replace(listener, share_port=True) if listener.port in held else listener

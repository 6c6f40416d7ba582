"""What the options of stateful Deployments must fulfil, see `jina.spec.rules`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from jina.spec.address import split_address
from jina.spec.consensus import complaints
from jina.spec.problem import Problem
from jina.spec.types import shown

if TYPE_CHECKING:
    from jina.spec.deployment import DeploymentSpec


def raft_configuration_fits(spec: DeploymentSpec) -> Iterator[Problem]:
    """The consensus log knows its options, and they fit together."""
    for text in complaints(spec.raft_configuration or {}):
        yield Problem("raft_configuration", text)


def stateful_options_are_for_stateful(spec: DeploymentSpec) -> Iterator[Problem]:
    """What only a replicated log needs says nothing without one."""
    for option in ("peer_ports", "raft_peers", "raft_key_file", "raft_configuration", "consistency"):
        if option in spec.non_defaults() and not spec.stateful:
            yield Problem(option, "is for stateful=True")


def stateful_runs_here(spec: DeploymentSpec) -> Iterator[Problem]:
    """A replicated Executor is started here, with its agent."""
    if spec.stateful and spec.external:
        yield Problem("stateful", "an external Deployment keeps its own state")


def raft_peers_are_addresses(spec: DeploymentSpec) -> Iterator[Problem]:
    """`host:port` of each replica's agent, none twice, and nothing that says the same otherwise."""
    peers = spec.raft_peers
    if peers is None:
        return
    if not peers:
        yield Problem("raft_peers", "is empty")
    for peer in peers:
        if text := _no_address(peer):
            yield Problem("raft_peers", text)
    if len(set(peers)) < len(peers):
        yield Problem("raft_peers", "an address is given twice")
    if "replicas" in spec.model_fields_set and spec.replicas != len(peers):
        yield Problem("raft_peers", f"{len(peers)} addresses for {spec.replicas} replica(s)")
    if spec.peer_ports:
        yield Problem("peer_ports", "the ports are in raft_peers")
    for option in ("uses_before", "uses_after", "shards"):
        if getattr(spec, option) not in {None, 1}:
            yield Problem(option, "is not for replicas that are started one by one, by raft_peers")


def raft_peers_have_a_key(spec: DeploymentSpec) -> Iterator[Problem]:
    """Agents that are started one by one have nothing in common that a stranger does not know, unless it is given."""
    if spec.stateful and spec.raft_peers and not spec.raft_key_file and not spec.ssl_certfile:
        yield Problem(
            "raft_peers",
            "agents prove to each other who they are: give raft_key_file, the same key to each of them "
            "(openssl rand -hex 32 > group.key), or a certificate (ssl_certfile, ssl_keyfile)",
        )


def _no_address(peer: str) -> str:
    try:
        address = split_address(peer)
    except ValueError as exc:
        return str(exc)
    return "" if address.port is not None and not address.scheme else f"{shown(peer)} is not host:port"


def replica_is_one_of_them(spec: DeploymentSpec) -> Iterator[Problem]:
    """`replica_id` says which of `raft_peers` this one is."""
    if spec.raft_peers and spec.replica_id >= len(spec.raft_peers):
        count = len(spec.raft_peers)
        yield Problem("replica_id", f"{spec.replica_id}: there are {count} raft_peers, counted from 0")
    elif spec.replica_id and not spec.raft_peers:
        yield Problem("replica_id", "says which of raft_peers this one is, which are not given")


def peer_ports_match_replicas(spec: DeploymentSpec) -> Iterator[Problem]:
    """One port for each replica of each shard, none twice."""
    given = spec.peer_ports
    if not given or not spec.stateful:
        return
    shards = [str(shard) for shard in range(spec.shards)]
    if isinstance(given, Mapping):
        if sorted(given) != sorted(shards):
            found, wanted = (", ".join(sorted(names)) for names in (given, shards))
            yield Problem("peer_ports", f"is for the shards {found}; there are {wanted}")
    elif len(shards) > 1:
        yield Problem("peer_ports", "each shard has ports of its own: {'0': [...], '1': [...]}")
    groups = list(given.values()) if isinstance(given, Mapping) else [given]
    lists = [list(ports) if isinstance(ports, Sequence) else [ports] for ports in groups]
    for ports in lists:
        if len(ports) != spec.replicas:
            yield Problem("peer_ports", f"{len(ports)} ports for {spec.replicas} replica(s)")
    every = [port for ports in lists for port in ports]
    if len(set(every)) < len(every):
        yield Problem("peer_ports", "a port is given twice")

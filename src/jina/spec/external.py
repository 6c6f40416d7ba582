"""Addresses of Deployments that run already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jina.spec.address import SCHEMES, Target, split_address

if TYPE_CHECKING:
    from jina.spec.deployment import DeploymentSpec


class TargetError(ValueError):
    """An option of the addresses is wrong; `option` is its name."""

    def __init__(self, option: str, text: str) -> None:
        super().__init__(text)
        self.option = option


def targets(spec: DeploymentSpec) -> list[Target]:
    """One target for each replica: the hosts with their ports; a single one of either counts for all.

    Raises TargetError where they do not fit together.
    """
    hosts, ports = spec.hosts, spec.ports
    if len(hosts) > 1 and len(ports) > 1 and len(hosts) != len(ports):
        raise TargetError("host", _mismatch(len(hosts), len(ports)))
    count = max(len(hosts), len(ports))
    if "replicas" in spec.model_fields_set and spec.replicas not in {1, count}:
        raise TargetError("host", _mismatch(len(hosts), spec.replicas))
    return [
        _target(spec, hosts[index % len(hosts)], ports[index % len(ports)] if ports else None) for index in range(count)
    ]


def _mismatch(hosts: int, replicas: int) -> str:
    return f"Number of hosts ({hosts}) does not match the number of replicas ({replicas})"


def _target(spec: DeploymentSpec, text: str, port: int | None) -> Target:
    try:
        address = split_address(text)
    except ValueError as exc:
        raise TargetError("host", str(exc)) from exc
    if address.port is not None and port not in {None, address.port}:
        raise TargetError("port", f"the host {text!r} says it already; there can't be two definitions")
    number = address.port or port
    if number is None:
        raise TargetError("port", f"missing: where to connect to on {text!r}")
    protocol, tls = SCHEMES[address.scheme] if address.scheme else (spec.protocols[0], spec.tls)
    return Target(protocol, address.host, number, tls)

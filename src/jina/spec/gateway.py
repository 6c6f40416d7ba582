"""What a user asks of a gateway: its faces, and how it takes and sends requests."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from jina.spec.base import Spec
from jina.spec.options import (
    GatewayOptions,
    HopOptions,
    ProcessOptions,
    ServerOptions,
)
from jina.spec.options_limits import AccessOptions, InflightOptions
from jina.spec.options_platform import ContainerOptions, InternalOptions, TelemetryOptions
from jina.spec.types import Count, Flag, Index, JsonMapped, Mapped, Provider, Text, TextList, TextListFromJson


class GraphOptions(Spec):
    """The graph of a gateway that runs alone, as JSON."""

    graph_description: JsonMapped = Field(default={})
    """Executor -> those after it, from `start-gateway` to `end-gateway`."""

    graph_conditions: JsonMapped = Field(default={})
    """Executor -> its condition on documents."""

    deployments_addresses: JsonMapped = Field(default={})
    """Executor -> the addresses of its replicas, such as `["grpc://127.0.0.1:1234"]`."""

    deployments_metadata: JsonMapped = Field(default={})
    """Executor -> gRPC metadata sent with every request to it."""

    deployments_no_reduce: TextListFromJson = Field(default=[])
    """Executors that get several inputs without merging them."""


class GatewaySpec(
    InternalOptions,
    ContainerOptions,
    TelemetryOptions,
    GraphOptions,
    HopOptions,
    GatewayOptions,
    InflightOptions,
    AccessOptions,
    ServerOptions,
    ProcessOptions,
):
    """The gateway of a Flow."""

    name: Text = "gateway"
    """Name of the gateway in logs."""

    uses: Any = None
    """A gateway class of your own, its import path or name, or a YAML file; unset: the built-in one."""

    uses_with: Mapped | None = None
    """Arguments of the gateway class's `__init__`; they override `with` of its YAML."""

    uses_metas: Mapped | None = None
    """Overrides `metas` of the gateway's YAML."""

    py_modules: TextList | None = None
    """Python files or modules to import before the gateway class is looked up."""

    extra_search_paths: TextList = Field(default=[])
    """Folders in which YAML files and `py_modules` are looked up as well."""

    replica_id: Index = 0
    """Which replica this process is."""

    replicas: Count = 1
    """Copies of the gateway, for Kubernetes."""

    reload: Flag = False
    """Reload the gateway when its files change."""

    provider: Provider = "NONE"
    """Cloud whose conventions the server follows: sagemaker or azure."""

    provider_endpoint: Text | None = None
    """Endpoint that the provider's route calls."""

    runtime_cls: Text = "GatewayRuntime"
    """Kind of process."""

    pod_role: Any = "GATEWAY"
    """Role of the process."""


def gateway_of(owner: Spec, own: GatewaySpec | None = None) -> GatewaySpec:
    """The gateway in front of a Deployment or a Flow: `own` options, then those of the owner that it has as well.

    Nothing is validated again, because the values were.
    """
    shared = (type(owner).model_fields.keys() & GatewaySpec.model_fields.keys()) - _NOT_THE_GATEWAYS
    values = {name: getattr(owner, name) for name in shared}
    given = owner.model_fields_set & shared
    if own is not None:
        values |= {name: getattr(own, name) for name in own.model_fields_set}
        given |= own.model_fields_set
    gateway = GatewaySpec.model_construct(given, **values)
    return gateway.in_folder(own.folder if own is not None and own.folder else owner.folder)


_NOT_THE_GATEWAYS = {
    "name", "uses", "uses_with", "uses_metas", "py_modules", "replicas", "reload", "runtime_cls", "pod_role",
}  # fmt: skip

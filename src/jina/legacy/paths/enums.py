# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.enums` of Jina 3."""

from jina.legacy.enums import (
    BetterEnum as BetterEnum,
    DataInputType as DataInputType,
    DeploymentRoleType as DeploymentRoleType,
    DockerNetworkMode as DockerNetworkMode,
    FlowBuildLevel as FlowBuildLevel,
    FlowInspectType as FlowInspectType,
    GatewayProtocolType as GatewayProtocolType,
    LogVerbosity as LogVerbosity,
    PodRoleType as PodRoleType,
    PollingType as PollingType,
    ProtocolType as ProtocolType,
    ProviderType as ProviderType,
    WebsocketSubProtocols as WebsocketSubProtocols,
)

__all__ = [
    "BetterEnum",
    "DataInputType",
    "DeploymentRoleType",
    "DockerNetworkMode",
    "FlowBuildLevel",
    "FlowInspectType",
    "GatewayProtocolType",
    "LogVerbosity",
    "PodRoleType",
    "PollingType",
    "ProtocolType",
    "ProviderType",
    "WebsocketSubProtocols",
]

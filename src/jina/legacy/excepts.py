"""Exceptions of `jina.excepts`: those of `jina.errors`, and the few that only Flows, containers or RAFT raise."""

from __future__ import annotations

from jina.errors import (
    BadClient,
    BadClientCallback,
    BadClientInput,
    BadConfigSource,
    BadServer,
    BadYAMLVersion,
    ConfigError,
    ExecutorError,
    FlowBuildLevelError,
    FlowTopologyError,
    JinaError,
    NoContainerizedError,
    NotSupportedError,
    PortAlreadyUsed,
    RuntimeFailToStart,
    Unavailable,
)

BaseJinaException = JinaError
BadServerFlow = BadServer
EstablishGrpcConnectionError = Unavailable
ExecutorFailToLoad = RuntimeFailToStart
InternalNetworkError = Unavailable


class RuntimeTerminated(JinaError, KeyboardInterrupt):
    """Raised inside a handler, it ends the worker."""


class FlowMissingDeploymentError(ConfigError):
    """A Flow names a Deployment that it does not have."""


class BadDocType(JinaError, TypeError):
    """A document does not hold what the Executor needs."""


class BadRequestType(JinaError, TypeError):
    """The request is of a class that is not served."""


class BadImageNameError(ConfigError):
    """There is no container image of that name."""


class RuntimeRunForeverEarlyError(JinaError):
    """A worker ended before it was told to."""


class NoAvailablePortError(JinaError):
    """No port is free."""


class DockerVersionError(JinaError, SystemError):
    """The container engine is too old."""


__all__ = [
    "BadClient", "BadClientCallback", "BadClientInput", "BadConfigSource", "BadDocType", "BadImageNameError",
    "BadRequestType", "BadServer", "BadServerFlow", "BadYAMLVersion", "BaseJinaException", "DockerVersionError",
    "EstablishGrpcConnectionError", "ExecutorError", "ExecutorFailToLoad", "FlowBuildLevelError",
    "FlowMissingDeploymentError", "FlowTopologyError", "InternalNetworkError", "NoAvailablePortError",
    "NoContainerizedError", "NotSupportedError", "PortAlreadyUsed",
    "RuntimeFailToStart", "RuntimeRunForeverEarlyError", "RuntimeTerminated",
]  # fmt: skip

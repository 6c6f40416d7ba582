"""Enumerations of `jina.enums`; names and numbers are those of Jina 3."""

from __future__ import annotations

import enum
from typing import Self

from jina.errors import ConfigError, nearest


class BetterEnum(enum.IntEnum):
    """A number with a name that can be written in any case."""

    @classmethod
    def from_string(cls, text: str) -> Self:
        """The member of that name; raises `ConfigError` (a `ValueError`) naming the nearest."""
        try:
            return cls[text.upper()] if text.upper() in cls.__members__ else cls[text.lower()]
        except KeyError:
            near = nearest(text.upper(), cls.__members__)
            hint = f"; did you mean {near!r}?" if near else f"; there are {', '.join(cls.__members__)}"
            raise ConfigError(f"{text} is not a valid enum for {cls.__name__}{hint}") from None

    def __str__(self) -> str:
        return self.name


class PollingType(BetterEnum):
    """Which shards get a request."""

    ANY = 1
    ALL = 2
    ALL_ASYNC = 3


class LogVerbosity(BetterEnum):
    """Levels of log lines."""

    DEBUG = 10
    INFO = 20
    SUCCESS = 25
    WARNING = 30
    ERROR = 40
    CRITICAL = 50


class FlowBuildLevel(BetterEnum):
    """How far a Flow has come."""

    EMPTY = 0
    GRAPH = 1
    RUNNING = 2


class DockerNetworkMode(BetterEnum):
    """Network of a container."""

    AUTO = 0
    HOST = 1
    BRIDGE = 2
    NONE = 3


class ProtocolType(BetterEnum):
    """Protocols of a server."""

    GRPC = 0
    HTTP = 1
    WEBSOCKET = 2


GatewayProtocolType = ProtocolType


class PodRoleType(BetterEnum):
    """What a process does."""

    HEAD = 0
    WORKER = 1
    GATEWAY = 2


class DeploymentRoleType(BetterEnum):
    """What a Deployment does in a Flow."""

    DEPLOYMENT = 0
    JOIN = 1
    INSPECT = 2
    GATEWAY = 3
    INSPECT_AUX_PASS = 4
    JOIN_INSPECT = 5


class FlowInspectType(BetterEnum):
    """What becomes of Deployments that inspect."""

    HANG = 0
    REMOVE = 1
    COLLECT = 2


class DataInputType(BetterEnum):
    """How inputs of a client are read."""

    AUTO = 0
    DOCUMENT = 1
    CONTENT = 2
    DICT = 3


class WebsocketSubProtocols(enum.StrEnum):
    """Body of WebSocket messages."""

    JSON = "json"
    BYTES = "bytes"


class ProviderType(BetterEnum):
    """Cloud whose conventions a server follows."""

    NONE = 0
    SAGEMAKER = 1
    AZURE = 2

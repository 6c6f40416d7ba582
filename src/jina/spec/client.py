"""What a user asks of a client."""

from __future__ import annotations

from typing import Annotated, cast

from pydantic import Field, PlainValidator, WithJsonSchema

from jina.spec.access import ApiKey
from jina.spec.address import SCHEMES, Protocol, Target, split_address
from jina.spec.base import Spec
from jina.spec.options import default_host
from jina.spec.types import Count, Flag, Index, Mapped, Port, Text, choice

OneProtocol = Annotated[
    str,
    PlainValidator(choice("grpc", "http", "websocket")),
    WithJsonSchema({"type": "string", "enum": ["grpc", "http", "websocket"]}),
]


class ClientSpec(Spec):
    """A client and the service that it talks to."""

    host: Text = Field(default_factory=default_host, validate_default=True)
    """Host name or address, or all in one: `grpc://host:port`, also grpcs, http, https, ws, wss."""

    port: Port | None = None
    """Port of the service; unset: that of the address, else 80, with TLS 443."""

    protocol: OneProtocol = "grpc"
    """Protocol: grpc, http or websocket."""

    tls: Flag = False
    """Connect by TLS."""

    api_key: ApiKey | None = Field(default=None, repr=False)
    """Key that is sent with each call, as `X-API-Key`."""

    ssl_ca_certs: Text | None = None
    """File of the authorities (PEM) to trust instead of the usual ones."""

    ssl_certfile: Text | None = None
    """File of the client's certificate (PEM), for servers that ask for one; needs `ssl_keyfile`."""

    ssl_keyfile: Text | None = None
    """File of the certificate's private key (PEM)."""

    cors: Flag = False
    """For servers alone; accepted because Jina 3 takes it."""

    asyncio: Flag = False
    """Give the client whose methods are coroutines."""

    prefetch: Index = 1000
    """Requests in flight at the same time; 0: no limit."""

    proxy: Flag = False
    """Use the proxies that the environment names."""

    reuse_session: Flag = False
    """Keep HTTP connections open between calls."""

    grpc_channel_options: Mapped | None = None
    """Options of the gRPC channel."""

    max_message_size: Count = 64 * 1024 * 1024
    """Largest request or reply in bytes."""

    log_config: Text = "default"
    """For servers alone: logging of your program is yours to configure."""

    suppress_root_logging: Flag = False
    """Leave the root logger alone, which is what happens anyway."""

    tracing: Flag = False
    """Send the spans of your program to a collector by OTLP; needs the extra `otel`."""

    traces_exporter_host: Text | None = None
    """Host of the collector of traces; without host and port OpenTelemetry's own variables say it."""

    traces_exporter_port: Port | None = None
    """Port of the collector of traces; unset: 4317."""

    metrics: Flag = False
    """For servers alone: a client counts nothing."""

    metrics_exporter_host: Text | None = None
    """For servers alone."""

    metrics_exporter_port: Port | None = None
    """For servers alone."""

    @property
    def target(self) -> Target:
        """Where to connect: the address taken apart, with the other options and their defaults filled in."""
        protocol, tls = cast("Protocol", self.protocol), self.tls
        address = split_address(self.host)
        if address.scheme is not None:
            protocol, tls = SCHEMES[address.scheme]
        return Target(protocol, address.host, address.port or self.port or (443 if tls else 80), tls)

"""A served certificate, checked before a port is opened."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jina.errors import ConfigError
from jina.plan.plans import TlsPlan

if TYPE_CHECKING:
    import grpc


def read_file(path: str, option: str) -> bytes:
    """The bytes of a certificate or key file; raises `ConfigError` naming the option."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"{option}: cannot read {path!r}: {error.strerror}") from error


def check_certificate(plan: TlsPlan) -> None:
    """Raise `ConfigError` where the files are missing, no PEM, or the key is not the certificate's."""
    read_file(plan.certfile, "ssl_certfile")
    read_file(plan.keyfile, "ssl_keyfile")
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(plan.certfile, plan.keyfile)
    except ssl.SSLError as error:
        raise ConfigError(
            f"ssl_certfile {plan.certfile!r} and ssl_keyfile {plan.keyfile!r} are no certificate: {error.reason}",
            help="both must be PEM files, and the key must belong to the certificate",
        ) from error


def grpc_credentials(plan: TlsPlan) -> grpc.ServerCredentials:
    """Credentials of a gRPC port; with `ca_file` clients must show a certificate signed by it."""
    import grpc

    untyped: Any = grpc  # grpcio has annotations here and there only
    check_certificate(plan)
    pair = (read_file(plan.keyfile, "ssl_keyfile"), read_file(plan.certfile, "ssl_certfile"))
    authority = read_file(plan.ca_file, "ca_file") if plan.ca_file else None
    credentials: grpc.ServerCredentials = untyped.ssl_server_credentials(
        [pair], root_certificates=authority, require_client_auth=authority is not None
    )
    return credentials


def uvicorn_options(plan: TlsPlan) -> dict[str, Any]:
    """The same as keyword arguments of `uvicorn.Config`."""
    check_certificate(plan)
    options: dict[str, Any] = {"ssl_certfile": plan.certfile, "ssl_keyfile": plan.keyfile}
    if plan.ca_file:
        read_file(plan.ca_file, "ca_file")
        options |= {"ssl_ca_certs": plan.ca_file, "ssl_cert_reqs": ssl.CERT_REQUIRED}
    return options

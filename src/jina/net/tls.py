"""Certificates of servers, checked before a port is opened, and those of clients."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import time
from collections.abc import Callable
from typing import Any

from jina.errors import ConfigError
from jina.net.channel import TlsFiles
from jina.observe import logs
from jina.plan.plans import TlsPlan

INTERVAL = 2.0
"""Seconds between two looks at the files of a certificate that is served."""
_log = logs.get_logger("tls")


def read_file(path: str, option: str) -> bytes:
    """The bytes of a certificate or key file; raises `ConfigError` naming the option."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise ConfigError(f"{option}: cannot read {path!r}: {error.strerror}") from error


def check_certificate(plan: TlsPlan) -> None:
    """Raise `ConfigError` where the files are missing, no PEM, or the key is not the certificate's."""
    read_file(plan.certfile, "ssl_certfile")
    read_file(plan.keyfile, "ssl_keyfile")
    if plan.ca_file:
        client_context(TlsFiles(ca=plan.ca_file))
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(plan.certfile, plan.keyfile)
    except ssl.SSLError as error:
        raise ConfigError(
            f"ssl_certfile {plan.certfile!r} and ssl_keyfile {plan.keyfile!r} are not a certificate and its key:"
            f" {error.reason}",
            help="both must be PEM files, and the key must belong to the certificate",
        ) from error


class Renewal:
    """Notices that the files of a certificate were replaced by others that fit together."""

    def __init__(self, plan: TlsPlan, clock: Callable[[], float] = time.monotonic) -> None:
        self._plan = plan
        self._clock = clock
        self._seen = self._stamps()
        self._next = clock() + INTERVAL

    def due(self) -> bool:
        """Whether there is another certificate than the last time; for any thread, looks every `INTERVAL` seconds."""
        if self._clock() < self._next:
            return False
        self._next = self._clock() + INTERVAL
        stamps = self._stamps()
        if stamps == self._seen:
            return False
        try:
            check_certificate(self._plan)
        except ConfigError as error:  # one file may come a moment before the other
            _log.warning("the previous certificate stays in use: %s", error.message)
            return False
        self._seen = stamps
        _log.info("the certificate of %s is used from now on", self._plan.certfile)
        return True

    def _stamps(self) -> list[tuple[int, int, int]]:
        found = []
        for path in (self._plan.certfile, self._plan.keyfile):
            with contextlib.suppress(OSError):
                status = os.stat(path)
                found.append((status.st_mtime_ns, status.st_size, status.st_ino))
        return found


def grpc_context(plan: TlsPlan) -> ssl.SSLContext:
    """How a gRPC port is encrypted; with `ca_file` clients must show a certificate signed by it."""
    check_certificate(plan)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(plan.certfile, plan.keyfile)
    if plan.ca_file:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(plan.ca_file)
    context.set_alpn_protocols(["h2"])
    return context


async def renew(plan: TlsPlan, context: ssl.SSLContext) -> None:
    """Renew the certificate of new connections from the files; runs until it is cancelled."""
    renewal = Renewal(plan)
    while True:
        await asyncio.sleep(INTERVAL)
        if renewal.due():
            with contextlib.suppress(OSError):  # replaced once more in this moment
                context.load_cert_chain(plan.certfile, plan.keyfile)


def client_context(files: TlsFiles) -> ssl.SSLContext:
    """How to connect by TLS; raises `ConfigError` for files that are not certificates."""
    if files.ca:
        read_file(files.ca, "ssl_ca_certs")
    try:
        context = ssl.create_default_context(cafile=files.ca)
    except ssl.SSLError as error:
        raise ConfigError(f"ssl_ca_certs: {files.ca!r} has no certificates: {error.reason}") from error
    if files.certificate and files.key:
        check_certificate(TlsPlan(certfile=files.certificate, keyfile=files.key))
        context.load_cert_chain(files.certificate, files.key)
    return context


def uvicorn_options(plan: TlsPlan) -> dict[str, Any]:
    """The same as keyword arguments of `uvicorn.Config`."""
    check_certificate(plan)
    options: dict[str, Any] = {"ssl_certfile": plan.certfile, "ssl_keyfile": plan.keyfile}
    if plan.ca_file:
        options |= {"ssl_ca_certs": plan.ca_file, "ssl_cert_reqs": ssl.CERT_REQUIRED}
    return options

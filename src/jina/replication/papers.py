"""How whoever operates a group shows an agent a certificate, and looks at the agent's."""

from __future__ import annotations

import socket
import ssl
from typing import NamedTuple

from jina.errors import ConfigError, Unavailable


class Papers(NamedTuple):
    """Files of a replica's certificate, of its key and of the authorities; without these, those of the system."""

    certfile: str
    keyfile: str
    ca_file: str | None = None


def safe(sock: socket.socket, host: str, papers: Papers) -> ssl.SSLSocket:
    """The connection by TLS 1.3.

    An agent is trusted as it trusts others, see `consensus/tls.go`: by the very same certificate, or by one of the
    authorities that is for the host.
    """
    own = _context(papers, strict=False).wrap_socket(sock)
    if own.getpeercert(binary_form=True) == _first(papers.certfile):
        return own
    try:
        address = own.getpeername()[:2]
        timeout = own.gettimeout()
    finally:
        own.close()
    again = socket.create_connection(address, timeout=timeout)
    try:
        return _context(papers, strict=True).wrap_socket(again, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        raise Unavailable(
            f"the agent at {host} is not trusted: {error.verify_message}",
            help="give the authority that signed the certificates of the group: ssl_ca_certs, or --ssl-ca-certs",
        ) from None
    finally:
        again.close()  # nothing happens where the safe one has taken it over


def _context(papers: Papers, *, strict: bool) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=papers.ca_file)
        context.load_cert_chain(papers.certfile, papers.keyfile)
    except OSError as error:  # of ssl too
        raise ConfigError(f"{papers.certfile}, {papers.keyfile} or the authorities cannot be read: {error}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if not strict:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _first(path: str) -> bytes:
    with open(path, encoding="ascii") as file:
        text = file.read()
    begin = text.index("-----BEGIN CERTIFICATE-----")
    end = text.index("-----END CERTIFICATE-----", begin) + len("-----END CERTIFICATE-----")
    return ssl.PEM_cert_to_DER_cert(text[begin:end])

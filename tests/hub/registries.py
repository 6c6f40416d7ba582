"""Registries for tests: Debian's docker-registry in a process, and a server that misbehaves as a test says."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import hashlib
import http.server
import json
import shutil
import signal
import socket
import socketserver
import ssl
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID
from tests.certificates import Certificate

USER, PASSWORD = "ada", "pass word"
HASH = "$2y$05$abcdefghijklmnopqrstuuIt/9/tGzLcigNq/.RWIDjeEVR30RSf."
"""bcrypt of the password: docker-registry takes no other hash."""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class DockerRegistry:
    """docker-registry (Debian) on loopback; `kill` and `start` keep port and contents."""

    def __init__(self, folder: Path, *, certificate: Certificate | None = None, auth: str = "") -> None:
        if shutil.which("docker-registry") is None:
            pytest.skip("docker-registry is not installed: apt-get install docker-registry")
        self.folder, self.port, self.certificate = folder, free_port(), certificate
        self.host = f"127.0.0.1:{self.port}"
        folder.mkdir(parents=True, exist_ok=True)
        users = folder / "users"
        users.write_text(f"{USER}:{HASH}\n")
        config = {
            "version": 0.1,
            "log": {"level": "warn", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
            "http": {"addr": self.host, "secret": "the same after a restart"},
        }
        if certificate is not None:
            config["http"]["tls"] = {"certificate": certificate.file, "key": certificate.key}
        if auth == "basic":
            config["auth"] = {"htpasswd": {"realm": "tests", "path": str(users)}}
        elif auth:
            config["auth"] = json.loads(auth)
        (folder / "config.yml").write_text(json.dumps(config))
        self.process: subprocess.Popen | None = None

    def start(self) -> DockerRegistry:
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(
            ["docker-registry", "serve", str(self.folder / "config.yml")], stdout=log, stderr=log,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        log.close()
        until = time.monotonic() + 60
        while True:
            if self.process.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"docker-registry did not start: {(self.folder / 'log').read_text()[-2000:]}")
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return self
            time.sleep(0.05)  # a process of another language: there is nothing to wait for but its port

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def blobs(self) -> set[str]:
        found = (self.folder / "data/docker/registry/v2/blobs/sha256").glob("*/*/data")
        return {file.parent.name for file in found}


@contextlib.contextmanager
def docker_registry(folder: Path, **options) -> Iterator[DockerRegistry]:
    registry = DockerRegistry(folder, **options)
    try:
        yield registry.start()
    finally:
        registry.kill()


Answer = tuple[int, dict[str, str], bytes]


@dataclass
class Odd:
    """An HTTP server whose `answer` decides everything; `asked` are method, path and headers of what came."""

    answer: Callable[[str, str, dict[str, str], bytes], Answer]
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    port: int = 0
    sent: int = 0
    """Bytes of bodies that the client took."""

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"


@contextlib.contextmanager
def odd(
    answer: Callable[[str, str, dict[str, str], bytes], Answer], certificate: Certificate | None = None
) -> Iterator[Odd]:
    """A server on loopback. An answer whose header `X-Break` is there is cut off after that many bytes of its body."""
    server = Odd(answer)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = dict(self.headers.items())
            server.asked.append((self.command, self.path, headers))
            status, given, content = server.answer(self.command, self.path, headers, body)
            cut = given.pop("X-Break", None)
            self.send_response(status)
            for name, text in {"Content-Length": str(len(content)), **given}.items():
                if text or name != "Content-Length":
                    self.send_header(name, text)
            self.end_headers()
            if self.command != "HEAD":
                rest = memoryview(content if cut is None else content[: int(cut)])
                for start in range(0, len(rest), 1 << 20):
                    server.sent += self.wfile.write(rest[start : start + (1 << 20)])
            if cut is not None:
                self.wfile.flush()
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _any

        def log_message(self, *args) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request, client_address) -> None:
            pass  # connections that a test breaks

    with Server(("127.0.0.1", 0), Handler) as running:
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate.file, certificate.key)
            running.socket = context.wrap_socket(running.socket, server_side=True)
        server.port = running.server_address[1]
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            running.shutdown()
            thread.join()


def sha(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Tokens:
    """What a token server answers (https://distribution.github.io/distribution/spec/auth/token/), for `odd`.

    `ada` may push and pull, everybody else may pull; a token is signed with the key of the certificate that the
    registry is told.
    """

    SERVICE = "registry of the tests"

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._key = rsa.generate_private_key(65537, 2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tokens")])
        now = dt.datetime.now(dt.UTC)
        made = x509.CertificateBuilder(name, name, self._key.public_key(), x509.random_serial_number())
        made = made.not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=1))
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
        self._certificate = made.sign(self._key, hashes.SHA256())
        self.root = folder / "tokens.pem"
        self.root.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))
        self.given: list[tuple[str, list[str]]] = []
        """The user (empty: nobody) and the scopes of each token."""

    def auth(self, server: Odd) -> str:
        """How docker-registry is told of it."""
        realm = f"https://{server.host}/token"
        return json.dumps({"token": {"realm": realm, "service": self.SERVICE, "issuer": "tests",
                                     "rootcertbundle": str(self.root)}})  # fmt: skip

    def __call__(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        asked = urllib.parse.parse_qs(urllib.parse.urlsplit(path).query)
        user, given = "", headers.get("Authorization", "")
        if given:
            user, _, password = base64.b64decode(given.removeprefix("Basic ")).decode().partition(":")
            if (user, password) != (USER, PASSWORD):
                return 401, {}, b""
        access = []
        for scope in asked.get("scope", []):
            kind, name, actions = scope.split(":")
            allowed = [one for one in actions.split(",") if one == "pull" or user]
            access.append({"type": kind, "name": name, "actions": allowed})
        self.given.append((user, [f"{one['name']}:{','.join(one['actions'])}" for one in access]))
        now = int(time.time())
        claims = {"iss": "tests", "sub": user, "aud": self.SERVICE, "exp": now + 300, "nbf": now - 60, "iat": now,
                  "jti": str(len(self.given)), "access": access}  # fmt: skip
        return 200, {"Content-Type": "application/json"}, json.dumps({"token": self._signed(claims)}).encode()

    def _signed(self, claims: dict[str, object]) -> str:
        """A JSON Web Token (RFC 7519), RS256, with the certificate of the key."""
        own = base64.b64encode(self._certificate.public_bytes(serialization.Encoding.DER)).decode()
        parts = ({"typ": "JWT", "alg": "RS256", "x5c": [own]}, claims)
        text = ".".join(_base64url(json.dumps(part).encode()) for part in parts)
        return f"{text}.{_base64url(self._key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass
class Counted:
    """A relay in front of a port; `sent` are the bytes that clients sent through it."""

    port: int = 0
    sent: int = 0
    on_sent: Callable[[int], None] = lambda _: None
    """Called with `sent` as it grows."""

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"


@contextlib.contextmanager
def counted(port: int) -> Iterator[Counted]:
    """Relay connections to a port of this machine, and count what is sent there."""
    found = Counted()

    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", port)) as other:
                back = threading.Thread(target=_pass_on, args=(other, self.request))
                back.start()
                for size in _moved(self.request, other):
                    found.sent += size
                    found.on_sent(found.sent)
                back.join()

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Relay) as running:
        found.port = running.server_address[1]
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield found
        finally:
            running.shutdown()
            thread.join()


def _moved(source: socket.socket, target: socket.socket) -> Iterator[int]:
    """Move bytes until the source ends, and tell the target; gives the size of each piece."""
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
            yield len(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    for _ in _moved(source, target):
        pass

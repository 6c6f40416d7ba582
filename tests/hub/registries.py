"""Registries for tests: Debian's docker-registry in a process, and a server that misbehaves as a test says."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
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

"""What web pages of others may do, and what our own page does with names from outside; keys of any characters."""

import asyncio
import json
import pkgutil
import re

import pytest

from jina.config.types import digest_of
from jina.plan.plans import AccessPlan, HttpPlan, KeyPlan
from tests.server.sample_service import SampleService, authority, run, served

SCRIPT = "</script><img src=x onerror=alert(1)>'\"<svg onload=alert(1)>"
ORIGIN = b"Origin: https://evil.example\r\n"
PREFLIGHT = ORIGIN + (
    b"Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type\r\n"
    b"Access-Control-Request-Private-Network: true\r\n"
)


async def answer(server, start, headers=b"", body=b""):
    """Status, headers and body of the answer to a request."""
    host, port = authority(server).split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = b"%b HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n" % (start, len(body))
    writer.write(head + headers + b"\r\n" + body)
    heard = await reader.read()
    writer.close()
    head, _, body = heard.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").lower().split("\r\n")
    return int(first.split()[1]), dict(line.split(": ", 1) for line in lines), body


def test_the_page_puts_nothing_into_html():
    page = (pkgutil.get_data("jina.server", "docs.html") or b"").decode()
    assert "textContent" in page
    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|srcdoc|javascript:"
    assert not re.search(forbidden, page)
    assert not re.search(r"location\.(hash|search|href)", page)


@pytest.mark.parametrize("path", ["/docs", "/nothing", "/openapi.json", "/redoc", "/readyz", "/echo"])
def test_names_from_code_and_url_are_no_html(path):
    from urllib.parse import quote

    async def main():
        plan = HttpPlan(title=SCRIPT, description=SCRIPT, version=SCRIPT)
        async with served(SampleService(), "http", http=plan) as server:
            for hostile in (f"{path}?verbose={quote(SCRIPT)}&asset={quote(SCRIPT)}", path + "/" + quote(SCRIPT)):
                _, headers, body = await answer(server, b"GET " + hostile.encode())
                if SCRIPT.encode()[:20] in body:
                    assert headers["content-type"].startswith(("application/json", "text/plain"))
                if headers.get("content-type", "").startswith("text/html"):
                    assert b"alert(1)" not in body
                assert "alert(1)" not in json.dumps(headers)

    run(main())


REQUESTS = [(b"POST /echo", b"Content-Type: application/json\r\n", b'[{"text": "a"}]'), (b"GET /docs", b"", b""),
            (b"GET /nothing", b"", b""), (b"GET /status", b"", b"")]  # fmt: skip


def test_without_cors_no_page_of_others_may_read():
    async def main():
        async with served(SampleService(), "http") as server:
            for start, headers, body in REQUESTS:
                _, found, _ = await answer(server, start, ORIGIN + headers, body)
                assert not [name for name in found if name.startswith("access-control")]
            _, found, _ = await answer(server, b"OPTIONS /echo", PREFLIGHT)
            assert not [name for name in found if name.startswith("access-control")]

    run(main())


def test_with_cors_pages_may_read_but_not_as_their_visitor():
    async def main():
        async with served(SampleService(), "http", http=HttpPlan(cors=True)) as server:
            for start, headers, body in REQUESTS:
                _, found, _ = await answer(server, start, ORIGIN + headers, body)
                assert found["access-control-allow-origin"] == "*"
                assert "access-control-allow-credentials" not in found
            status, found, _ = await answer(server, b"OPTIONS /echo", PREFLIGHT)
            assert (status, found["access-control-allow-origin"]) == (200, "*")
            assert not {"access-control-allow-credentials", "access-control-allow-private-network"} & set(found)
            for value in (b"\xff\xfe", b"a, b;c=<x>", b"x" * 5000):
                asked = PREFLIGHT.replace(b"Headers: content-type", b"Headers: " + value)
                assert (await answer(server, b"OPTIONS /echo", asked))[0] == 200

    run(main())


KEYS = ["k", "a" * 5000, "schlüssel", "ключ", "\U0001f511", "\xa0", " spaced key ", "sha256:" + "0" * 64]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("header", ["X-API-Key: ", "Authorization: Bearer "])
def test_keys_of_any_characters(key, header):
    """A wrong one is refused as such, and a right one opens, however long and in whatever characters."""

    async def main():
        right = "schlüssel-ключ"
        access = AccessPlan(keys=[KeyPlan(name="a", digest=digest_of(right), scopes=["status"])])
        async with served(SampleService(), "http", access=access) as server:
            status, _, body = await answer(server, b"GET /status", (header + key + "\r\n").encode())
            assert (status, json.loads(body)["code"]) == (401, "Unauthenticated")
            assert key.encode() not in body or len(key) < 3
            status, _, _ = await answer(server, b"GET /status", f"{header}{right}\r\n".encode())
            assert status == 200

    run(main())


HANDSHAKE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
OTHERS = [
    "https://evil.example",
    "http://x.evil.example:80",
    "http://evil.example/x",
    "null",
    "",
    "http://[",
    "x",
    "http://",
]
SAME = ["http://x", "https://x", "http://X:3000", "http://x:80"]


async def handshake(server, origin, path=b"GET /", host=b"x"):
    """Status and body of the answer to a WebSocket handshake of a page."""
    address, port = authority(server).split(":")
    reader, writer = await asyncio.open_connection(address, int(port))
    page = b"" if origin is None else b"Origin: " + origin.encode() + b"\r\n"
    writer.write(b"%b HTTP/1.1\r\nHost: %b\r\n" % (path, host) + page + HANDSHAKE + b"\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head.split()[1])
    body = b"" if status == 101 else await reader.read()
    writer.close()
    return status, body


@pytest.mark.parametrize("protocol", ["websocket", "http"])
@pytest.mark.parametrize("path", [b"GET /", b"GET /echo", b"GET /dry_run"])
def test_without_cors_no_page_of_another_host_opens_a_websocket(protocol, path):
    """Browsers leave that to servers; what a page may open it may read."""

    async def main():
        async with served(SampleService(), protocol) as server:
            for origin in OTHERS:
                status, body = await handshake(server, origin, path)
                assert status == 403, origin
                content = json.loads(body)
                assert content["code"] == "PermissionDenied"
                assert "cors=True" in content["help"]
            for origin in (None, *SAME):
                assert (await handshake(server, origin, path))[0] == 101, origin
            assert (await handshake(server, "http://[::1]:3000", path, b"[::1]:80"))[0] == 101

    run(main())


def test_with_cors_pages_of_any_host_open_websockets():
    async def main():
        async with served(SampleService(), "websocket", http=HttpPlan(cors=True)) as server:
            for origin in ("https://evil.example", "null"):
                assert (await handshake(server, origin))[0] == 101

    run(main())

"""The page: one file with everything in it, and what a browser may do with it."""

from __future__ import annotations

import base64
import functools
import hashlib
import pkgutil
import re
from typing import NamedTuple

from jina.server.http import Header

_ELEMENT = re.compile(rb"<(script|style)\b[^>]*>(.*?)</\1>", re.DOTALL)
_SOURCES = "img-src 'self' data: blob:; media-src 'self' data: blob:; connect-src 'self'; font-src data:"
_NOTHING_ELSE = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


class Page(NamedTuple):
    """The bytes of the file, its headers, and its entity tag."""

    body: bytes
    headers: tuple[Header, ...]
    etag: str


@functools.cache
def page() -> Page:
    """The page, read once."""
    body = pkgutil.get_data(__name__, "page.html") or b""
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = (
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-security-policy", policy(body).encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"cross-origin-opener-policy", b"same-origin"),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"cache-control", b"no-store"),
        (b"etag", etag.encode()),
    )
    return Page(body, headers, etag)


def policy(body: bytes) -> str:
    """The Content-Security-Policy of a page (https://www.w3.org/TR/CSP3): only its own scripts and styles, by hash."""
    hashes: dict[str, list[str]] = {"script": [], "style": []}
    for kind, content in _ELEMENT.findall(body):
        digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
        hashes[kind.decode()].append(f"'sha256-{digest}'")
    scripts, styles = (" ".join(found) or "'none'" for found in hashes.values())
    return f"default-src 'none'; script-src {scripts}; style-src {styles}; {_SOURCES}; {_NOTHING_ELSE}"

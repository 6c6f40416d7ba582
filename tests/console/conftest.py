"""The page of the console in Debian's Chromium, over real services; without it (scripts/env.sh console) all is skipped.

The browser resolves no names, and each test fails where the page asked any origin but its own, or wrote an error.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self
from urllib.request import Request, urlopen

import pytest

from jina import Deployment, Flow
from tests.console.executors import Encoder, Ranker, Sample

ROOT = Path(__file__).parents[2]
AXE = ROOT / "console" / "node_modules" / "axe-core" / "axe.min.js"
SHOTS = ROOT / ".cache" / "console-shots"
PATIENCE = 20_000
"""Milliseconds that the page gets for anything."""
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]  # fmt: skip
_ENVIRONMENT = ROOT / ".cache" / "env-console" / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}"
KEYS = {
    "ada": {"key": "sesame-open", "scopes": ["console", "docs", "status", "metrics", "admin"]},
    "bob": {"key": "barley-field", "scopes": ["docs"]},
}


def pytest_collection_modifyitems(items):
    ready = (_ENVIRONMENT / "site-packages" / "playwright").is_dir() and AXE.exists() and shutil.which("chromium")
    for item in items:
        if "tests/console/test_page" in str(item.path) and not ready:
            item.add_marker(pytest.mark.skip(reason="no browser: scripts/env.sh console"))


@pytest.fixture(
    scope="module"
)  # Playwright keeps an event loop running in this thread, which other modules cannot have
def browser():
    sys.path.append(str(_ENVIRONMENT / "site-packages"))
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        yield found
        found.close()


@pytest.fixture(scope="session")
def service() -> Iterator[Flow]:
    """A Flow with two branches, and after them an Executor of many endpoints."""
    flow = (
        Flow(name="gallery", protocol="http")
        .add(name="encoder", uses=Encoder, replicas=2)
        .add(name="pictures", uses=Encoder, needs="gateway")
        .add(name="ranker", uses=Ranker, needs=["encoder", "pictures"])
        .add(name="sample", uses=Sample, replicas=2)
    )
    with flow:
        yield flow


@pytest.fixture(scope="session")
def alone() -> Iterator[Deployment]:
    """One Executor without a gateway."""
    with Deployment(name="alone", uses=Sample, protocol="http") as deployment:
        yield deployment


@pytest.fixture(scope="session")
def closed() -> Iterator[Deployment]:
    """One that asks for keys."""
    with Deployment(name="closed", uses=Sample, protocol="http", api_keys=KEYS) as deployment:
        yield deployment


class Look:
    """One tab with the console of a service."""

    def __init__(self, page, port: int) -> None:
        self.page = page
        self.port = port
        self.origin = f"http://127.0.0.1:{port}"
        self.asked: list[str] = []
        self.said: list[str] = []
        page.set_default_timeout(PATIENCE)
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.said.append(f"error: {error}"))

    def go(self, view: str = "overview", rest: str = "", **query: str) -> Look:
        from urllib.parse import quote, urlencode

        search = f"?{urlencode(query)}" if query else ""
        place = f"#/{view}/{quote(rest, safe='')}" if rest else f"#/{view}"
        self.page.goto(f"{self.origin}/console{search}{place}")
        return self

    def endpoint(self, path: str, method: str = "POST") -> Look:
        self.go("playground", f"{method} {path}")
        self.page.get_by_role("heading", name=f"{method} {path}", exact=True).wait_for()
        return self

    def field(self, name: str):
        return self.page.get_by_role("textbox", name=name, exact=True)

    def button(self, name: str):
        return self.page.get_by_role("button", name=name, exact=True)

    def send(self) -> Look:
        self.button("Send").click()
        self.button("Send").wait_for()
        return self

    @property
    def answer(self):
        return self.page.get_by_role("region", name="answer")

    def answered(self, text: str | re.Pattern[str]) -> Look:
        self.answer.get_by_text(text).first.wait_for()
        return self

    def sees(self, text: str | re.Pattern[str]) -> Look:
        self.page.get_by_text(text).first.wait_for()
        return self

    def until(self, script: str, argument: object = None) -> None:
        """Wait until a function of the page's gives true; the browser's own way to wait would need `eval`."""
        deadline = time.monotonic() + PATIENCE / 1000
        while not self.page.evaluate(script, argument):
            assert time.monotonic() < deadline, f"never true: {script}"
            self.page.wait_for_timeout(50)

    def snippet(self, name: str) -> str:
        """What a button copies."""
        self.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        self.button(name).click()
        self.page.get_by_role("button", name="Copied").wait_for()
        return self.page.evaluate("navigator.clipboard.readText()")

    def violations(self) -> list[str]:
        """What axe finds, all rules of WCAG 2.2 A and AA and its good practices."""
        self.page.evaluate(AXE.read_text(encoding="utf-8"))
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{one['id']}: {node['target']} {node['failureSummary']}"
            for one in found["violations"]
            for node in one["nodes"]
        ]

    def check(self) -> None:
        """Nothing was asked of others, nothing took hold of the page, and it wrote no error."""
        foreign = [
            url
            for url in self.asked
            if not url.startswith((self.origin, "data:", "blob:", f"ws://127.0.0.1:{self.port}"))
        ]
        assert foreign == []
        assert self.page.evaluate("window.attacked") is None
        # The browser itself writes a line for each answer that is an error.
        assert [line for line in self.said if "Failed to load resource" not in line] == []


@pytest.fixture
def open_console(browser):
    """Open a tab: `open_console(port, width=390, scheme='dark')`."""
    tabs: list[Look] = []

    def opened(port: int, *, width: int = 1440, height: int = 900, scheme: str = "light", **options: object) -> Look:
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, **options)
        tabs.append(Look(context.new_page(), port))
        return tabs[-1]

    yield opened
    try:
        for tab in tabs:
            tab.check()
    finally:
        for tab in tabs:
            tab.page.context.close()


@pytest.fixture
def look(open_console, service) -> Look:
    """The console of the Flow."""
    return open_console(service.port)


def post(port: int, path: str, body: str, **headers: str) -> bytes:
    request = Request(f"http://127.0.0.1:{port}{path}", body.encode(), {"content-type": "application/json", **headers})
    with urlopen(request, timeout=30) as answer:
        return answer.read()


class Load:
    """Calls an endpoint again and again until it is left."""

    def __init__(self, port: int, path: str = "/encode", body: str = '{"data": [{"text": "hello"}]}') -> None:
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(1)
        self._port, self._path, self._body = port, path, body

    def __enter__(self) -> Self:
        self._running = self._pool.submit(self._run)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._running.result(timeout=30)
        self._pool.shutdown()

    def _run(self) -> None:
        end = time.monotonic() + 60
        while not self._stop.wait(0.02) and time.monotonic() < end:
            post(self._port, self._path, self._body)


def has_agent() -> bool:
    return importlib.util.find_spec("jina_raft") is not None

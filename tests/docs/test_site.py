"""The documentation as a site: nothing of it comes from another origin, and its search works without a network."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from websockets.sync.client import connect

ROOT = Path(__file__).parents[2]
WITHIN = 90.0
CHROMIUM = shutil.which("chromium")
FETCHED = {
    **dict.fromkeys(("script", "img", "iframe", "source", "audio", "video", "embed"), "src"),
    "object": "data", "use": "href", "image": "href",
}  # fmt: skip
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [Path(sys.executable).with_name("mkdocs"), "build", "--strict", "--quiet", "-d", folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return folder


class Loaded(HTMLParser):
    """What a page makes a browser fetch; links for people to follow are none of it."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag == "link" and given.get("rel") not in {"canonical", "prev", "next", "alternate"}:
            self.found.append(given.get("href"))
        if (value := given.get(FETCHED.get(tag, ""))) is not None:
            self.found.append(value)
        self.found += re.findall(r"url\(['\"]?([^'\")]+)", given.get("style") or "")


def outside(address):
    return bool(re.match(r"(?:https?:)?//", address or ""))


def test_pages_and_styles_name_no_other_origin(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 80
    found = set()
    for page in pages:
        loaded = Loaded()
        loaded.feed(page.read_text(encoding="utf-8"))
        assert loaded.found
        found |= {(page.name, address) for address in loaded.found if outside(address)}
    for style in (*site.rglob("*.css"), *site.rglob("*.svg")):
        text = style.read_text(encoding="utf-8")
        named = re.findall(r"(?:url\(|@import\s*)['\"]?([^'\")\s;]+)|href=['\"]([^'\"]+)", text)
        found |= {(style.name, address) for pair in named for address in pair if outside(address)}
    assert found == set()


def test_every_page_is_in_the_navigation():
    listed = re.findall(r"[\w./-]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    pages = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
    assert sorted(listed) == sorted(pages)
    navigation = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8").split("nav:\n")[1])
    assert [next(iter(part)) for part in navigation[:2]] == ["Home", "Install"]
    groups = next(part["How-to"] for part in navigation if "How-to" in part)
    assert all(isinstance(one, str) or isinstance(next(iter(one.values())), list) for one in groups)


def test_the_home_page_shows_a_program_a_picture_and_a_figure(site):
    text = (site / "index.html").read_text(encoding="utf-8")
    assert text.count('<div class="highlight"') == 2  # the program and what it prints
    assert [Path(name).name for name in re.findall(r"<img[^>]*src=\"([^\"]+)", text)][-2:] == [
        "flow.svg", "cpu-per-request.svg",
    ]  # fmt: skip
    assert "assets/logo.svg" in text


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format, *args):
        pass


@contextlib.contextmanager
def served(folder):
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(WITHIN)


@contextlib.contextmanager
def browser(folder):
    """A Chromium that resolves no name; gives the address of a page, see https://chromedevtools.github.io."""
    process = subprocess.Popen(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-port=0",
         "--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
         f"--user-data-dir={folder}", "about:blank"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    rest = threading.Thread(target=process.stderr.read, daemon=True)
    try:
        port = ""
        for line in process.stderr:
            if found := re.search(r"DevTools listening on ws://127\.0\.0\.1:(\d+)/", line):
                port = found[1]
                break
        rest.start()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=WITHIN) as answer:
            pages = json.load(answer)
        yield next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page")
    finally:
        process.terminate()
        process.wait(WITHIN)
        if rest.ident:
            rest.join(WITHIN)
        process.stderr.close()


SEARCHED = """new Promise(done => {
  const look = () => document.querySelector('a.md-search-result__link');
  const tell = () => look() && (observer.disconnect(), done(look().href));
  const observer = new MutationObserver(tell);
  observer.observe(document, {childList: true, subtree: true});
  tell();
})"""


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (on Debian: apt-get install chromium)")
@pytest.mark.parametrize("page", ["", "how-to/flows/"])
def test_the_search_finds_without_a_network(site, tmp_path, page):
    asked, numbers = [], iter(range(1, 100))
    with served(site) as origin, browser(tmp_path) as address, connect(address, max_size=None) as page_socket:
        deadline = time.monotonic() + WITHIN

        def call(method, until=None, **params):
            number = next(numbers)
            page_socket.send(json.dumps({"id": number, "method": method, "params": params}))
            answer = None
            while answer is None or until is not None:
                message = json.loads(page_socket.recv(timeout=max(0.1, deadline - time.monotonic())))
                if message.get("method") == "Network.requestWillBeSent":
                    asked.append(message["params"]["request"]["url"])
                if message.get("id") == number:
                    answer = message
                if message.get("method") == until:
                    until = None
            return answer

        call("Network.enable")
        call("Page.enable")
        call("Page.navigate", until="Page.loadEventFired", url=f"{origin}/{page}?q=replicas")
        found = call("Runtime.evaluate", expression=SEARCHED, awaitPromise=True)["result"]["result"]["value"]
    assert found.startswith(origin)
    assert len(asked) > 3
    assert {address for address in asked if not address.startswith((origin, "data:", "blob:"))} == set()

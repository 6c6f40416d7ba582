"""The picture of the console in the README and the documentation, taken of the real page over a real Flow.

`make console-picture` writes docs/how-to/console.png. Its figures are those of the moment, so no check
compares its bytes.
"""

from __future__ import annotations

import importlib
import io
import re
import shutil
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from docarray import DocList
from docarray.documents import TextDoc
from PIL import Image

from jina import Executor, Flow, requests

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "how-to" / "console.png"
SIZE = {"width": 1280, "height": 720}
COLOURS = 64
PATIENCE = 60_000
"""Milliseconds until the page shows what flows."""
CALLERS = 4
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]


class Encoder(Executor):
    """Stands for a model."""

    @requests(on="/search")
    def encode(self, docs: DocList[TextDoc], **_: Any) -> DocList[TextDoc]:
        """Give the texts back."""
        return docs


class Ranker(Encoder):
    """Stands for another one."""


@contextmanager
def load(flow: Flow) -> Iterator[None]:
    """Calls of some clients until it is left."""
    stop = threading.Event()

    def call() -> None:
        while not stop.wait(0.05):
            flow.post("/search", inputs=TextDoc(text="shoes"), return_type=DocList[TextDoc])

    with ThreadPoolExecutor(CALLERS) as pool:
        calls = [pool.submit(call) for _ in range(CALLERS)]
        try:
            yield
        finally:
            stop.set()
            for one in calls:
                one.result(PATIENCE / 1000)


def take(port: int, target: Path) -> None:
    """Take the picture once requests are seen to flow through the whole graph."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    sys.path.append(str(ROOT / ".cache" / "env-console" / "lib" / version / "site-packages"))
    with importlib.import_module("playwright.sync_api").sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        page = browser.new_page(viewport=SIZE, color_scheme="light")
        page.set_default_timeout(PATIENCE)
        page.goto(f"http://127.0.0.1:{port}/console#/overview")
        for edge in ("gateway to texts", "pictures to ranker", "ranker to answers"):
            page.get_by_role("img", name=re.compile(rf"{edge}: [1-9]")).wait_for()
        shot = Image.open(io.BytesIO(page.screenshot()))
        browser.close()
    shot.quantize(COLOURS, dither=Image.Dither.NONE).save(target, optimize=True)


def main() -> None:
    """Write the picture."""
    flow = (
        Flow(name="shop", protocol="http", host="127.0.0.1", quiet=True)
        .add(name="texts", uses=Encoder, replicas=3)
        .add(name="pictures", uses=Encoder, replicas=2, needs="gateway")
        .add(name="ranker", uses=Ranker, replicas=2, needs=["texts", "pictures"])
        .add(name="answers", uses=Encoder)
    )
    with flow, load(flow):
        take(int(str(flow.port)), PICTURE)


if __name__ == "__main__":
    main()

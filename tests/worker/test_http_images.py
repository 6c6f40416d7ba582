"""Pillow's images as arguments and answers, and arrays as images, over HTTP."""

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator

import numpy as np
import PIL.Image
import pytest
from pydantic import BaseModel, ConfigDict
from tests.worker.test_http_files import ask, form, part, png

from jina import Executor, requests
from jina.documents.files import read_data_url
from jina.errors import ExecutorDefinitionError
from jina.executor.endpoints import EndpointTable
from jina.worker.local import InProcessApp


class Images(Executor):
    """Takes and gives images."""

    @requests(on="/turn")
    def turn(self, image: PIL.Image.Image, angle: int = 90) -> PIL.Image.Image:
        return image.rotate(angle, expand=True)

    @requests(on="/sizes")
    def sizes(self, images: list[PIL.Image.Image], mask: PIL.Image.Image | None = None) -> list[list[int]]:
        return [list(image.size) for image in [*images, *([mask] if mask else [])]]

    @requests(on="/one")
    def one(self, doc: PIL.Image.Image) -> dict[str, str]:
        return {"mode": doc.mode, "format": doc.format}

    @requests(on="/each")
    def each(self, docs: list[PIL.Image.Image]) -> list[PIL.Image.Image]:
        return [image.convert("L") for image in docs]

    @requests(on="/frames")
    async def frames(self, image: PIL.Image.Image) -> AsyncIterator[PIL.Image.Image]:
        for angle in (0, 90):
            yield image.rotate(angle, expand=True)

    @requests(on="/cmyk")
    def cmyk(self, image: PIL.Image.Image) -> PIL.Image.Image:
        return image.convert("CMYK")

    @requests(on="/flip")
    def flip(self, image: np.ndarray) -> np.ndarray:
        return image[::-1]


@pytest.fixture
def call(worker, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def one(*args, **options):
        async def main():
            app = InProcessApp(worker.plan(), Images)
            try:
                return await ask(app, *args, **options)
            finally:
                await app._stop()

        return asyncio.run(main())

    return one


def opened(data):
    return PIL.Image.open(io.BytesIO(data))


@pytest.mark.parametrize("way", ["form", "body", "url"])
def test_an_image_in_and_out(call, way):
    if way == "form":
        body, query = form(part("image", png(), file="a.png", kind="image/png"), part("angle", b"90")), ""
    elif way == "body":
        body, query = (png(), "image/png"), "angle=90"
    else:
        given = {"image": "data:image/png;base64," + base64.b64encode(png()).decode(), "angle": 90}
        body, query = (json.dumps(given).encode(), "application/json"), ""
    status, headers, data = call("POST", "/turn", *body, query=query)
    assert (status, headers[b"content-type"]) == (200, b"image/png"), data
    assert opened(data).size == (3, 2)


def test_images_in_lists_and_none(call):
    several = [part("images", png(n, 1), file=f"{n}.png", kind="image/png") for n in (1, 2)]
    assert json.loads(call("POST", "/sizes", *form(*several))[2]) == [[1, 1], [2, 1]]
    with_mask = form(*several, part("mask", png(3, 1), file="3.png", kind="image/png"))
    assert json.loads(call("POST", "/sizes", *with_mask)[2]) == [[1, 1], [2, 1], [3, 1]]
    url = "data:image/png;base64," + base64.b64encode(png()).decode()
    answers = json.loads(call("POST", "/each", json.dumps([url, url]).encode(), "application/json")[2])
    assert [read_data_url(answer)[0] for answer in answers] == ["image/png"] * 2
    assert opened(read_data_url(answers[0])[2]).mode == "L"
    assert json.loads(call("POST", "/one", json.dumps(url).encode(), "application/json")[2])["format"] == "PNG"


def test_a_stream_of_images(call):
    body = form(part("image", png(), file="a.png", kind="image/png"))
    status, _, data = call("POST", "/frames", *body, accept="application/x-ndjson")
    sizes = [opened(read_data_url(json.loads(line))[2]).size for line in data.splitlines()]
    assert (status, sizes) == (200, [(2, 3), (3, 2)])


def test_modes_that_png_lacks(call):
    status, headers, data = call("POST", "/cmyk", png(), "image/png")
    assert (status, headers[b"content-type"], opened(data).mode) == (200, b"image/png", "RGB")


def test_wrong_images(call):
    status, _, data = call("POST", "/turn", b"no image", "image/png")
    assert status == 422
    assert json.loads(data)["errors"][0]["loc"] == ["form", "image"]
    assert "no image of a format that Pillow reads" in json.loads(data)["title"]
    assert call("POST", "/turn", b"RIFF", "audio/wav")[0] == 415
    assert call("POST", "/turn", b'{"image": "iVBORw0KGgo="}', "application/json")[0] == 422


def test_an_array_as_an_image(call):
    body = form(part("image", png(), file="a.png", kind="image/png"))
    status, headers, data = call("POST", "/flip", *body, accept="image/png")
    assert (status, headers[b"content-type"], opened(data).size) == (200, b"image/png", (2, 3))
    status, headers, data = call("POST", "/flip", *body)
    assert (status, np.asarray(json.loads(data)).shape) == (200, (3, 2, 3))


def test_a_field_of_a_class_says_what_to_write():
    class Item(BaseModel):
        model_config = ConfigDict(arbitrary_types_allowed=True)
        image: PIL.Image.Image

    class WithField(Executor):
        @requests(on="/x")
        def x(self, item: Item) -> str:
            return str(item.image.size)

    with pytest.raises(ExecutorDefinitionError, match="take it as an argument of its own"):
        EndpointTable(WithField())

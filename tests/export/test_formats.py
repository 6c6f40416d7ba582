"""The formats of a picture, and their entry point."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from PIL import Image

from jina.errors import ConfigError, NotSupportedError
from jina.export import flowchart
from jina.export.drawing import INKS, Frame, draw
from jina.export.picture import GraphPicture, StepPicture, words_of

from .pictures import CHAIN, SEARCH, dense, pictures

TEXT = """\
Flow search: 6 Executors

gateway grpc://0.0.0.0:54321 http://0.0.0.0:54322

chunker (Chunker)
  needs      gateway
  endpoints  /index   Page → Chunks
             /search  Page → Chunks

text (TextEncoder)
  needs      chunker
  copies     3 replicas

image (ImageEncoder)
  needs      chunker
  when       kind = 'image'
  copies     2 shards, 2 replicas

ocr
  needs      chunker
  addresses  grpcs://ocr.example:443
  is         external

audit (AuditLog)
  needs      chunker
  is         floating

join
  needs      text, image, ocr

index (Index)
  needs      join
  endpoints  /chat  Prompt → Token  (stream)

reply: what index gives
"""


def pixel(image: Image.Image, frame: Frame, scene_left: float, scene_top: float, scale: float) -> tuple[int, ...]:
    """The colour just inside the top edge of a box, where no text stands."""
    x, y = frame.left + frame.width / 2 - scene_left, frame.top + 3.5 - scene_top
    return image.convert("RGB").getpixel((round(x * scale), round(y * scale)))


def rgb(name: str) -> tuple[int, ...]:
    colour = INKS[name][0]
    return tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5))


def test_text_says_what_there_is():
    assert flowchart.to_text(SEARCH) == TEXT


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        (("a",), "what a gives"),
        (("a", "b"), "what a and b give, merged"),
        (("gateway",), "the documents of the request as they are"),
    ],
)
def test_text_says_what_the_reply_is(ends, words):
    picture = GraphPicture(steps=(StepPicture(name="a"), StepPicture(name="b")), ends=ends)
    assert flowchart.to_text(picture).endswith(f"\nreply: {words}\n")


@pytest.mark.slow
@pytest.mark.parametrize("picture", [SEARCH, CHAIN, dense(20, 40)], ids=["search", "chain", "dense"])
@pytest.mark.parametrize("vertical", [False, True])
def test_a_png_shows_the_boxes_where_they_are(picture, vertical):
    image = Image.open(io.BytesIO(flowchart.to_png(picture, vertical=vertical)))
    scene = draw(picture, vertical=vertical)
    scale = image.width / scene.width
    assert image.format == "PNG"
    assert abs(image.height - scene.height * scale) <= 1
    assert scale == pytest.approx(2.0, abs=0.01)
    for group in scene.groups:
        frame = group.frames[-1]
        assert pixel(image, frame, scene.left, scene.top, scale) == rgb(frame.fill)


def test_a_png_has_lines_and_texts():
    image = Image.open(io.BytesIO(flowchart.to_png(SEARCH))).convert("RGB")
    colours = {colour for _, colour in image.getcolors(1 << 20)}
    assert {rgb("paper"), rgb("edge"), rgb("box-line"), rgb("gate"), rgb("away")} <= colours
    assert any(sum(colour) < 150 for colour in colours), "no text"


def test_a_jpeg_is_one():
    image = Image.open(io.BytesIO(flowchart.render(SEARCH, ".jpg")))
    assert image.format == "JPEG"
    assert image.width > 1000


def test_a_huge_picture_has_fewer_pixels_not_more_memory(monkeypatch):
    monkeypatch.setattr(flowchart, "_MOST_PIXELS", 1e5)
    image = Image.open(io.BytesIO(flowchart.to_png(SEARCH)))
    assert 0.99e5 < image.width * image.height < 1.01e5


def test_texts_are_drawn_without_any_font_of_the_system(monkeypatch):
    monkeypatch.setattr(flowchart, "_FACES", {"normal": (), "bold": ()})
    flowchart._font.cache_clear()
    try:
        image = Image.open(io.BytesIO(flowchart.to_png(SEARCH))).convert("RGB")
    finally:
        flowchart._font.cache_clear()
    assert any(sum(colour) < 150 for _, colour in image.getcolors(1 << 20))


def test_without_pillow_the_error_names_the_extra():
    code = (
        "import sys; sys.modules['PIL'] = None\n"
        "from jina.export import flowchart\n"
        "from jina.export.picture import GraphPicture\n"
        "flowchart.render(GraphPicture(), '.svg')\n"
        "flowchart.render(GraphPicture(), '.png')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "MissingExtra" in done.stderr
    assert "pip install --find-links dist 'rejina[plot]'" in done.stderr


def test_the_room_needs_no_heavy_library():
    code = (
        "import sys\nfrom jina.export import flowchart\n"
        "print([name for name in ('PIL', 'docarray', 'numpy', 'pydantic', 'grpc', 'rich') if name in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


def test_images_fail_with_our_error_class(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(NotSupportedError, match="PNG pictures need Pillow"):
        flowchart.to_png(SEARCH)


@pytest.mark.parametrize("suffix", flowchart.SUFFIXES)
def test_every_suffix_gives_its_format(suffix):
    start = flowchart.render(SEARCH, suffix.upper())[:24]
    expected = {"svg": b"<svg", "png": b"\x89PNG", "jpg": b"\xff\xd8", "mmd": b"%%{init", "txt": b"Flow search"}
    key = {"jpeg": "jpg", "mermaid": "mmd"}.get(suffix[1:], suffix[1:])
    assert start.startswith(expected[key])


@pytest.mark.parametrize(("suffix", "hint"), [(".pngg", ".png"), ("svgs", ".svg"), (".pdf", ""), ("", "suffix")])
def test_other_suffixes_are_refused(suffix, hint):
    with pytest.raises(ConfigError) as caught:
        flowchart.render(SEARCH, suffix)
    assert hint in caught.value.message
    assert ".svg, .png" in caught.value.help


def test_jupyter_gets_a_picture_and_a_text():
    bundle = flowchart.mimebundle(SEARCH)
    assert ET.fromstring(bundle["image/svg+xml"]).get("role") == "img"
    assert bundle["text/plain"] == TEXT


NODE = r"[\w/-]+"
STATEMENT = re.compile(
    rf"""
    subgraph\ {NODE}\["[^"]*"\];
    | direction\ LR;
    | end;
    | {NODE}\["[^"]*"\]:::pod;
    | {NODE}\(\["[^"]*"\]\);
    | (?:{NODE}|gatewaystart\[gateway\]):::[A-Z]+\ (?:-->|-\.->)\ (?:{NODE}|gatewayend\[gateway\]):::[A-Z]+;
    | classDef\ \w+\ [\w:#,\ -]+;
    """,
    re.VERBOSE,
)


@pytest.mark.slow
@given(pictures())
@settings(max_examples=40, deadline=None)
def test_every_mermaid_text_has_the_shape_that_mermaid_reads(picture):
    first, second, *lines = flowchart.to_mermaid(picture).splitlines()
    assert first.startswith("%%{init: {")
    assert second == "flowchart LR;"
    assert [line for line in lines if not STATEMENT.fullmatch(line)] == []
    assert sum(line.startswith("subgraph") for line in lines) == lines.count("end;")
    arrows = [line for line in lines if "-->" in line or "-.->" in line]
    assert len(arrows) == len(picture.edges) + len(picture.ends)


def test_mermaid_nests_shards_and_replicas():
    text = flowchart.to_mermaid(SEARCH, vertical=True)
    assert "flowchart TD;" in text
    assert 'text/rep-2["TextEncoder"]:::pod;' in text
    assert 'subgraph image/shard-1["shard 1"];' in text
    assert 'image/shard-1/rep-1["ImageEncoder"]:::pod;' in text
    assert "gatewaystart[gateway]:::GATEWAY --> chunker:::DEPLOYMENT;" in text
    assert "chunker:::DEPLOYMENT -.-> audit:::DEPLOYMENT;" in text
    assert "ocr:::EXTERNAL --> join:::JOIN;" in text
    assert "index:::DEPLOYMENT --> gatewayend[gateway]:::GATEWAY;" in text


@pytest.mark.parametrize("name", ["end", "class", "Graph", "default"])
def test_names_that_mean_something_to_mermaid_are_changed(name):
    text = flowchart.to_mermaid(GraphPicture(steps=(StepPicture(name=name),), ends=(name,)))
    assert f'subgraph {name}_["{name}"];' in text
    assert f"GATEWAY --> {name}_:::DEPLOYMENT" in text


@pytest.mark.parametrize(
    ("when", "words"),
    [
        (None, ""),
        ({}, ""),
        ({"tags__kind": {"$eq": "a"}}, "tags__kind = 'a'"),
        ({"price": {"$gt": 1, "$lte": 3}}, "price > 1 and price ≤ 3"),
        ({"a": {"$exists": True}, "b": {"$exists": False}}, "a exists and b is missing"),
        ({"$or": [{"a": {"$lt": 1}}, {"b": {"$in": [1, 2]}}]}, "a < 1 or b in [1, 2]"),
        (
            {"$and": [{"a": {"$ne": 1}}, {"$or": [{"b": {"$nin": [1]}}, {"c": {"$gte": 2}}]}]},
            "a ≠ 1 and (b not in [1] or c ≥ 2)",
        ),
        ({"$not": {"text": {"$regex": "^x"}}}, "not (text matches '^x')"),
        ({"chunks": {"$size": 2}, "$or": [{"a": 1}, {"b": 2}]}, "chunks has size 2 and (a = 1 or b = 2)"),
    ],
)
def test_conditions_in_words(when, words):
    assert words_of(when) == words

"""Pictures: nothing overlaps, nothing is outside, everything is said."""

from __future__ import annotations

import itertools
import time
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jina.errors import UsageError
from jina.export.drawing import INKS, Frame, Scene, draw, points_of, width_of
from jina.export.flowchart import to_svg
from jina.export.picture import GraphPicture, StepPicture

from .pictures import CHAIN, SEARCH, dense, pictures

SVG = "{http://www.w3.org/2000/svg}"
DRAWN = settings(max_examples=40, deadline=None)


def boxes(scene: Scene) -> list[Frame]:
    """The front frame of each box."""
    return [group.frames[-1] for group in scene.groups]


def apart(one: Frame, other: Frame) -> bool:
    """Whether two boxes have paper between them."""
    beside = one.left + one.width < other.left or other.left + other.width < one.left
    return beside or one.top + one.height < other.top or other.top + other.height < one.top


@given(pictures(), st.booleans())
@DRAWN
def test_boxes_do_not_overlap(picture, vertical):
    found = boxes(draw(picture, vertical=vertical))
    assert len(found) == len(picture.steps) + 2
    assert all(apart(one, other) for one, other in itertools.combinations(found, 2))


@pytest.mark.slow
@given(pictures(), st.booleans())
@DRAWN
def test_lines_do_not_run_through_boxes(picture, vertical):
    check_lines(draw(picture, vertical=vertical))


@pytest.mark.slow
@pytest.mark.parametrize("picture", [CHAIN, dense(50, 190), dense(60, 90, seed=3)], ids=["chain", "dense", "deep"])
@pytest.mark.parametrize("vertical", [False, True])
def test_lines_between_bands_run_around_boxes(picture, vertical):
    scene = draw(picture, vertical=vertical)
    check_lines(scene)
    assert max(scene.width, scene.height) < 4000


def check_lines(scene: Scene) -> None:
    """No line passes the inside of a box."""
    for stroke in itertools.chain.from_iterable(scene.bundles):
        for x, y in points_of(stroke.pieces):
            for box in boxes(scene):
                inside = box.left + 1 < x < box.left + box.width - 1 and box.top + 1 < y < box.top + box.height - 1
                assert not inside


@pytest.mark.slow
@given(pictures(), st.booleans())
@DRAWN
def test_texts_stay_in_their_boxes_and_all_in_the_picture(picture, vertical):
    scene = draw(picture, vertical=vertical)
    for group in scene.groups:
        box = group.frames[-1]
        for text in group.texts:
            width = width_of(text.words, text.size, text.weight)
            left = text.left - width / 2 if text.centred else text.left
            assert box.left <= left
            assert left + width <= box.left + box.width + 0.01
            assert box.top < text.base - text.size * 0.7
            assert text.base + 2 < box.top + box.height
    for stroke in itertools.chain.from_iterable(scene.bundles):
        for x, y in points_of(stroke.pieces):
            assert scene.left <= x <= scene.left + scene.width
            assert scene.top <= y <= scene.top + scene.height


@pytest.mark.slow
@given(pictures(), st.booleans())
@DRAWN
def test_every_svg_is_well_formed_and_stands_alone(picture, vertical):
    svg = to_svg(picture, vertical=vertical)
    root = ET.fromstring(svg)
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
        "svg", "title", "desc", "style", "rect", "path", "g", "text",
    }  # fmt: skip
    assert not [name for element in root.iter() for name in element.attrib if "href" in name or name.startswith("on")]
    assert len(root.findall(f"{SVG}g")) == len(picture.steps) + 2


@pytest.mark.parametrize("picture", [CHAIN, dense(50, 190)], ids=["50 in a row", "200 edges"])
@pytest.mark.parametrize("vertical", [False, True])
def test_large_graphs_are_drawn_quickly(picture, vertical):
    started = time.process_time()
    svg = to_svg(picture, vertical=vertical)
    assert time.process_time() - started < 1.0
    assert all(f">{step.name}</text>" in svg for step in picture.steps)


def test_the_dense_graph_has_as_many_edges_as_it_says():
    picture = dense(50, 190)
    assert len(picture.edges) >= 200


def test_a_long_chain_is_drawn_in_bands():
    scene = draw(CHAIN)
    assert scene.width < 1600
    assert scene.height < 1300
    assert draw(CHAIN, vertical=True).height < 1600


def test_the_flow_goes_to_the_right_or_down():
    across, down = boxes(draw(SEARCH)), boxes(draw(SEARCH, vertical=True))
    numbers = {"gateway": 0, **{step.name: index for index, step in enumerate(SEARCH.steps, start=1)}}
    for start, end in SEARCH.edges:
        assert across[numbers[start]].left < across[numbers[end]].left
        assert down[numbers[start]].top < down[numbers[end]].top


def test_a_step_shows_what_is_known_of_it():
    words = {text.words for group in draw(SEARCH).groups for text in group.texts}
    assert {"gateway", "reply", "grpc://0.0.0.0:54321", "TextEncoder", "3 replicas", "2 shards, 2 replicas"} <= words
    assert {"/index  Page → Chunks", "/chat  Prompt → Token  (stream)", "when kind = 'image'", "floating"} <= words
    assert "external, grpcs://ocr.example:443" in words


def test_only_lines_to_floating_steps_are_dashed():
    scene = draw(SEARCH)
    dashed = [stroke for bundle in scene.bundles for stroke in bundle if stroke.dashed]
    audit = next(group for group in scene.groups if group.title.startswith("audit"))
    assert len(dashed) == 1
    end = points_of(dashed[0].pieces)[-1]
    assert abs(end[0] - audit.frames[-1].left) < 10
    assert audit.frames[-1].top < end[1] < audit.frames[-1].top + audit.frames[-1].height


def test_what_is_cut_short_is_told_in_full_by_the_title():
    name = "A" * 120
    svg = to_svg(GraphPicture(steps=(StepPicture(name="a", executor=name),), ends=("a",)))
    root = ET.fromstring(svg)
    shown = [element.text or "" for element in root.iter(f"{SVG}text")]
    assert any(text.startswith("AAA") and text.endswith("…") for text in shown)
    assert any(name in (element.text or "") for element in root.iter(f"{SVG}title"))


def test_text_cannot_become_markup():
    nasty = '<script>alert("1")</script>&amp;\x00]]>'
    root = ET.fromstring(to_svg(GraphPicture(name=nasty, steps=(StepPicture(name=nasty),), ends=(nasty,))))
    assert root.find(f".//{SVG}script") is None
    assert any('alert("1")' in (element.text or "") for element in root.iter(f"{SVG}title"))


def test_people_who_do_not_see_the_picture_are_told():
    root = ET.fromstring(to_svg(SEARCH))
    assert root.get("role") == "img"
    assert root.findtext(f"{SVG}title") == "Flow search: 6 Executors"
    assert "index needs join" in (root.findtext(f"{SVG}desc") or "")


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Of WCAG 2.2: https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("paper", [0, 1], ids=["light", "dark"])
def test_colours_can_be_told_apart_on_light_and_dark_paper(paper):
    for ink in ("text", "muted", "note"):
        for fill in ("box", "gate", "join", "away"):
            assert contrast(INKS[ink][paper], INKS[fill][paper]) >= 4.5, (ink, fill)
    for ink in [name for name in INKS if name.startswith("edge") or name.endswith("-line")]:
        assert contrast(INKS[ink][paper], INKS["paper"][paper]) >= 3.0, ink


def test_dark_paper_has_a_rule_for_each_colour():
    svg = to_svg(SEARCH)
    classes = {name for element in ET.fromstring(svg).iter() for name in element.get("class", "").split()}
    for name in classes - {"jina-flow"}:
        assert f".jina-flow .{name}{{" in svg


@pytest.mark.parametrize(
    "steps",
    [
        (StepPicture(name="a", needs=("nobody",)),),
        (StepPicture(name="a"), StepPicture(name="a")),
        (StepPicture(name="gateway"),),
    ],
)
def test_a_picture_that_makes_no_sense_is_refused(steps):
    with pytest.raises(UsageError):
        GraphPicture(steps=steps)


def test_steps_that_need_each_other_are_refused():
    steps = (StepPicture(name="a", needs=("b",)), StepPicture(name="b", needs=("a",)))
    with pytest.raises(UsageError, match="circle"):
        draw(GraphPicture(steps=steps, ends=("b",)))

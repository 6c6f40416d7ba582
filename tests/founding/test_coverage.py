"""Every sentence of the founding text has a test, or a reason why it has to wait.

The text is not part of the repository. Where the environment variable JINA_FOUNDING_TEXT names its file, the
hashes of `sentences.json` are compared with it.
"""

import importlib
import json
import os
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).parent
AREAS = {"general", "create", "construct", "close", "special arguments", "tips", "stateful"}

LATER = {
    26: "refers to a page about packages, which comes with `jina hub push`",
}
"""Sentence -> why no test shows it yet."""

FLOW = "shown for a Deployment; the same inside a Flow comes with Flow"
PARTLY = {
    **dict.fromkeys([31, 36, 41, 46, 53, 73], FLOW),
    65: "with shards shown for the loader; served shards come with shards > 1",
    66: "shown as 1; more come with replicas > 1",
    67: "shown as 1; more come with shards > 1",
    68: "shown as 0; more come with shards > 1",
}
"""Sentence with a test -> what of it has to wait."""


def sentences():
    return json.loads((HERE / "sentences.json").read_text())


def covered():
    """Sentence -> the names of the tests that show it and are neither skipped nor expected to fail."""
    found = defaultdict(list)
    for path in sorted(HERE.glob("test_*.py")):
        module = importlib.import_module(f"{__package__}.{path.stem}")
        for name, test in vars(module).items():
            marks = getattr(test, "pytestmark", []) if name.startswith("test_") else []
            if {mark.name for mark in marks} & {"skip", "skipif", "xfail"}:
                continue
            for mark in marks:
                if mark.name == "sentence":
                    for number in mark.args:
                        found[number].append(f"{path.stem}.{name}")
    return found


def test_sentences_are_numbered_from_1():
    listed = sentences()
    assert [one["number"] for one in listed] == list(range(1, len(listed) + 1))
    assert {one["area"] for one in listed} == AREAS
    assert all(len(one["sha256"]) == 64 for one in listed)


def test_every_sentence_is_shown_or_waits_for_a_reason():
    numbers = {one["number"] for one in sentences()}
    shown = covered().keys()
    assert shown <= numbers, "no such sentence"
    assert not shown & LATER.keys(), "shown, so it waits no longer"
    assert PARTLY.keys() <= shown
    assert numbers - shown - LATER.keys() == set(), "neither shown nor waiting"


SAMPLE = """\
Cats and dogs#

Cats purr. Dogs (e.g. Poodles) bark!

  1. Run this:

jina cat
from cats import Cat

class Tom(Cat):

    def purr(self):

A heading here

  • \u201cnight\u201d is when cats run; a sentence without an end is one
"""


def test_the_text_is_split_the_same_way_each_time():
    assert [one.text for one in importlib.import_module("scripts.founding").sentences(SAMPLE)] == [
        "Cats purr.",
        "Dogs (e.g. Poodles) bark!",
        "Run this:",
        "jina cat",
        "from cats import Cat\nclass Tom(Cat):\n    def purr(self):",
        '"night" is when cats run; a sentence without an end is one',
    ]


if TEXT := os.environ.get("JINA_FOUNDING_TEXT"):

    def test_hashes_match_the_text():
        found = importlib.import_module("scripts.founding").sentences(Path(TEXT).read_text(encoding="utf-8"))
        assert [(one.number, one.sha256) for one in found] == [(one["number"], one["sha256"]) for one in sentences()]

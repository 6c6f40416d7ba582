"""Number the sentences of the founding text: `python scripts/founding.py FILE` prints them, `--json` their hashes.

The text is not part of this repository; `tests/founding/sentences.json` holds its sentences by number and hash,
and the tests of `tests/founding` name the numbers that they show to be true.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_CODE = re.compile(r" {4}|\t|from \w+ import |import \w+$|class \w+\(|jina \w|[├└│]")
_FIRST_OF_CODE = re.compile(r"from |import |jina ")
_ITEM = re.compile(r"\s*(?:\d+\.|[•*-])\s+")
_END = re.compile(r"(?<=[.?!])(?<!e\.g\.)(?<!i\.e\.)\s+(?=[A-Z(`'\"])")
_LONGEST_HEADING = 4
_STRAIGHT = str.maketrans({"\u2019": "'", "\u2018": "'", "\u201c": '"', "\u201d": '"', "\u2026": "..."})


@dataclass(frozen=True)
class Sentence:
    """One sentence, list item or block of code. `text` is normalised; numbers count from 1."""

    number: int
    text: str

    @property
    def sha256(self) -> str:
        """Hash of the normalised text, hexadecimal."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def sentences(text: str) -> list[Sentence]:
    """The sentences in the order of the text; headings are none, a block of code is one."""
    return [Sentence(number, unit) for number, unit in enumerate(_units(text), start=1)]


def _units(text: str) -> Iterator[str]:
    block: list[str] = []
    for raw in unicodedata.normalize("NFC", text).translate(_STRAIGHT).splitlines():
        line = raw.rstrip()
        if not line:
            continue
        is_code = bool(_CODE.match(line))
        if block and (not is_code or _FIRST_OF_CODE.match(line)):
            yield "\n".join(block)
            block = []
        if is_code:
            block.append(line)
        else:
            yield from _split(line)
    if block:
        yield "\n".join(block)


def _split(line: str) -> Iterator[str]:
    text = _ITEM.sub("", line, count=1)
    ends = text.endswith((".", "?", "!", ":", ";"))
    if text.endswith("#") or (text == line and not ends and len(text.split()) <= _LONGEST_HEADING):
        return
    for part in _END.split(text):
        yield " ".join(part.split())


def main() -> None:
    """Print the sentences, or the number and hash of each as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--json", action="store_true", help="number and sha256 instead of the text")
    options = parser.parse_args()
    found = sentences(options.file.read_text(encoding="utf-8"))
    if options.json:
        print(json.dumps([{"number": one.number, "sha256": one.sha256} for one in found], indent=1))
    else:
        for one in found:
            print(f"{one.number:4} {one.text}".replace("\n", "\n     "))


if __name__ == "__main__":
    main()

"""The tokenizer of BERT's models without accents and capitals (WordPiece), as all-MiniLM-L6-v2 has it."""

from __future__ import annotations

import functools
import json
import unicodedata
from pathlib import Path

LONGEST_WORD = 100


class WordPiece:
    """Texts to numbers of the vocabulary."""

    def __init__(self, file: Path, max_tokens: int) -> None:
        """`file` is a `tokenizer.json`; longer texts are cut to `max_tokens`, marks at both ends included."""
        self.numbers: dict[str, int] = json.loads(file.read_text(encoding="utf-8"))["model"]["vocab"]
        self.start, self.end, self.unknown = (self.numbers[mark] for mark in ("[CLS]", "[SEP]", "[UNK]"))
        self.most = max_tokens - 2
        self.pieces = functools.lru_cache(65536)(self._pieces)

    def encode(self, text: str) -> list[int]:
        """The numbers of a text, with the marks of its start and end."""
        found: list[int] = []
        for word in words(text):
            found += self.pieces(word)
            if len(found) >= self.most:
                break
        return [self.start, *found[: self.most], self.end]

    def _pieces(self, word: str) -> tuple[int, ...]:
        """The longest pieces that the vocabulary has, from left to right."""
        if len(word) > LONGEST_WORD:
            return (self.unknown,)
        found: list[int] = []
        start = 0
        while start < len(word):
            mark = "##" if start else ""
            for end in range(len(word), start, -1):
                number = self.numbers.get(mark + word[start:end])
                if number is not None:
                    break
            else:
                return (self.unknown,)
            found.append(number)
            start = end
        return tuple(found)


def words(text: str) -> list[str]:
    """Words without capitals and accents; each mark of punctuation and each Chinese character is one."""
    spaced = "".join(f" {letter} " if chinese(letter) else letter for letter in text if kept(letter))
    plain = unicodedata.normalize("NFD", spaced)
    plain = "".join(letter for letter in plain if unicodedata.category(letter) != "Mn").lower()
    return "".join(f" {letter} " if punctuation(letter) else letter for letter in plain).split()


@functools.cache
def kept(letter: str) -> bool:
    """Whether a character is more than a control character."""
    return letter in "\t\n\r" or (letter not in "\0\ufffd" and unicodedata.category(letter)[0] != "C")


@functools.cache
def punctuation(letter: str) -> bool:
    """Whether it is a word of its own: all of ASCII that is neither letter, digit nor blank."""
    if letter.isascii():
        return letter.isprintable() and not letter.isalnum() and letter != " "
    return unicodedata.category(letter)[0] == "P"


@functools.cache
def chinese(letter: str) -> bool:
    """Whether it is of a block of Chinese characters."""
    blocks = ((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F),
              (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F))  # fmt: skip
    return any(first <= ord(letter) <= last for first, last in blocks)

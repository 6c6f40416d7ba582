"""Order, samples, groups, and merging of arrays by id."""

from __future__ import annotations

import random
from collections.abc import Hashable, Iterable
from typing import Any, Self

from jina.documents.base import DocumentList, T_doc, as_document
from jina.documents.contents import is_empty, stored_items


class Grouping(DocumentList[T_doc]):
    """The part of DocumentArray that reorders, groups and merges."""

    def sample(self, k: int, seed: int | None = None) -> Self:
        """`k` documents chosen at random, each at most once; the same ones for the same seed."""
        return type(self).construct(random.Random(seed).sample(list(self), k))  # noqa: S311 - no secret

    def shuffle(self, seed: int | None = None) -> Self:
        """A new array of all documents in random order; the same order for the same seed."""
        return self.sample(len(self), seed)

    def split_by_tag(self, tag: str) -> dict[Any, Self]:
        """New arrays of the documents by their value of a tag; documents without the tag are left out."""
        groups: dict[Any, Self] = {}
        for doc in self:
            if tag in doc.tags:
                groups.setdefault(_key(doc.tags[tag]), type(self)()).append(doc)
        return groups

    split = split_by_tag

    def reduce(self, other: Iterable[Any]) -> Self:
        """Merge another array into this one, by id, and return it.

        A document that is only there is appended. Where both have it, fields that are empty here are taken from
        there, chunks and matches are merged in the same way, and all else stays.
        """
        for doc in map(as_document, other):
            if doc in self:
                _merge(list.__getitem__(self, self.position_of(str(doc.id))), doc)
            else:
                self.append(doc)
        return self

    def reduce_all(self, others: Iterable[Iterable[Any]]) -> Self:
        """Merge several arrays into this one, in order; see `reduce`."""
        for other in others:
            self.reduce(other)
        return self


def _merge(doc: Any, other: Any) -> None:
    ours = dict(stored_items(doc))
    for name, value in stored_items(other):
        if is_empty(value):
            continue
        if is_empty(ours.get(name)):
            setattr(doc, name, value)
        elif name in {"chunks", "matches"}:
            ours[name].reduce(value)


def _key(value: Any) -> Hashable:
    if isinstance(value, Hashable):
        return value
    raise TypeError(f"split_by_tag: a {type(value).__name__} cannot name a group")

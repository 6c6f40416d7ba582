"""`when`: which documents reach an Executor, decided on messages or JSON without a document class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from jina.codec import pb
from jina.codec.messages import Payload
from jina.codec.payloads import BytesPayload, JsonPayload, ProtoPayload
from jina.documents.query import Query
from jina.errors import ConfigError


def proto_of(payload: Payload) -> pb.DocListProto:
    """The documents as a message, which belongs to the payload: not to be changed.

    Raises `BadRequest` where they are garbled.
    """
    if isinstance(payload, BytesPayload):
        return payload.parsed().message
    if isinstance(payload, ProtoPayload):
        return payload.message
    message = pb.DocListProto()
    payload.write_proto(message)
    return message


def id_of(fields: Mapping[str, pb.NodeProto]) -> str | None:
    """The id among the fields of a document; None where it has none."""
    if "id" not in fields:
        return None
    node = fields["id"]
    if node.WhichOneof("content") == "integer":
        return str(node.integer)
    return node.text or None


class Split(msgspec.Struct, frozen=True):
    """Documents taken apart by a condition.

    `places` are the positions of the matching ones among all; `whole` is what was taken apart.
    """

    matching: Payload
    whole: Payload
    places: Sequence[int]
    size: int


class Condition:
    """A filter in the query language, compiled.

    Operators and paths are those of `jina.documents.query`. A path leads through fields, keys of dicts, positions of
    lists and fields of nested documents, with `__` between. Tensors can be asked for `$exists` and `$size`
    (their first dimension). Raises `ConfigError`, naming the step, for anything else.
    """

    def __init__(self, when: Mapping[str, Any], step: str = "when") -> None:
        try:
            self._query = Query(when)
        except ConfigError as error:
            raise type(error)(f"{step}: when: {error.message}", help=error.help) from None

    def split(self, payload: Payload) -> Split:
        """Which documents match, in their order; raises `BadRequest` where they are garbled."""
        if isinstance(payload, JsonPayload):
            return self._split_json(payload)
        message = proto_of(payload)
        matches = self._query.matches
        places = [place for place, doc in enumerate(message.docs) if matches(partial(_read, doc.data))]
        return Split(_part_of_proto(payload, message, places), payload, places, len(message.docs))

    def _split_json(self, payload: JsonPayload) -> Split:
        items = payload.items()
        matches = self._query.matches
        places = [place for place, item in enumerate(items) if matches(partial(_read_json, item))]
        matching = payload
        if len(places) != len(items):
            matching = JsonPayload([items[place] for place in places], location=payload.location)
        return Split(matching, payload, places, len(items))


def _part_of_proto(payload: Payload, message: pb.DocListProto, places: Sequence[int]) -> Payload:
    if len(places) == len(message.docs):
        return payload
    part = pb.DocListProto()
    part.docs.extend(message.docs[place] for place in places)
    return ProtoPayload(part)


def rejoin(split: Split, replied: Payload) -> Payload:
    """The documents that an Executor gave back, with those that passed it by in their old places.

    What came back keeps its order. It takes the places of what was sent: all of them where the number is the same,
    those of the documents with the same ids otherwise; a new document stands behind the one it came after.
    """
    if len(split.places) == split.size:
        return replied
    whole = proto_of(split.whole)
    docs = proto_of(replied).docs
    taken = set(split.places)
    placed = list(zip(_places(split, whole, docs), docs, strict=True))
    placed.extend((place, doc) for place, doc in enumerate(whole.docs) if place not in taken)
    placed.sort(key=lambda pair: pair[0])
    joined = pb.DocListProto()
    joined.docs.extend(doc for _, doc in placed)
    return ProtoPayload(joined)


def _places(split: Split, whole: pb.DocListProto, docs: Sequence[pb.DocProto]) -> list[int]:
    """For each document that came back its place, ascending."""
    if len(docs) == len(split.places):
        return list(split.places)
    old = {doc_id: place for place in split.places if (doc_id := id_of(whole.docs[place].data)) is not None}
    kept = [old.get(doc_id) if (doc_id := id_of(doc.data)) is not None else None for doc in docs]
    free = iter(sorted(place for place in kept if place is not None))
    places = []
    current = split.places[0]
    for place in kept:
        if place is not None:
            current = next(free)
        places.append(current)
    return places


class _Tensor:
    """Stands for a tensor: it is there, and has a length."""

    __slots__ = ("_length",)

    def __init__(self, shape: Sequence[int]) -> None:
        self._length = shape[0] if shape else 0

    def __len__(self) -> int:
        return self._length


def _read(data: Mapping[str, pb.NodeProto], path: str) -> Any:
    node = _step(data, path.split("__"))
    return None if node is None else _value(node)


def _step(data: Mapping[str, pb.NodeProto], keys: Sequence[str]) -> pb.NodeProto | None:
    node: pb.NodeProto | None = None
    for position, key in enumerate(keys):
        if position:
            assert node is not None
            kind = node.WhichOneof("content")
            if kind in {"list", "tuple", "doc_array"}:
                return _in_list(node, kind, keys[position:])
            if kind not in {"doc", "dict"}:
                return None
            data = getattr(node, kind).data
        if key not in data:
            return None
        node = data[key]
    return node


def _in_list(node: pb.NodeProto, kind: str, keys: Sequence[str]) -> pb.NodeProto | None:
    """Further along a path, of which the next part is a position in a list."""
    docs = kind == "doc_array"
    items: Any = node.doc_array.docs if docs else getattr(node, kind).data
    if not keys[0].lstrip("-").isdigit() or not -len(items) <= int(keys[0]) < len(items):
        return None
    item = items[int(keys[0])]
    if docs:
        return _step(item.data, keys[1:]) if keys[1:] else pb.NodeProto(doc=item)
    return _step({"": item}, ["", *keys[1:]])


def _value(node: pb.NodeProto) -> Any:
    kind = node.WhichOneof("content")
    if kind is None:
        return None
    content = getattr(node, kind)
    if kind == "ndarray":
        return _Tensor(content.dense.shape)
    if kind in {"doc", "dict"}:
        return {name: _value(content.data[name]) for name in content.data}
    if kind == "doc_array":
        return [{name: _value(doc.data[name]) for name in doc.data} for doc in content.docs]
    if kind in {"list", "set", "tuple"}:
        return [_value(item) for item in content.data]
    return content


def _read_json(value: Any, path: str) -> Any:
    for key in path.split("__"):
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, list) and key.lstrip("-").isdigit() and -len(value) <= int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value

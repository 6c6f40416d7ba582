"""Whether two values of messages are the same, also where one came from JSON, which has fewer types."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jina.wire import pb

_NUMBERS = {"integer", "float"}
_SEQUENCES = {"list", "set", "tuple"}


def same(node: pb.NodeProto, base: pb.NodeProto) -> bool:
    """Whether `node` is the value that `base` was, exactly or as a class would have read it from JSON."""
    if node == base:
        return True
    kind, was = node.WhichOneof("content"), base.WhichOneof("content")
    if kind is None or was is None:
        return bool(kind == was)
    if kind == was and getattr(node, kind) == getattr(base, kind):
        return True  # but for the name of a type
    if kind in _NUMBERS and was in _NUMBERS:
        return bool(number_key(getattr(node, kind)) == number_key(getattr(base, was)))
    compare = _COMPARISONS.get((kind, was))
    return compare is not None and compare(node, base)


def number_key(number: float) -> object:
    """Equal for equal numbers, whatever their types; NaN equals itself."""
    return "nan" if math.isnan(number) else number


def item_key(node: pb.NodeProto) -> object:
    """Equal for equal items of a list."""
    kind = node.WhichOneof("content")
    if kind in _NUMBERS:
        return number_key(getattr(node, kind))
    if kind == "text":
        return ("text", node.text)
    return node.SerializeToString(deterministic=True)


def is_empty(node: pb.NodeProto) -> bool:
    """Whether the value is the empty one of its type."""
    kind = node.WhichOneof("content")
    if kind in _SEQUENCES or kind == "dict":
        return not getattr(node, kind).data
    if kind == "doc_array":
        return not node.doc_array.docs
    return kind is None or (kind not in {"ndarray", "doc"} and not getattr(node, kind))


def _same_items(node: pb.NodeProto, base: pb.NodeProto) -> bool:
    items, others = _items(node), _items(base)
    return len(items) == len(others) and all(same(item, other) for item, other in zip(items, others, strict=True))


def _same_set(node: pb.NodeProto, base: pb.NodeProto) -> bool:
    return Counter(map(item_key, _items(node))) == Counter(map(item_key, _items(base)))


def _items(node: pb.NodeProto) -> Sequence[pb.NodeProto]:
    kind = node.WhichOneof("content")
    assert kind is not None
    return [pb.NodeProto(doc=doc) for doc in node.doc_array.docs] if kind == "doc_array" else getattr(node, kind).data


def _same_dict(node: pb.NodeProto, base: pb.NodeProto) -> bool:
    fields, others = node.dict.data, base.dict.data
    return len(fields) == len(others) and all(name in others and same(fields[name], others[name]) for name in fields)


def _same_doc(node: pb.NodeProto, base: pb.NodeProto) -> bool:
    """Fields that only one has must be unset; an object of JSON gets its id when it becomes a document."""
    fields = node.doc.data
    others: Mapping[str, pb.NodeProto] = base.doc.data if base.HasField("doc") else base.dict.data
    for name in {*fields, *others}:
        if name not in others:
            if fields[name].WhichOneof("content") is not None and name != "id":
                return False
        elif name not in fields:
            if others[name].WhichOneof("content") is not None:
                return False
        elif not same(fields[name], others[name]):
            return False
    return True


def _same_tensor(node: pb.NodeProto, base: pb.NodeProto) -> bool:
    import numpy as np

    dense = node.ndarray.dense
    try:
        tensor = np.frombuffer(dense.buffer, np.dtype(dense.dtype)).reshape(tuple(dense.shape))
        was = np.asarray(_plain(base), dtype=tensor.dtype)
    except (ValueError, TypeError, OverflowError, SyntaxError):
        return False
    return bool(np.array_equal(tensor, was, equal_nan=tensor.dtype.kind in "fc"))


def _plain(node: pb.NodeProto) -> Any:
    kind = node.WhichOneof("content")
    if kind == "list":
        return [_plain(item) for item in node.list.data]
    return float("nan") if kind is None else getattr(node, kind)


def _same_bytes(node: pb.NodeProto, base: pb.NodeProto) -> bool:
    from jina.wire.json_text import text_to_bytes

    return text_to_bytes(base.text) == node.blob


_COMPARISONS: dict[tuple[str, str], Callable[[pb.NodeProto, pb.NodeProto], bool]] = {
    ("list", "list"): _same_items,
    ("tuple", "tuple"): _same_items,
    ("tuple", "list"): _same_items,
    ("set", "set"): _same_set,
    ("set", "list"): _same_set,
    ("dict", "dict"): _same_dict,
    ("doc", "doc"): _same_doc,
    ("doc", "dict"): _same_doc,
    ("doc_array", "doc_array"): _same_items,
    ("doc_array", "list"): _same_items,
    ("ndarray", "list"): _same_tensor,
    ("blob", "text"): _same_bytes,
}

"""What documents and arrays look like to people: plain text, and tables through rich."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from jina.documents.contents import is_empty, stored_items
from jina.documents.fields import to_numpy

if TYPE_CHECKING:
    from rich.tree import Tree

_WIDTH = 100


def describe(value: Any) -> str:
    """One line for a field's value: long texts are cut, arrays shown as type, shape and dtype."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        array = to_numpy(value)
        return f"{type(value).__name__} of shape {array.shape}, dtype {array.dtype}"
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    text = str(value)
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."


def document_lines(doc: Any, indent: str = "") -> Iterator[str]:
    """The document as lines of text, nested documents below it."""
    yield f"{indent}Document: {doc.id}"
    for name, value in _fields(doc):
        yield f"{indent}  {name}: {describe(value)}"
    for name in ("chunks", "matches"):
        nested = doc.__dict__[name]
        if nested:
            yield f"{indent}  {name}:"
            for child in nested:
                yield from document_lines(child, indent + "    ")


def _fields(doc: Any) -> list[tuple[str, Any]]:
    hidden = {"id", "chunks", "matches"}
    return [(name, value) for name, value in stored_items(doc) if name not in hidden and not is_empty(value)]


def document_tree(doc: Any) -> Tree:
    """The document as a rich tree of tables."""
    from rich.table import Table
    from rich.text import Text
    from rich.tree import Tree

    tree = Tree(Text(f"Document: {doc.id}", style="bold"))
    table = Table("Attribute", "Value")
    for name, value in _fields(doc):
        table.add_row(name, Text(describe(value)))
    if table.row_count:
        tree.add(table)
    for name in ("chunks", "matches"):
        if doc.__dict__[name]:
            branch = tree.add(name)
            for child in doc.__dict__[name]:
                branch.add(document_tree(child))
    return tree


def array_facts(docs: Sequence[Any]) -> list[tuple[str, str]]:
    """Name and value of what is known about the array as a whole."""
    kinds = {doc.non_empty_fields for doc in docs}
    common = [name for name in (docs[0].non_empty_fields if docs else ()) if all(name in kind for kind in kinds)]
    nested = [name for name in ("chunks", "matches") if any(doc.__dict__[name] for doc in docs)]
    facts = [("Type", type(docs).__name__), ("Length", str(len(docs))), ("Homogeneous", str(len(kinds) <= 1))]
    if nested:
        facts.append(("Nested documents in", ", ".join(nested)))
    return [*facts, ("Common attributes", ", ".join(common))]


def array_columns(docs: Sequence[Any]) -> list[tuple[str, str, str, str]]:
    """For each attribute: name, types, number of different values (empty for arrays), whether some have none."""
    names = dict.fromkeys(name for doc in docs for name in doc.non_empty_fields)
    rows = []
    for name in names:
        values = [value for doc in docs for key, value in stored_items(doc) if key == name and not is_empty(value)]
        types = ", ".join(sorted({type(value).__name__ for value in values}))
        rows.append((name, types, _different(values), str(len(values) < len(docs))))
    return rows


def _different(values: list[Any]) -> str:
    try:
        return str(len(set(values)))
    except TypeError:
        return ""


def array_lines(docs: Sequence[Any]) -> Iterator[str]:
    """The array as lines of text."""
    for name, value in array_facts(docs):
        yield f"{name}: {value}"
    for name, types, different, missing in array_columns(docs):
        yield f"  {name}: {types}; different values: {different or '-'}; some empty: {missing}"


def print_array(docs: Sequence[Any]) -> None:
    """Print two tables about the array."""
    from rich import print as rich_print
    from rich.table import Table

    facts = Table(title="Documents Summary", show_header=False)
    for fact in array_facts(docs):
        facts.add_row(*fact)
    rich_print(facts)
    columns = Table("Attribute", "Data type", "Different values", "Has empty value", title="Attributes Summary")
    for row in array_columns(docs):
        columns.add_row(*row)
    if columns.row_count:
        rich_print(columns)

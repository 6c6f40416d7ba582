"""A DocumentArray to and from dicts, JSON, CSV, data frames and files.

Bytes, base64, protobuf and binary files are DocArray's own (`to_bytes`, `from_bytes`, `save_binary`, ...), with
protobuf as the default: bytes from elsewhere are never unpickled unless the caller asks for pickle.
"""

from __future__ import annotations

import contextlib
import csv
import importlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from jina.documents.document import FIELDS, LEGACY_FIELDS, Document
from jina.errors import ConfigError

_KNOWN = {*FIELDS, *LEGACY_FIELDS}
_JSON_CELLS = {"tensor", "embedding", "tags", "scores", "chunks", "matches", "location", "evaluations"}
_TAG = "tag__"


def check_format(file_format: str) -> None:
    """ConfigError for a format that files do not have."""
    if file_format not in {"binary", "json", "csv"}:
        raise ConfigError(f"file_format: {file_format!r} is not 'binary', 'json' or 'csv'")


def write_json(docs: Iterable[Any], file: Any, encoding: str) -> None:
    """Write a JSON array with one document per line."""
    with opened(file, "w", encoding) as stream:
        lines = ",\n".join(doc.to_json() for doc in docs)
        stream.write(f"[\n{lines}\n]\n" if lines else "[]\n")


def write_csv(
    rows: Sequence[Mapping[str, str]],
    file: Any,
    exclude_fields: Sequence[str],
    dialect: Any,
    with_header: bool,
    encoding: str,
) -> None:
    """Write rows as CSV, with a column for each name that some row has."""
    columns = [name for name in dict.fromkeys(name for row in rows for name in row) if name not in exclude_fields]
    with opened(file, "w", encoding) as stream:
        writer = csv.DictWriter(stream, columns, dialect=dialect, extrasaction="ignore", restval="")
        if with_header:
            writer.writeheader()
        writer.writerows(rows)


def read_csv(file: Any, names: Mapping[str, str], encoding: str, dialect: Any) -> Iterator[Document]:
    """One document per row; `names` renames columns."""
    with opened(file, "r", encoding) as stream:
        for row in csv.DictReader(stream, dialect=dialect):
            cells = {str(names.get(column, column)): cell for column, cell in row.items()}
            yield _from_cells({name: _parsed(name, text) for name, text in cells.items() if text})


def read_dataframe(df: Any) -> Iterator[Document]:
    """One document per row of a pandas data frame."""
    for row in df.to_dict(orient="records"):
        yield _from_cells({str(name): _cell(value) for name, value in row.items()})


@contextlib.contextmanager
def opened(file: Any, mode: str, encoding: str) -> Iterator[IO[str]]:
    """The file at a path, or the one that is open."""
    if hasattr(file, "read") or hasattr(file, "write"):
        yield file
        return
    with Path(file).open(mode, encoding=encoding, newline="") as stream:
        yield stream


def row_of(doc: Any, flatten_tags: bool) -> dict[str, str]:
    """The fields of a document that are set, as text."""
    fields = {name: value for name, value in doc.to_dict(exclude_none=True).items() if value != {}}
    if flatten_tags:
        tags = fields.pop("tags", {})
        fields |= {f"{_TAG}{name}": value for name, value in tags.items()}
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()}


def _parsed(name: Any, text: str) -> Any:
    if name not in _JSON_CELLS:
        return float(text) if name in {"weight", "offset"} else text
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"column {name}: {text[:40]!r} is not JSON: {error}") from None


def _from_cells(cells: Mapping[str, Any]) -> Document:
    fields: dict[str, Any] = {}
    tags: dict[str, Any] = {}
    for name, value in cells.items():
        if value is None:
            continue
        if name in _KNOWN or name == "uri":
            fields[name] = value
        else:
            tags[name.removeprefix(_TAG)] = value
    if tags:
        fields["tags"] = {**fields.get("tags", {}), **tags}
    return Document.from_dict(fields)


def _cell(value: Any) -> Any:
    """A data frame's cell, with its several kinds of "nothing" (NaN, NaT, NA) as None."""
    is_scalar = not hasattr(value, "__len__")
    return None if value is None or (is_scalar and bool(pandas().isna(value))) else value


def pandas() -> Any:
    """The package; ConfigError where it is not installed."""
    try:
        return importlib.import_module("pandas")
    except ImportError:
        raise ConfigError("data frames need pandas, which is not installed", help="pip install pandas") from None

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
from typing import IO, Any, Self

from jina.documents.base import DocumentList, T_doc
from jina.documents.document import FIELDS, LEGACY_FIELDS, Document
from jina.errors import ConfigError

_KNOWN = {*FIELDS, *LEGACY_FIELDS}
_JSON_CELLS = {"tensor", "embedding", "tags", "scores", "chunks", "matches", "location", "evaluations"}
_TAG = "tag__"


class InputOutput(DocumentList[T_doc]):
    """The part of DocumentArray that is written and read."""

    def to_list(self, *, exclude_none: bool = False) -> list[dict[str, Any]]:
        """One dict per document, of types that JSON has; see `Document.to_dict`."""
        return [doc.to_dict(exclude_none=exclude_none) for doc in self]

    to_dict = to_list

    @classmethod
    def from_list(cls, values: Iterable[Mapping[str, Any]]) -> Self:
        """The array of what `to_list` gave."""
        return cls(Document.from_dict(dict(value)) for value in values)

    from_dict = from_list

    def to_json(self, *, exclude_none: bool = False, indent: int | None = None) -> str:
        """A JSON array, see `Document.to_json`."""
        return json.dumps(self.to_list(exclude_none=exclude_none), indent=indent)

    @classmethod
    def from_json(cls, file: str | bytes | bytearray) -> Self:
        """The array of what `to_json` gave. ValueError when it is no JSON array of objects."""
        values = json.loads(file)
        if not isinstance(values, list):
            raise ValueError(f"from_json: expected a JSON array of documents, got {type(values).__name__}")  # noqa: TRY004 - the text is wrong, not an argument
        return cls.from_list(values)

    def save(self, file: Any, file_format: str = "binary", encoding: str = "utf-8") -> None:
        """Write to a file (a path, or one that is open) as 'binary', 'json' or 'csv'."""
        if file_format == "binary":
            self.save_binary(file)
        elif file_format == "json":
            self.save_json(file, encoding=encoding)
        elif file_format == "csv":
            self.save_csv(file, encoding=encoding)
        else:
            raise ConfigError(f"file_format: {file_format!r} is not 'binary', 'json' or 'csv'")

    @classmethod
    def load(cls, file: Any, file_format: str = "binary", encoding: str = "utf-8", **options: Any) -> Any:
        """Read what `save` wrote; options as of `load_binary` or `load_csv`."""
        if file_format == "binary":
            return cls.load_binary(file, **options)
        if file_format == "json":
            return cls.load_json(file, encoding=encoding)
        if file_format == "csv":
            return cls.load_csv(file, encoding=encoding, **options)
        raise ConfigError(f"file_format: {file_format!r} is not 'binary', 'json' or 'csv'")

    def save_json(self, file: Any, encoding: str = "utf-8") -> None:
        """Write as JSON, one document per line inside the array."""
        with _opened(file, "w", encoding) as stream:
            lines = ",\n".join(doc.to_json() for doc in self)
            stream.write(f"[\n{lines}\n]\n" if lines else "[]\n")

    @classmethod
    def load_json(cls, file: Any, encoding: str = "utf-8") -> Self:
        """Read what `save_json` wrote, or any JSON array of documents."""
        with _opened(file, "r", encoding) as stream:
            return cls.from_json(stream.read())

    def save_csv(
        self,
        file: Any,
        flatten_tags: bool = True,
        exclude_fields: Sequence[str] | None = None,
        dialect: Any = "excel",
        with_header: bool = True,
        encoding: str = "utf-8",
    ) -> None:
        """Write as CSV: a column for each field that some document has.

        Each tag has a column `tag__NAME` (`flatten_tags=False`: all in one column, as JSON). Arrays, lists and
        dicts are JSON, blobs base64.
        """
        rows = [_row(doc, flatten_tags) for doc in self]
        columns = [
            name for name in dict.fromkeys(name for row in rows for name in row) if name not in (exclude_fields or ())
        ]
        with _opened(file, "w", encoding) as stream:
            writer = csv.DictWriter(stream, columns, dialect=dialect, extrasaction="ignore", restval="")
            if with_header:
                writer.writeheader()
            writer.writerows(rows)

    @classmethod
    def load_csv(
        cls, file: Any, field_resolver: Mapping[str, str] | None = None, encoding: str = "utf-8", dialect: Any = "excel"
    ) -> Self:
        """Read CSV with a header. A column that is no field becomes a tag, with its text as value.

        `field_resolver` renames columns; `tag__NAME` is the tag NAME.
        """
        names = dict(field_resolver or {})
        with _opened(file, "r", encoding) as stream:
            rows = csv.DictReader(stream, dialect=dialect)
            return cls(_from_row({names.get(column, column): cell for column, cell in row.items()}) for row in rows)

    def to_csv(self, file_path: str, dialect: Any = "excel") -> None:
        """As `save_csv`, by the name that DocArray gives it."""
        self.save_csv(file_path, dialect=dialect)

    @classmethod
    def from_csv(cls, file_path: str, encoding: str = "utf-8", dialect: Any = "excel") -> Self:
        """As `load_csv`, by the name that DocArray gives it."""
        return cls.load_csv(file_path, encoding=encoding, dialect=dialect)

    def to_dataframe(self) -> Any:
        """A pandas data frame with one row per document and one column per field, values as `to_list` gives them."""
        return _pandas().DataFrame.from_records(self.to_list())

    @classmethod
    def from_dataframe(cls, df: Any) -> Self:
        """One document per row; columns that are no field become tags, empty cells are left out."""
        rows = df.to_dict(orient="records")
        return cls(_from_cells({str(name): _cell(value) for name, value in row.items()}) for row in rows)

    @classmethod
    def from_ndarray(cls, array: Any) -> Self:
        """One document per row, with the row as its tensor."""
        return cls(Document(tensor=row) for row in array)


@contextlib.contextmanager
def _opened(file: Any, mode: str, encoding: str) -> Iterator[IO[str]]:
    if hasattr(file, "read") or hasattr(file, "write"):
        yield file
        return
    with Path(file).open(mode, encoding=encoding, newline="") as stream:
        yield stream


def _row(doc: Any, flatten_tags: bool) -> dict[str, str]:
    fields = {name: value for name, value in doc.to_dict(exclude_none=True).items() if value != {}}
    if flatten_tags:
        tags = fields.pop("tags", {})
        fields |= {f"{_TAG}{name}": value for name, value in tags.items()}
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()}


def _from_row(row: Mapping[Any, Any]) -> Document:
    return _from_cells({str(name): _parsed(name, text) for name, text in row.items() if text})


def _parsed(name: Any, text: str) -> Any:
    if name not in _JSON_CELLS:
        return float(text) if name in {"weight", "offset"} else text
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"column {name}: {text[:40]!r} is no JSON: {error}") from None


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
    return None if value is None or (is_scalar and bool(_pandas().isna(value))) else value


def _pandas() -> Any:
    try:
        return importlib.import_module("pandas")
    except ImportError:
        raise ConfigError("data frames need pandas, which is not installed", help="pip install pandas") from None

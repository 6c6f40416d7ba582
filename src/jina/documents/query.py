"""Filters in the query language: `{'tags__price': {'$gt': 1, '$lte': 10}}`, joined by `$and`, `$or`, `$not`.

A filter is compiled once and then asked about documents of any kind (schemaless, typed, or anything that
`read(path)` can look into); this module imports no document class.

Operators: `$eq $ne $neq $gt $gte $lt $lte $in $nin $regex $size $exists`. A field is an attribute path with `__`
between its parts. A plain value stands for `$eq`; a value '{other__field}' for that field of the same document.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from jina.errors import ConfigError, nearest

Read = Callable[[str], Any]
"""Gives the value at an attribute path of one document, None where there is none."""

Check = Callable[[Read], bool]


class QueryError(ConfigError):
    """A filter is not written in the query language."""


class Query:
    """A compiled filter.

    `names` are the first parts of the attribute paths that it reads.
    """

    def __init__(self, query: Mapping[str, Any]) -> None:
        self.names: set[str] = set()
        self._check = self._all(query, "the filter")

    def matches(self, read: Read) -> bool:
        """Whether the document that `read` looks into passes; a missing field passes no comparison but `$ne`."""
        return self._check(read)

    def _all(self, query: Any, where: str) -> Check:
        if not isinstance(query, Mapping):
            raise QueryError(f"{where}: expected a dict like {{'tags__price': {{'$gt': 1}}}}, got {query!r}")
        checks = [self._part(str(key), value) for key, value in query.items()]
        return lambda read: all(check(read) for check in checks)

    def _part(self, key: str, value: Any) -> Check:
        if key in {"$and", "$or"}:
            checks = self._several(key, value)
            join = all if key == "$and" else any
            return lambda read: join(check(read) for check in checks)
        if key == "$not":
            check = self._all(value, key)
            return lambda read: not check(read)
        if key.startswith("$"):
            raise QueryError(f"{key} is not allowed where a field is expected{_near(key, ['$and', '$or', '$not'])}")
        return self._field(key, value)

    def _several(self, key: str, value: Any) -> list[Check]:
        if isinstance(value, Mapping):
            return [self._part(str(name), item) for name, item in value.items()]
        if isinstance(value, list | tuple):
            return [self._all(item, key) for item in value]
        raise QueryError(f"{key}: expected a dict or a list of dicts, got {value!r}")

    def _field(self, path: str, conditions: Any) -> Check:
        self.names.add(path.partition("__")[0])
        if not isinstance(conditions, Mapping) or not any(str(name).startswith("$") for name in conditions):
            conditions = {"$eq": conditions}
        checks = [self._condition(path, str(name), value) for name, value in conditions.items()]
        return lambda read: all(check(read) for check in checks)

    def _condition(self, path: str, name: str, value: Any) -> Check:
        test = _OPERATORS.get(name)
        if name == "$not":
            check = self._field(path, value)
            return lambda read: not check(read)
        if test is None:
            raise QueryError(f"{path}: no operator {name!r}{_near(name, _OPERATORS)}")
        if name == "$regex":
            value = _compiled(path, value)
        other = _reference(value)
        if other is not None:
            self.names.add(other.partition("__")[0])
            return lambda read: test(read(path), read(other))
        return lambda read: test(read(path), value)


def _near(name: str, known: Iterable[str]) -> str:
    known = list(known)
    near = nearest(name, known)
    return f"; did you mean {near}?" if near else f"; there are {' '.join(known)}"


def _compiled(path: str, pattern: Any) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except (re.error, TypeError) as error:
        raise QueryError(f"{path}: $regex {pattern!r} is not a regular expression: {error}") from None


def _reference(value: Any) -> str | None:
    if isinstance(value, str) and value.startswith("{") and value.endswith("}"):
        return value[1:-1].strip()
    return None


def _ordering(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def test(value: Any, bound: Any) -> bool:
        if value is None or bound is None:
            return False
        try:
            return bool(compare(value, bound))
        except TypeError:
            return False  # a str is neither above nor below a number

    return test


def _equal(value: Any, other: Any) -> bool:
    try:
        return bool(value == other)
    except ValueError:
        return False  # arrays of several elements have no single truth


def _is_set(value: Any) -> bool:
    if value is None:
        return False
    return not (isinstance(value, str | bytes | Mapping | list | tuple) and len(value) == 0)


def _contains(values: Any, value: Any) -> bool:
    return any(_equal(value, item) for item in values)


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "$eq": _equal,
    "$ne": lambda value, other: not _equal(value, other),
    "$neq": lambda value, other: not _equal(value, other),
    "$gt": _ordering(operator.gt),
    "$gte": _ordering(operator.ge),
    "$lt": _ordering(operator.lt),
    "$lte": _ordering(operator.le),
    "$in": lambda value, values: _contains(values, value),
    "$nin": lambda value, values: not _contains(values, value),
    "$regex": lambda value, pattern: isinstance(value, str) and pattern.search(value) is not None,
    "$size": lambda value, size: hasattr(value, "__len__") and len(value) == size,
    "$exists": lambda value, wanted: _is_set(value) == bool(wanted),
}

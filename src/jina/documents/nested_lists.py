"""Makes fields like `DocList[Page]` work on Python 3.12 and later.

Cause: there DocArray (up to 0.41) returns `types.GenericAlias(TypedList, Page)` for `DocList[Page]`. When pydantic
evaluates the annotations of a class, Python rebuilds such an alias as `TypedList[(Page,)]`, and DocArray's
`__class_getitem__` refuses to subscribe a class that already has a document type: `TypeError: <class 'DocList'> object
is not subscriptable`. So no document class with a nested list can be defined, DocArray's own `LegacyDocument` included.

The function is wrapped: subscribing a typed list with the very document type that it has gives the same alias again.
"""

from __future__ import annotations

import sys
import types
from typing import Any, get_origin

from docarray import BaseDoc, DocList


def ensure_nested_lists() -> bool:
    """Repair DocArray if it has the fault; whether it was repaired by this call.

    It only helps classes that are defined later, so it is called before user code is imported.
    """
    if sys.hexversion < 0x030C0000 or not _is_at_fault():
        return False
    original = DocList.__class_getitem__.__func__  # type: ignore[attr-defined]

    def subscribe(cls: Any, item: Any) -> Any:
        asked = item[0] if isinstance(item, tuple) and len(item) == 1 else item
        if "doc_type" in vars(cls) and cls.doc_type is asked:
            return types.GenericAlias(cls, asked)
        return original(cls, item)

    DocList.__class_getitem__ = classmethod(subscribe)  # type: ignore[assignment, method-assign]
    return True


def _is_at_fault() -> bool:
    try:
        typed: Any = get_origin(DocList[BaseDoc])
        typed[(BaseDoc,)]
    except TypeError:
        return True
    return False

"""Equality of documents that looks at classes, ids, dtypes and shapes as well."""

import math

import numpy as np
from docarray import DocVec
from docarray.base_doc.doc import BaseDocWithoutId


def same(one, other) -> bool:
    """Whether two values are of one class and equal all the way down; NaN equals NaN."""
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        return (
            one.dtype == other.dtype
            and one.shape == other.shape
            and np.asarray(one).tobytes() == np.asarray(other).tobytes()
        )
    if isinstance(one, BaseDocWithoutId):
        return same(dict(one), dict(other))
    if isinstance(one, DocVec):
        return same([dict(doc) for doc in one], [dict(doc) for doc in other])
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and math.isnan(one):
        return math.isnan(other)
    return bool(one == other)

# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.jaml` of Jina 3."""

from jina.legacy.jaml import (
    JAML as JAML,
    JAMLCompatible as JAMLCompatible,
)

__all__ = [
    "JAML",
    "JAMLCompatible",
]

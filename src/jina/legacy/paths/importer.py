# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.importer` of Jina 3."""

from jina.legacy.importer import (
    ImportExtensions as ImportExtensions,
    PathImporter as PathImporter,
)

__all__ = [
    "ImportExtensions",
    "PathImporter",
]

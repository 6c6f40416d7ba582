# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.proto` of Jina 3."""

from jina.legacy.importer import modules_of

__getattr__ = modules_of(__name__)

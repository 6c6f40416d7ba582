# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.types` of Jina 3."""

# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.logging` of Jina 3."""

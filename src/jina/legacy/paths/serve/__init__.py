# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.serve` of Jina 3."""

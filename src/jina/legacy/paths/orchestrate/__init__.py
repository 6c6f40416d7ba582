# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.orchestrate` of Jina 3."""

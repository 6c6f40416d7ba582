# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.orchestrate.flow` of Jina 3."""

# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.serve.runtimes` of Jina 3."""

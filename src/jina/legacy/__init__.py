"""Module paths of Jina 3 that public Executors import, re-exported from the rooms.

Takes: nothing.
Gives: names.
Never: holds logic of its own.
"""

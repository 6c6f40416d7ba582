"""The clock of the machine may be set at any time: it tells when something was, never how long to wait."""

import ast
from pathlib import Path

import jina

SOURCES = Path(jina.__file__).parent
WALL = {("time", "time"), ("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today")}
DATES = {
    "client/http_messages.py", "documents/uploads.py", "hub/oci.py",
    "hub/registry.py", "supervisor/container.py", "supervisor/environments.py",
}  # fmt: skip
"""Where another machine named a date, from which the wait is to be computed, or the age of a file decides whether it is
removed, or a span of a log is named. None of them is a wait of ours."""


def _of_the_wall(node):
    called = node.func if isinstance(node, ast.Call) else None
    if not isinstance(called, ast.Attribute):
        return False
    owner = called.value
    name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
    return (name, called.attr) in WALL


def _reckoned(tree):
    """Lines that add to, subtract from or compare what the wall clock says."""
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp | ast.Compare | ast.AugAssign) and any(map(_of_the_wall, ast.walk(node))):
            yield node.lineno


def test_nothing_is_waited_for_by_the_wall_clock():
    texts = {
        path: text
        for path in SOURCES.rglob("*.py")
        if any(f".{called}(" in (text := path.read_text(encoding="utf-8")) for _, called in WALL)
    }
    found = {
        path.relative_to(SOURCES).as_posix(): lines
        for path, text in texts.items()
        if (lines := list(_reckoned(ast.parse(text))))
    }
    assert found.keys() <= DATES, found
    assert found.keys() >= DATES  # the look finds what there is

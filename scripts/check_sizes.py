"""Fail where a function is longer than 50 lines. Modules have no limit: a role stays in one file."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

FUNCTION_LINES = 50


def too_long(file: Path) -> list[str]:
    """One line for each thing in `file` that is too long."""
    text = file.read_text(encoding="utf-8")
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1 - _docstring_lines(node)
            if length > FUNCTION_LINES:
                found.append(f"{file}:{node.lineno}: {node.name} has {length} lines, more than {FUNCTION_LINES}")
    return found


def _docstring_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = node.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return (first.end_lineno or first.lineno) - first.lineno + 1
    return 0


def main() -> int:
    """Check the package and the folders beside it."""
    files = [f for folder in ("src", "examples", "bench", "scripts") for f in Path(folder).rglob("*.py")]
    found = [line for file in sorted(files) for line in too_long(file)]
    print("\n".join(found) or f"sizes: the functions of {len(files)} modules are within the limit")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

"""Fails where a module is over 400 lines or a function over 50: the reader's limits of this code base."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

MODULE_LINES = 400
FUNCTION_LINES = 50
GENERATED = Path("src/jina/legacy/paths")


def too_long(file: Path) -> list[str]:
    """One line for each thing in `file` that is too long."""
    text = file.read_text(encoding="utf-8")
    found = too_many_lines(file)
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


def too_many_lines(file: Path) -> list[str]:
    """One line if a module has too many."""
    lines = file.read_text(encoding="utf-8").count("\n")
    return [f"{file}: {lines} lines, more than {MODULE_LINES}"] if lines > MODULE_LINES else []


def main() -> int:
    """Check the package and what stands beside it, and the consensus agent."""
    files = [f for folder in ("src", "examples", "bench", "scripts") for f in Path(folder).rglob("*.py")]
    agent = [f for f in Path("consensus").glob("*.go") if not f.stem.endswith("_test")]
    found = [line for file in sorted(files) if GENERATED not in file.parents for line in too_long(file)]
    found += [line for file in sorted(agent) for line in too_many_lines(file)]
    files += agent
    print("\n".join(found) or f"sizes: {len(files)} modules, all within the limits")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

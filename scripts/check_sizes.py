"""Fail where a function is too long, or a class is made of too many. Modules have no limit: a role stays in one file.

A class may have two bases of ours, and four of ours above it; those of other packages are not counted.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

FUNCTION_LINES = 50
BASES = 2
CHAIN = 5


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


def too_many_bases(files: list[Path]) -> Iterator[str]:
    """One line for each class of `files` that has too many bases, or too long a chain of them, among these classes."""
    classes = {
        node.name: (file, node)
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    }
    bases = {name: [base for base in map(_name, node.bases) if base in classes] for name, (_, node) in classes.items()}
    for name, (file, node) in classes.items():
        if len(bases[name]) > BASES:
            yield f"{file}:{node.lineno}: {name} has {len(bases[name])} bases, more than {BASES}"
        if (chain := _chain(name, bases)) > CHAIN:
            yield f"{file}:{node.lineno}: {name} is the end of a chain of {chain} classes, more than {CHAIN}"


def _name(base: ast.expr) -> str:
    while isinstance(base, ast.Subscript):
        base = base.value
    return base.attr if isinstance(base, ast.Attribute) else base.id if isinstance(base, ast.Name) else ""


def _chain(name: str, bases: Mapping[str, list[str]]) -> int:
    # A class that has the name of a base of its own is one of another package, under the same name.
    return 1 + max((_chain(base, bases) for base in bases[name] if base != name), default=0)


def main() -> int:
    """Check the package and the folders beside it."""
    files = sorted(f for folder in ("src", "examples", "bench", "scripts") for f in Path(folder).rglob("*.py"))
    found = [line for file in files for line in too_long(file)]
    found += too_many_bases([file for file in files if file.parts[0] == "src"])
    print("\n".join(found) or f"sizes: the functions and classes of {len(files)} modules are within the limits")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

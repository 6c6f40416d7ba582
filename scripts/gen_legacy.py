"""Writes the modules below `src/jina/legacy/paths` from `jina.legacy.table`; with `--check` only compares."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from jina.legacy.table import TABLE

ROOT = Path(__file__).resolve().parent.parent / "src" / "jina" / "legacy" / "paths"
HEADER = "# Written by scripts/gen_legacy.py from jina/legacy/table.py.\n"


def modules() -> dict[str, str]:
    """Path below the folder -> text of each module."""
    packages = {name.rpartition(".")[0] for name in TABLE} - {""}
    missing = packages - TABLE.keys()
    if missing:
        raise SystemExit(f"the table lacks the packages {sorted(missing)}")
    found = {}
    for name, homes in TABLE.items():
        folder = name.replace(".", "/")
        is_package = name in packages
        found[f"{folder}/__init__.py" if is_package else f"{folder}.py"] = text_of(name, homes, is_package=is_package)
    return found


def text_of(name: str, homes: dict[str, str], *, is_package: bool) -> str:
    """The text of one module. A package imports its modules when they are asked for as attributes."""
    lines = [HEADER, f'"""`jina.{name}` of Jina 3."""\n']
    exported = []
    for home in sorted(homes):
        names = [entry.strip() for entry in homes[home].split(",")]
        exported += [entry.rpartition(" as ")[2] for entry in names]
        imported = "".join(f"    {entry},\n" if " as " in entry else f"    {entry} as {entry},\n" for entry in names)
        lines.append(f"\nfrom jina.{home} import (\n{imported})\n")
    if is_package:
        lines.append("\nfrom jina.legacy.importer import modules_of\n\n__getattr__ = modules_of(__name__)\n")
    if exported:
        lines.append("\n__all__ = [\n" + "".join(f'    "{entry}",\n' for entry in sorted(exported)) + "]\n")
    return "".join(lines)


def main() -> int:
    """Write or compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail where a module differs, write nothing")
    check = parser.parse_args().check
    wanted = {ROOT / path: text for path, text in modules().items()}
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    extra = [path for path in ROOT.rglob("*.py") if path not in wanted]
    if check:
        print("\n".join(str(path) for path in (*stale, *extra)) or f"legacy: {len(wanted)} modules as in the table")
        return 1 if stale or extra else 0
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted[path])
    for path in extra:
        path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())

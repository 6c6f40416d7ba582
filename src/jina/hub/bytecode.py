"""Bytecode for images: of the modules that a worker may import, as the same bytes on every machine.

The user of an image cannot write bytecode, so that without this each start of a container would compile all that it
imports; bytecode of everything that is installed would nearly double its size. What is imported is read from the
modules, which are not run: import statements, and texts that name a module, as `import_module` gets them.

This module is also a program (`python -I bytecode.py`, a JSON object on standard input), which Pythons that have no
jina run: bytecode is made by the version that reads it.
"""

from __future__ import annotations

import importlib.util
import json
import marshal
import re
import subprocess
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import CodeType
from typing import NamedTuple

_STARTUP = ("encodings.aliases", "encodings.ascii", "encodings.idna", "encodings.latin_1", "encodings.utf_8", "runpy")
"""What Python imports by itself, or by its parts in C."""
_STATEMENT = re.compile(
    r"(?:^|[;:])[ \t]*(?:import[ \t]+([\w., \t]+)|from[ \t]+([.\w]+)[ \t]+import[ \t]*(\([^)]*\)|[^\n#;]*))",
    re.MULTILINE,
)
_WORDS = re.compile(r"[A-Za-z_][\w.]*")
_NAMED = re.compile(r"""["']([A-Za-z_]\w{0,99}(?:\.[A-Za-z_]\w{0,99}){1,9})(?::\w{1,99})?["']""")
_CHECKED, _UNCHECKED = 3, 1  # PEP 552: by the digest of the source, compared with it or not
_TIME = 600.0
_MOST_TEXTS = 50


class Module(NamedTuple):
    """A module of an image."""

    name: str
    """As statements import it; `package.__init__` for a package itself."""
    source: str
    """The file on this machine."""
    place: str
    """Its absolute path in the image."""
    checked: bool = False
    """Whether Python compares its bytecode with the source: for code that somebody may mount over the image's."""


def name_of(path: str) -> str:
    """The name of the module at a path below a folder of packages, such as `a/b.py`."""
    return path.removesuffix(".py").replace("/", ".")


def compiled(
    interpreter: str, modules: Sequence[Module], roots: Sequence[Sequence[str]], folder: Path
) -> list[dict[str, Path]]:
    """Compile what each group of roots reaches and none before it; gives the files in `folder` by the modules' places.

    A root is the name of a module, or of a package with everything in it: `package.*`.
    """
    asked = {"modules": modules, "roots": roots, "folder": str(folder)}
    done = subprocess.run(  # noqa: S603 - a list of words, no shell
        [interpreter, "-I", "-S", __file__], input=json.dumps(asked), capture_output=True, text=True, timeout=_TIME,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{interpreter} compiles nothing: {done.stderr.strip()[-2000:]}")
    return [{place: folder / name for place, name in group.items()} for group in json.loads(done.stdout)]


# --- in the child -------------------------------------------------------------------------------------------------


def reached(modules: Mapping[str, Module], roots: Iterable[str], seen: set[str]) -> list[str]:
    """The modules that the roots import, and what these import, without those of the names in `seen`; adds to it."""
    waiting = list(_STARTUP)
    for root in roots:
        start = root.removesuffix("*")
        waiting += [root] if start == root else [name for name in modules if name.startswith(start)]
    found: list[str] = []
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name not in modules:
            waiting += [f"{name}.__init__"] if f"{name}.__init__" in modules else []
            continue
        found.append(name)
        waiting += sorted(imports(Path(modules[name].source).read_bytes(), name))
        parts = name.split(".")
        waiting += [".".join(parts[:count]) for count in range(1, len(parts))]
    return sorted(found)


def imports(source: bytes, name: str) -> set[str]:
    """What the module may import: the text is searched, because a tree of each module would take most of the time.

    What only looks like a statement, as in a docstring, counts too.
    """
    found: set[str] = set()
    package = name.split(".")[:-1]
    text = source.replace(b"\\\n", b" ").decode(errors="replace")
    for match in _STATEMENT.finditer(text):
        modules, origin, names = match.groups()
        if modules:
            found.update(_WORDS.findall(modules))
            continue
        module = origin.lstrip(".")
        level = len(origin) - len(module)
        start = package[: len(package) + 1 - level] if level else []
        whole = ".".join([*start, *([module] if module else [])])
        found.update((whole, *(f"{whole}.{one}" for one in _WORDS.findall(names))))
    named = set(_NAMED.findall(text))
    # A module that names very many is a register, such as that of Pygments' 500 languages.
    return found | named if len(named) <= _MOST_TEXTS else found


def bytecode(source: bytes, place: str, *, checked: bool = False) -> bytes | None:
    """A module as Python caches it; None where it has no form that is always the same."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            code = compile(source, place, "exec", dont_inherit=True, optimize=0)
        # Without references (version 2) it only depends on the code, and read again, so do the objects in it. With
        # references a quarter smaller: for each object that is held elsewhere, which here is each of them. Otherwise
        # it would depend on what else the process holds.
        code = marshal.loads(marshal.dumps(code, 2))  # noqa: S302 - just written
        held = _held(code)
        data = marshal.dumps(code)
        del held
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    flags = (_CHECKED if checked else _UNCHECKED).to_bytes(4, "little")
    return importlib.util.MAGIC_NUMBER + flags + importlib.util.source_hash(source) + data


def _held(code: CodeType) -> list[object]:
    """All objects of a code object that can be asked for."""
    found: list[object] = []
    waiting: list[object] = [code]
    while waiting:
        one = waiting.pop()
        found.append(one)
        if isinstance(one, CodeType):
            waiting += [one.co_consts, one.co_names, one.co_varnames, one.co_cellvars, one.co_freevars]
            waiting += [one.co_filename, one.co_name, one.co_qualname, one.co_linetable, one.co_exceptiontable]
        elif isinstance(one, tuple | frozenset):
            waiting += one
    return found


def _main() -> None:
    asked = json.load(sys.stdin)
    modules = {module.name: module for module in (Module(*one) for one in asked["modules"])}
    seen: set[str] = set()
    written: list[dict[str, str]] = []
    for group, roots in enumerate(asked["roots"]):
        written.append({})
        for number, name in enumerate(reached(modules, roots, seen)):
            module = modules[name]
            data = bytecode(Path(module.source).read_bytes(), module.place, checked=module.checked)
            if data is not None:
                Path(asked["folder"], f"{group}-{number}.pyc").write_bytes(data)
                written[-1][module.place] = f"{group}-{number}.pyc"
    json.dump(written, sys.stdout)


if __name__ == "__main__":
    _main()

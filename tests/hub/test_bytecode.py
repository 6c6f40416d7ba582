"""Bytecode of images: what is compiled, and that it is the code, as the same bytes in every process."""

from __future__ import annotations

import ast
import importlib.util
import marshal
import subprocess
import sys
from pathlib import Path

import pytest

from jina.hub import bytecode

STANDARD = sorted(Path(ast.__file__).parent.glob("*.py"))


def write(folder: Path, files: dict[str, str]) -> dict[str, bytecode.Module]:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    made = (bytecode.Module(bytecode.name_of(path), str(folder / path), f"/lib/{path}") for path in files)
    return {module.name: module for module in made}


@pytest.mark.parametrize("file", STANDARD[::8], ids=lambda file: file.name)
def test_it_is_the_code_and_smaller_than_without_references(file):
    source = file.read_bytes()
    made = bytecode.bytecode(source, f"/lib/{file.name}")
    code = compile(source, f"/lib/{file.name}", "exec", dont_inherit=True, optimize=0)
    assert made[:4] == importlib.util.MAGIC_NUMBER
    assert (made[4:8], made[8:16]) == ((1).to_bytes(4, "little"), importlib.util.source_hash(source))
    assert marshal.loads(made[16:]) == code
    assert len(made) <= 16 + len(marshal.dumps(code, 2))


def test_another_process_makes_the_same_bytes(tmp_path):
    """Whatever it holds besides: Python's own references depend on that."""
    program = (
        "import sys, hashlib, json\n"
        "if sys.argv[1] == 'more': import asyncio, logging, typing, unittest, xml.dom.minidom\n"
        "from jina.hub.bytecode import bytecode\n"
        "files = json.load(sys.stdin)\n"
        "print(hashlib.sha256(b''.join(bytecode(open(one, 'rb').read(), one) for one in files)).hexdigest())\n"
    )
    files = "[" + ",".join(f'"{file}"' for file in STANDARD[::16]) + "]"
    found = {
        subprocess.run(
            [sys.executable, "-c", program, word], input=files, capture_output=True, text=True, timeout=60, check=True
        ).stdout
        for word in ("more", "less")
    }
    assert len(found) == 1


def test_what_no_version_can_compile_has_none():
    assert bytecode.bytecode(b"def (", "/x.py") is None
    assert bytecode.bytecode(b"x = '\0'", "/x.py") is None


def test_what_is_imported_is_found_without_running_it(tmp_path):
    modules = write(
        tmp_path,
        {
            "jina/__init__.py": "raise SystemExit('run')\n",
            "jina/deep/worker.py": "def f():\n    import lazy.inner\n",
            "lazy/__init__.py": "from . import (  # both\n    beside,\n)\nfrom .below.more \\\n    import name\n",
            "lazy/inner.py": "PATH = 'named.text:Class'\n",
            "lazy/beside.py": "",
            "lazy/below/__init__.py": "",
            "lazy/below/more.py": "name = 1\n",
            "lazy/unused.py": "",
            "named/__init__.py": "",
            "named/text.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import hinted\n",
            "hinted.py": "",
            "tests/test_all.py": "import lazy.unused\n",
            "broken.py": "def (\n",
        },
    )
    assert sorted(bytecode.reached(modules, ["jina.*"], set())) == [
        "hinted", "jina.__init__", "jina.deep.worker", "lazy.__init__", "lazy.below.__init__", "lazy.below.more",
        "lazy.beside", "lazy.inner", "named.__init__", "named.text",
    ]  # fmt: skip
    assert sorted(bytecode.reached(modules, ["tests.*", "broken"], set())) == [
        "broken", "lazy.__init__", "lazy.below.__init__", "lazy.below.more", "lazy.beside", "lazy.unused",
        "tests.test_all",
    ]  # fmt: skip


def test_a_python_of_its_own_compiles_into_a_folder(tmp_path):
    modules = write(tmp_path / "packages", {"jina.py": "import a\n", "a.py": "X = 1\n", "b.py": ""})
    (tmp_path / "out").mkdir()
    made, more = bytecode.compiled(sys.executable, list(modules.values()), [["jina"], ["b", "a"]], tmp_path / "out")
    assert (sorted(made), sorted(more)) == (["/lib/a.py", "/lib/jina.py"], ["/lib/b.py"])
    values: dict[str, object] = {}
    exec(marshal.loads(made["/lib/a.py"].read_bytes()[16:]), values)
    assert values["X"] == 1
    with pytest.raises(RuntimeError, match="compiles nothing"):
        bytecode.compiled("/bin/false", [], [], tmp_path / "out")

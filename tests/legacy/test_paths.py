"""Module paths of Jina 3: importable as the table says, and clear where something comes later."""

import importlib
import importlib.util
import pkgutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import jina
from jina.errors import JinaError, NotSupportedError, RuntimeFailToStart
from jina.legacy import later
from jina.legacy.paths import TABLE

ROOT = Path(__file__).resolve().parents[2]


def run(code):
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_every_package_of_a_path_is_in_the_table():
    assert {name.rpartition(".")[0] for name in TABLE} - {""} <= TABLE.keys()


def test_the_import_leaves_the_import_system_as_it_is():
    run("""
import os, sys
before = list(sys.meta_path), list(sys.path_hooks)
import jina
assert before == (list(sys.meta_path), list(sys.path_hooks))
ours = os.path.dirname(jina.__file__)
finders = {entry: finder for entry, finder in sys.path_importer_cache.items() if "PathsFinder" in repr(finder)}
assert [entry.startswith(ours) for entry in finders] == [True], finders
loaded = {name for name in sys.modules if name.partition(".")[0] == "jina"}
assert loaded == {"jina", "jina.legacy", "jina.legacy.paths", "jina.version"}
""")


@pytest.mark.parametrize("name", sorted(TABLE))
def test_every_path_is_found_without_an_import_of_it_before(name):
    parent = importlib.import_module(f"jina.{name}".rpartition(".")[0])
    spec = importlib.machinery.PathFinder.find_spec(f"jina.{name}", parent.__path__)
    is_package = any(other.startswith(f"{name}.") for other in TABLE)
    assert (spec.name, spec.submodule_search_locations is not None) == (f"jina.{name}", is_package)
    found = {one.name: one.ispkg for one in pkgutil.iter_modules(parent.__path__, f"{parent.__name__}.")}
    assert found[f"jina.{name}"] is is_package


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("import jina.nothing", "ModuleNotFoundError: No module named 'jina.nothing'"),
        ("import jina.serve.nothing", "ModuleNotFoundError: No module named 'jina.serve.nothing'"),
        (
            "import jina.helper.x",
            "ModuleNotFoundError: No module named 'jina.helper.x'; 'jina.helper' is not a package",
        ),
        ("import jina.legacy.paths.serve", "ModuleNotFoundError: No module named 'jina.legacy.paths.serve'"),
        ("from jina.helper import nothing", "ImportError: cannot import name 'nothing' from 'jina.helper'"),
        ("import jina.serve; jina.serve.nothing", "AttributeError: module 'jina.serve' has no attribute 'nothing'"),
    ],
)
def test_what_is_not_there_is_said_as_of_any_module(statement, error):
    done = subprocess.run([sys.executable, "-c", statement], check=False, capture_output=True, text=True, timeout=60)
    assert done.stderr.splitlines()[-1].startswith(error)


def test_caches_reloads_and_second_imports():
    run("""
import importlib, sys
import jina.excepts
importlib.invalidate_caches()
first, names = jina.excepts, dict(vars(jina.excepts))
assert importlib.reload(first) is first and {name: vars(first)[name] for name in first.__all__}.items() <= names.items()
import jina.serve.executors
for name in [name for name in sys.modules if name.partition(".")[0] == "jina"]:
    del sys.modules[name]
import jina.serve.executors as again
assert again.BaseExecutor.__name__ == "Executor" and "jina.serve" in repr(sys.modules["jina.serve"])
""")


@pytest.mark.parametrize("name", sorted(TABLE))
def test_every_path_gives_its_names(name):
    module = importlib.import_module(f"jina.{name}")
    assert str(module.__file__).startswith(str(ROOT / "src/jina/legacy/paths"))
    for home, names in TABLE[name].items():
        for entry in names.split(","):
            original, _, alias = entry.strip().partition(" as ")
            expected = getattr(importlib.import_module(f"jina.{home}"), original)
            assert getattr(module, alias or original) is expected
            assert (alias or original) in module.__all__


def test_no_path_hides_a_room_or_a_public_name():
    rooms = {path.name for path in (ROOT / "src/jina").iterdir() if path.is_dir() or path.suffix == ".py"}
    tops = {name.partition(".")[0] for name in TABLE}
    assert not tops & (rooms | {path.removesuffix(".py") for path in rooms} | set(jina.__all__))


def test_what_public_executors_import():
    from jina.excepts import BadClient, BaseJinaException
    from jina.logging.logger import JinaLogger
    from jina.serve.executors import BaseExecutor
    from jina.serve.executors.decorators import dynamic_batching, requests, write

    import jina.executor

    assert BaseExecutor is jina.executor.Executor
    assert (requests, write, dynamic_batching) == (
        jina.executor.requests, jina.executor.write, jina.executor.dynamic_batching,
    )  # fmt: skip
    assert issubclass(BadClient, BaseJinaException)
    assert BaseJinaException is JinaError
    # Names of earlier versions, which tests and clients of public programs import.
    from jina.clients.base import CallbackFnType, InputType
    from jina.excepts import BadDocType, ExecutorFailToLoad, NoAvailablePortError

    from jina import __default_host__

    assert __default_host__ == importlib.import_module("jina.constants").__default_host__
    assert issubclass(NoAvailablePortError, BaseJinaException)
    assert issubclass(BadDocType, TypeError)
    assert ExecutorFailToLoad is RuntimeFailToStart
    assert (CallbackFnType, InputType) == (Callable[..., None] | None, Any)
    JinaLogger("x").success("done %d", 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "used",
    [
        "jina.helper.random_port() > 0",
        "jina.logging.logger.JinaLogger('x').name == 'x'",
        "jina.excepts.BadClient is jina.errors.BadClient",
        "jina.types.request.data.Response.__name__ == 'Response'",
        "jina.clients.Client is jina.Client",
        "jina.clients.grpc.GRPCClient.__name__ == 'GRPCClient'",
        "jina.enums.PollingType.ANY.name == 'ANY'",
        "jina.serve.executors.BaseExecutor is jina.Executor",
        "jina.serve.executors.decorators.requests is jina.requests",
        "jina.serve.runtimes.gateway.http.fastapi.FastAPIBaseGateway is jina.FastAPIBaseGateway",
        "jina.orchestrate.flow.base.Flow is jina.Flow",
        "jina._docarray.Document is jina.Document",
        "not hasattr(jina, 'no_such_module') and not hasattr(jina.serve, 'no_such_module')",
    ],
)
def test_modules_are_attributes_after_a_plain_import(used):
    code = f"import jina; assert {used}"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_every_module_of_the_table_is_reached_by_attributes():
    code = f"""
import functools
import jina
for name in {sorted(TABLE)!r}:
    assert functools.reduce(getattr, name.split("."), jina).__name__ == f"jina.{{name}}"
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_document_types_come_from_docarray_switch():
    from jina._docarray import Document, DocumentArray, docarray_v2

    assert docarray_v2 is True
    assert Document is jina.Document
    assert DocumentArray is jina.DocumentArray


@pytest.mark.parametrize(
    "cls", [value for value in vars(later).values() if isinstance(value, type) and value.__module__ == later.__name__]
)
def test_classes_that_come_later_say_so(cls):
    with pytest.raises(NotSupportedError, match=f"{cls.__name__} is not available yet"):
        cls(1, a=2)
    if cls is not later.Later:
        with pytest.raises(NotSupportedError, match=cls.__name__):
            type("Mine", (cls,), {})


@pytest.mark.parametrize("name", ["export_schema"])
def test_functions_that_come_later_say_so(name):
    with pytest.raises(NotSupportedError, match=name):
        getattr(later, name)("x")


def test_a_flowchart_is_drawn(tmp_path):
    from argparse import Namespace

    from jina.exporter import export_flowchart

    (tmp_path / "flow.yml").write_text("jtype: Flow\nexecutors:\n  - name: only\n")
    export_flowchart(Namespace(config_path=str(tmp_path / "flow.yml"), outpath=str(tmp_path / "flow.svg")))
    assert "only" in (tmp_path / "flow.svg").read_text()


def test_jina_cli_is_the_command_line(monkeypatch):
    import jina_cli

    monkeypatch.setattr(sys, "argv", ["jina", "--version"])
    with pytest.raises(SystemExit) as ended:
        jina_cli.main()
    assert not ended.value.code


def test_legacy_paths_load_nothing_heavy():
    code = """
import sys
import jina.serve.executors.decorators, jina.excepts, jina.enums, jina.constants, jina.helper
import jina.logging.logger, jina.importer
heavy = {"docarray", "numpy", "pydantic", "opentelemetry", "rich", "grpc"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)

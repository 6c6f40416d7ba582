"""Importing the files that `py_modules` names, and finding modules without importing them."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

from jina.errors import BadConfigSource, ConfigError, ExecutorNotFound


def locate(source: str, search_paths: Sequence[str] = ()) -> str:
    """What `py_modules` names: the absolute path of a file, or a module's dotted name, without importing it.

    A relative path is looked for in `search_paths`, in the working directory, then beside the files of the calling
    program. Raises `ExecutorNotFound` with the places that were tried.
    """
    from jina.spec.paths import callers_folders

    wanted = os.path.expanduser(source)
    folders = [*search_paths, "", *callers_folders()]
    tried = [os.path.abspath(os.path.join(os.path.expanduser(base), wanted)) for base in folders]
    for path in tried:
        if os.path.isfile(path):
            return path
        init = os.path.join(path, "__init__.py")
        if os.path.isfile(init):
            return init
    if not source.endswith(".py") and os.sep not in source and find_spec(source) is not None:
        return source
    places = ", ".join(dict.fromkeys(tried[: len(search_paths) + 2]))
    raise ExecutorNotFound(f"py_modules: {source!r} is no file and no module; looked for {places}")


def find_spec(name: str) -> ModuleSpec | None:
    """The spec of a module, found without importing its parent packages; None when there is none.

    `importlib.util.find_spec` imports the parents, and believes `sys.modules` before the disk.
    """
    path: Sequence[str] | None = None
    spec: ModuleSpec | None = None
    parts = name.split(".")
    for index in range(len(parts)):
        partial = ".".join(parts[: index + 1])
        spec = _ask_finders(partial, path)
        if spec is None:
            return None
        path = spec.submodule_search_locations
        if path is None and index + 1 < len(parts):
            return None
    return spec


def _ask_finders(name: str, path: Sequence[str] | None) -> ModuleSpec | None:
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        spec: ModuleSpec | None = find(name, path, None) if find is not None else None
        if spec is not None:
            return spec
    return None


def import_source(source: str, search_paths: Sequence[str] = ()) -> ModuleType:
    """Import what `py_modules` names, so that its Executors are known.

    A file is imported as the module that its place makes it: inside folders with `__init__.py` under its dotted
    name, so that relative imports work, else under its own name with its folder on `sys.path`, so that modules
    beside it can be imported. Raises `ConfigError` naming the file and the cause.
    """
    from jina.documents import repair_docarray

    place = locate(source, search_paths)
    repair_docarray()
    try:
        if not os.path.isabs(place):
            return importlib.import_module(place)
        return _import_file(place)
    except ConfigError:
        raise
    except Exception as error:
        raise failed(place, error) from error


def failed(place: str, error: Exception) -> ConfigError:
    """The error for a module of the user that raised while it was imported."""
    if isinstance(error, ImportError) and (name := _old_name(error)):
        file, number = _users_line(error)
        return ConfigError(
            f"importing {place} failed: {file}:{number}: docarray has no {name} since its version 0.30",
            help=f"write `from jina import {name}`; `jina check --fix PATH` does so in all files of a project",
        )
    line = _line_of(error, place)
    text = f"importing {place}{f':{line}' if line else ''} failed: {type(error).__name__}: {error}"
    if isinstance(error, ModuleNotFoundError):
        return ConfigError(text, help=f"install what provides {error.name!r}, or list its file under py_modules")
    return ConfigError(text)


def _old_name(error: ImportError) -> str:
    """Which class that docarray had before version 0.30, and that jina has, the module wanted from docarray.

    docarray's own text, to install its version 0.21, would break what reads its newer documents.
    """
    text = str(error)
    names = [name for name in ("DocumentArray", "Document") if f"'{name}'" in text]
    return names[0] if names and "docarray" in text else ""


def _users_line(error: Exception) -> tuple[str, int]:
    """The file and line that the error came from, without those of docarray and of the import system."""
    found, trace = ("", 0), error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        if not frame.f_globals.get("__name__", "").startswith(("docarray", "importlib", "jina.")):
            found = frame.f_code.co_filename, trace.tb_lineno
        trace = trace.tb_next
    return found


def _line_of(error: Exception, place: str) -> int | None:
    if isinstance(error, SyntaxError):
        return error.lineno
    line, trace = None, error.__traceback__
    while trace is not None:
        if os.path.realpath(trace.tb_frame.f_code.co_filename) == os.path.realpath(place):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def dotted_name(path: str) -> tuple[str, str]:
    """The dotted name that a file has, and the folder that must be on `sys.path` for it."""
    folder, file = os.path.split(path)
    parts = [] if file == "__init__.py" else [os.path.splitext(file)[0]]
    while os.path.isfile(os.path.join(folder, "__init__.py")):
        folder, package = os.path.split(folder)
        parts.insert(0, package)
    return ".".join(parts), folder


def _import_file(path: str) -> ModuleType:
    for module in list(sys.modules.values()):
        if _is_file_of(module, path):
            return module
    name, root = dotted_name(path)
    folder = os.path.dirname(path)
    _put_first(root)
    if folder not in sys.path:
        # Behind all others: a module of a package must not take the place of one of Python's own.
        sys.path.append(folder)
    importlib.invalidate_caches()
    top = name.partition(".")[0]
    if name not in sys.modules and _is_found(name, path) and (top not in sys.modules or _is_loaded(top)):
        return importlib.import_module(name)
    return _import_apart(path)


def _put_first(entry: str) -> None:
    if entry in sys.path:
        sys.path.remove(entry)
    sys.path.insert(0, entry)


def _is_found(name: str, path: str) -> bool:
    spec = find_spec(name)
    return spec is not None and spec.origin is not None and os.path.realpath(spec.origin) == os.path.realpath(path)


def _is_loaded(name: str) -> bool:
    """Whether the loaded module of that name is the one that would be found now."""
    spec = find_spec(name)
    return spec is not None and spec.origin is not None and _is_file_of(sys.modules[name], spec.origin)


def _is_file_of(module: ModuleType | None, path: str) -> bool:
    file = getattr(module, "__file__", None)
    if not isinstance(file, str) or getattr(module, "__name__", "__main__") == "__main__":
        return False
    return os.path.realpath(file) == os.path.realpath(path)


def _import_apart(path: str) -> ModuleType:
    """Import a file whose name another module already has, under a name of its own."""
    folder, file = os.path.split(path)
    stem = os.path.splitext(file)[0]
    unique = f"jina_executor_{hashlib.sha256(os.path.realpath(folder).encode()).hexdigest()[:12]}"
    init = os.path.join(folder, "__init__.py")
    if os.path.isfile(init) and unique not in sys.modules:
        package = _execute(unique, init, [folder])
        if file == "__init__.py":
            return package
    return _execute(f"{unique}.{stem}" if os.path.isfile(init) else f"{unique}_{stem}", path, None)


def _execute(name: str, path: str, locations: list[str] | None) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=locations)
    if spec is None or spec.loader is None:
        raise BadConfigSource(f"py_modules: {path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module

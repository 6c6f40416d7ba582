"""Every kind of `uses` to a plan, and from a plan to an instance: import, find the class, check it, construct it."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import math
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from jina.config.paths import absolute, callers_folders, working_folder
from jina.errors import (
    BadConfigSource,
    ConfigError,
    ExecutorDefinitionError,
    ExecutorNotFound,
    NotSupportedError,
    nearest,
)
from jina.executor.base import BASE_NAMES, Executor, is_initialised, registered_class, registered_names, unknown_class
from jina.executor.binding import check_overrides
from jina.executor.decorators import check_init, describe, location
from jina.executor.endpoints import check_types
from jina.plan.plans import ExecutorPlan

if TYPE_CHECKING:
    from jina.config import ExecutorSpec

_REFERENCE = re.compile(r"\{(root|this)\.([^{}\s]+)\}")
_STEP = re.compile(r"[^.\[\]]+")
_DEPTH = 8


def resolve_references(metas: Mapping[str, Any], *, with_args: Mapping[str, Any]) -> dict[str, Any]:
    """The metas with references replaced; `this` is the metas, `root` holds `metas`, `with` and `env`.

    A reference to nothing stays as it is written. A value that is one reference alone keeps the type of what it
    refers to.
    """
    resolved = dict(metas)
    for _ in range(_DEPTH):
        root = {**resolved, "metas": resolved, "with": with_args, "env": os.environ}
        after = {key: _replace(value, {"root": root, "this": resolved}) for key, value in resolved.items()}
        if after == resolved:
            break
        resolved = after
    return resolved


def _replace(value: Any, scopes: Mapping[str, Any]) -> Any:
    if not isinstance(value, str) or "{" not in value:
        return value

    def lookup(match: re.Match[str]) -> Any:
        found: Any = scopes[match[1]]
        for step in _STEP.findall(match[2]):
            found = _step(found, step)
        return match[0] if found is None else found

    if whole := _REFERENCE.fullmatch(value):
        return lookup(whole)
    return _REFERENCE.sub(lambda match: str(lookup(match)), value)


def _step(value: Any, step: str) -> Any:
    if isinstance(value, Mapping):
        return value.get(step)
    if isinstance(value, list) and step.isdigit() and int(step) < len(value):
        return value[int(step)]
    return None


def locate(source: str, search_paths: Sequence[str] = ()) -> str:
    """What `py_modules` names: the absolute path of a file, or a module's dotted name, without importing it.

    A relative path is looked for in `search_paths`, in the working directory, then beside the files of the calling
    program. Raises `ExecutorNotFound` with the places that were tried.
    """
    from jina.config.paths import callers_folders

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
    raise ExecutorNotFound(f"py_modules: {source!r} is neither a file nor a module; looked for {places}")


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
        raise BadConfigSource(f"py_modules: {path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


_SCHEMES_OF_IMAGES = ("docker", "jinahub+docker", "jinahub+sandbox", "jinaai+docker", "jinaai+sandbox")
_SCHEMES_OF_PACKAGES = ("hub", "jinahub", "jinaai", "git+https", "git+ssh", "git+file")
"""What `jina.hub.fetch` turns into a path, before it comes here."""
_SCHEME = re.compile(r"([a-zA-Z][\w+.-]*)://")
_IDENTIFIER = re.compile(r"[^\W\d]\w*")
_DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*[.:][^\W\d]\w*")
_INLINE = re.compile(r"\{|!|---|#|[\w-]+:(?:\s|$)")


class Kind(msgspec.Struct, frozen=True):
    """What kind of class `uses` names: Executors, or others that travel in the same ways.

    `plain` are the names of `base`, for which nothing is to be imported; `find` gives the class of a name, `unknown`
    the error for a name that no class has and the place where it stands.
    """

    label: str
    base: type
    plain: frozenset[str]
    find: Callable[[str], type | None]
    unknown: Callable[[str, str], ConfigError]


EXECUTORS = Kind("Executor", Executor, BASE_NAMES, registered_class, unknown_class)


def reference_of(  # noqa: PLR0913 - `uses` and all that may stand beside it
    uses: Any,
    *,
    uses_with: Mapping[str, Any] | None = None,
    uses_metas: Mapping[str, Any] | None = None,
    uses_requests: Mapping[str, str] | None = None,
    uses_dynamic_batching: Mapping[str, Mapping[str, Any]] | None = None,
    py_modules: str | Sequence[str] | None = None,
    search_paths: Sequence[str] = (),
    reading: Mapping[str, Any] | None = None,
    kind: Kind = EXECUTORS,
) -> tuple[ExecutorPlan, Any]:
    """The plan of an Executor, and its class where the class must travel by pickle.

    `uses` is an Executor class, the name of one, `module.Class`, the path of a YAML file or of a folder with a
    `config.yml`, YAML or JSON text, a mapping, an open file, an http(s) URL of a YAML file, or None. User modules
    are not imported here; files that are named must exist. `reading` are further arguments of
    `jina.config.load_spec`. `with_args` of the plan may hold any value: see
    `split_with`.

    Raises `ConfigError` naming the source and what is wrong, `NotSupportedError` for containers and hubs.
    """
    given = _Given(tuple(_as_list(py_modules)), tuple(search_paths), dict(reading or {}), kind)
    plan, cls = _base_plan(uses, given)
    metas = {**plan.metas, **(uses_metas or {})}
    batching = {key: dict(value) for key, value in plan.dynamic_batching.items()}
    for key, values in (uses_dynamic_batching or {}).items():
        batching[key] = {**batching.get(key, {}), **values}
    folder = working_folder()
    plan = replace(
        plan,
        with_args={**plan.with_args, **(uses_with or {})},
        metas=metas,
        requests={**plan.requests, **(uses_requests or {})},
        requests_at={path: place for path, place in plan.requests_at.items() if path not in (uses_requests or {})},
        dynamic_batching=batching,
        search_paths=[absolute(os.path.expanduser(path)) for path in plan.search_paths],
        sys_path=[absolute(entry) for entry in sys.path if folder or os.path.isabs(entry)],
        cwd=folder,
    )
    return plan, cls


def split_with(with_args: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arguments that JSON carries unchanged, and the others, which travel by pickle."""
    plain = {key: value for key, value in with_args.items() if _is_json(value)}
    return plain, {key: value for key, value in with_args.items() if key not in plain}


def _is_json(value: Any) -> bool:
    if value is None or type(value) in {bool, str}:
        return True
    if type(value) is int:
        return -(2**63) <= value < 2**64
    if type(value) is float:
        return math.isfinite(value)
    if type(value) is list:
        return all(_is_json(item) for item in value)
    return type(value) is dict and all(type(key) is str and _is_json(item) for key, item in value.items())


def _as_list(value: str | Sequence[str] | None) -> list[str]:
    return [] if value is None else [value] if isinstance(value, str) else list(value)


class _Given(msgspec.Struct, frozen=True):
    """What was given beside `uses`."""

    py_modules: tuple[str, ...]
    search_paths: tuple[str, ...]
    reading: dict[str, Any]
    kind: Kind

    def located(self) -> list[str]:
        """The files and modules of `py_modules`, found but not imported."""
        return [locate(source, self.search_paths) for source in self.py_modules]


def _base_plan(uses: Any, given: _Given) -> tuple[ExecutorPlan, Any]:
    if uses is None:
        return ExecutorPlan(), None
    if inspect.isclass(uses):
        plan, cls = _of_class(uses, given.kind)
        return replace(plan, py_modules=given.located()), cls
    if isinstance(uses, given.kind.base):
        raise ConfigError(
            f"uses is an instance of {type(uses).__name__}; give the class, and its arguments as uses_with"
        )
    if isinstance(uses, os.PathLike):
        uses = os.fspath(uses)
    if isinstance(uses, str):
        return _of_text(uses, given)
    if isinstance(uses, Mapping) or hasattr(uses, "read"):
        return _of_config(uses, given)
    wanted = f"{'an' if given.kind is EXECUTORS else 'a'} {given.kind.label} class, a name, a path, YAML or a mapping"
    raise ConfigError(f"uses is {uses!r} ({type(uses).__name__}); it has to be {wanted}")


def _of_class(cls: type, kind: Kind) -> tuple[ExecutorPlan, Any]:
    if not issubclass(cls, kind.base):
        where = f"{cls.__qualname__} ({location(cls)})"
        raise ConfigError(f"uses is the class {where}, which is not a subclass of {kind.label}")
    if cls is kind.base:
        return ExecutorPlan(), None
    if _is_importable(cls):
        return ExecutorPlan(module=cls.__module__, qualname=cls.__qualname__), None
    return ExecutorPlan(), cls


def _is_importable(cls: type) -> bool:
    """Whether another process with the same `sys.path` finds this very class by its name."""
    if cls.__module__ == "__main__" or "<locals>" in cls.__qualname__:
        return False
    module = sys.modules.get(cls.__module__)
    found: Any = module
    for part in cls.__qualname__.split("."):
        found = getattr(found, part, None)
    file = getattr(module, "__file__", None)
    if found is not cls or file is None:
        return False
    spec = find_spec(cls.__module__)
    return spec is not None and spec.origin is not None and os.path.realpath(spec.origin) == os.path.realpath(file)


def _of_text(uses: str, given: _Given) -> tuple[ExecutorPlan, Any]:
    text = uses.strip()
    if not text:
        raise ConfigError("uses is empty text")
    if scheme := _SCHEME.match(text):
        return _of_url(scheme[1].lower(), text, given)
    if "\n" in text or _INLINE.match(text):
        return _of_config(uses, given)  # not stripped: the first line of indented text is indented as the others are
    path = _find_path(text, given.search_paths)
    if path is not None:
        return _of_config(path, given)
    if text.endswith((".yml", ".yaml", ".json")) or os.sep in text:
        folders = (*given.search_paths, ".", *callers_folders()[:1])
        tried = ", ".join(dict.fromkeys(absolute(os.path.join(base, text)) for base in folders))
        raise ExecutorNotFound(f"uses: there is no file {text!r}; looked for {tried}")
    if _IDENTIFIER.fullmatch(text):
        return _of_name(text, given)
    if _DOTTED.fullmatch(text):
        return _of_dotted(text, given)
    raise ConfigError(f"uses: {text!r} is neither a class name, nor the path of a YAML file, nor YAML text")


def _of_url(scheme: str, text: str, given: _Given) -> tuple[ExecutorPlan, Any]:
    if scheme in {"http", "https"}:
        return _of_config(text, given)
    if scheme in _SCHEMES_OF_IMAGES:
        raise NotSupportedError(
            f"uses={text!r} names an image, whose Executor cannot be loaded into this process",
            help=f"start it: Deployment(uses={text!r}), Flow().add(uses={text!r})",
        )
    if scheme in _SCHEMES_OF_PACKAGES:
        raise ConfigError(
            f"uses={text!r} names a package that is to be fetched",
            help=f"Deployment(uses={text!r}), or Executor.from_hub({text!r})",
        )
    near = nearest(scheme, (*_SCHEMES_OF_IMAGES, *_SCHEMES_OF_PACKAGES, "http", "https"))
    raise ConfigError(f"uses={text!r}: {scheme}:// is unknown{f'; did you mean {near}://?' if near else ''}")


def path_named(uses: str, search_paths: Sequence[str]) -> str | None:
    """The file that `uses` names by its path, or by that of its folder; None where it is something else."""
    text = uses.strip()
    if not text or _SCHEME.match(text) or "\n" in text or _INLINE.match(text):
        return None
    try:
        return _find_path(text, search_paths)
    except ConfigError:
        return None


def _find_path(text: str, search_paths: Sequence[str]) -> str | None:
    wanted = os.path.expanduser(text)
    for base in (*search_paths, ".", *callers_folders()):
        path = absolute(os.path.join(os.path.expanduser(base), wanted))
        if os.path.isdir(path):
            for name in ("config.yml", "config.yaml"):
                if os.path.isfile(os.path.join(path, name)):
                    return os.path.join(path, name)
            if os.sep in text:
                raise ExecutorNotFound(f"uses: the folder {path} has no config.yml")
        elif os.path.isfile(path):
            if path.endswith(".py"):
                raise ConfigError(
                    f"uses: {text!r} is a Python file; give the class name, and the file as py_modules",
                    help=f"uses: NAME-OF-THE-CLASS, py_modules: {text}; as options, --uses ... --py-modules {text}",
                )
            return path
    return None


def _of_name(name: str, given: _Given) -> tuple[ExecutorPlan, Any]:
    if given.py_modules:
        jtype = "" if name in given.kind.plain else name
        return ExecutorPlan(jtype=jtype, py_modules=given.located(), search_paths=list(given.search_paths)), None
    if name in given.kind.plain:
        return ExecutorPlan(), None
    cls = given.kind.find(name)
    if cls is None:
        raise given.kind.unknown(name, "uses")
    return _of_class(cls, given.kind)


def _of_dotted(text: str, given: _Given) -> tuple[ExecutorPlan, Any]:
    module, _, qualname = text.replace(":", ".").rpartition(".")
    if find_spec(module) is None:
        known = [name for name in sys.modules if name.count(".") == module.count(".")]
        near = nearest(module, known)
        hint = f"; did you mean {near!r}?" if near else ""
        raise ExecutorNotFound(f"uses={text!r}: there is no module {module!r}{hint}")
    plan = ExecutorPlan(
        module=module, qualname=qualname, py_modules=given.located(), search_paths=list(given.search_paths)
    )
    return plan, None


def _of_config(source: Any, given: _Given) -> tuple[ExecutorPlan, Any]:
    from jina.config.models import ExecutorSpec
    from jina.config.yaml import load, spec_of

    loaded = load(source, **given.reading)
    plan, cls = _of_spec(spec_of(ExecutorSpec, loaded), given)
    origin = loaded.origin
    places = {path: origin.place(("requests", path)) for path in plan.requests} if origin.lines else {}
    return replace(plan, requests_at=places), cls


def _of_spec(spec: ExecutorSpec, given: _Given) -> tuple[ExecutorPlan, Any]:
    """The plan of a spec read from YAML; relative paths in it start at its folder."""
    folder = (spec.folder,) if spec.folder else ()
    sources = (*_as_list(spec.py_modules), *_as_list(spec.metas.get("py_modules")), *given.py_modules)
    inner = _Given(tuple(dict.fromkeys(sources)), (*folder, *given.search_paths), given.reading, given.kind)
    plan, cls = _of_dotted(spec.jtype, inner) if "." in spec.jtype else _of_name(spec.jtype, inner)
    plan = replace(
        plan,
        with_args=dict(spec.with_),
        metas={key: value for key, value in spec.metas.items() if key != "py_modules"},
        requests=dict(spec.requests),
        dynamic_batching={key: dict(value) for key, value in spec.dynamic_batching.items()},
        search_paths=list(inner.search_paths),
    )
    return plan, cls


def load_executor(
    plan: ExecutorPlan,
    runtime_args: Mapping[str, Any],
    executor_class: type[Executor] | None = None,
    with_extra: Mapping[str, Any] | None = None,
) -> Executor:
    """The instance that the plan describes.

    `executor_class` is the class where it cannot be named (a script, a notebook), `with_extra` the constructor
    arguments that are no JSON. Raises `ConfigError` or `ExecutorDefinitionError` for whatever is wrong with the
    class or the plan; what the constructor raises passes through unchanged. `runtime_args.name` derives from
    `metas.name` unless it is given.
    """
    cls = find_class(plan) if executor_class is None else executor_class
    check_init(cls)
    check_types(cls)
    arguments = {**plan.with_args, **(with_extra or {})}
    metas = resolve_references(plan.metas, with_args=arguments)
    name = _instance_name(str(metas.get("name") or cls.__name__), runtime_args)
    args = {"name": name, "py_modules": list(plan.py_modules), **runtime_args}
    check_arguments(cls, arguments, Executor)
    check_overrides(cls, plan.requests, plan.requests_at)
    injected: dict[str, Any] = {
        "metas": metas,
        "requests": dict(plan.requests),
        "runtime_args": args,
        "dynamic_batching": {key: dict(value) for key, value in plan.dynamic_batching.items()},
    }
    executor = cls(**arguments, **_taken(cls, injected))
    if not is_initialised(executor):
        raise ExecutorDefinitionError(f"{describe(cls.__init__)} has to call super().__init__(**kwargs)")
    return executor


def _instance_name(name: str, runtime_args: Mapping[str, Any]) -> str:
    """The name of this instance: that of the Executor, with the shard and the replica where there are several."""
    shard = f"/shard-{runtime_args.get('shard_id', 0)}" if runtime_args.get("shards", 1) > 1 else ""
    replica = f"/rep-{runtime_args.get('replica_id', 0)}" if runtime_args.get("replicas", 1) > 1 else ""
    return f"{name}{shard}{replica}"


def find_class(plan: ExecutorPlan) -> type[Executor]:
    """The class that the plan names, imported."""
    for entry in reversed(plan.sys_path):
        if entry not in sys.path:
            sys.path.append(entry)
    imported = [import_source(source, plan.search_paths) for source in plan.py_modules]
    if plan.module:
        return _imported_class(plan.module, plan.qualname)
    if not plan.jtype or plan.jtype in BASE_NAMES:
        return Executor
    for module in reversed(imported):
        found = vars(module).get(plan.jtype)
        if inspect.isclass(found) and issubclass(found, Executor):
            return found
    known = registered_class(plan.jtype)
    if known is None:
        raise unknown_class(plan.jtype, among=_classes_in(imported) or registered_names())
    return known


def _classes_in(imported: list[Any]) -> list[str]:
    return [
        name
        for module in imported
        for name, value in vars(module).items()
        if inspect.isclass(value) and issubclass(value, Executor) and value is not Executor
    ]


def _imported_class(module_name: str, qualname: str) -> type[Executor]:
    from jina.documents import repair_docarray

    repair_docarray()
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise failed(module_name, error) from error
        text = f"no module named {module_name!r}, which uses={module_name}.{qualname!r} names"
        raise ExecutorNotFound(text) from None
    except Exception as error:
        raise failed(module_name, error) from error
    found: Any = module
    for part in qualname.split("."):
        found = getattr(found, part, None)
    if inspect.isclass(found) and issubclass(found, Executor):
        return found
    near = nearest(qualname, _classes_in([module]))
    hint = f"; did you mean {near!r}?" if near else ""
    what = "nothing" if found is None else f"a {type(found).__name__} that is not an Executor"
    raise ConfigError(f"{qualname!r} in {module_name!r} ({module.__file__}) is {what}{hint}")


def _taken(cls: type[Executor], injected: dict[str, Any]) -> dict[str, Any]:
    parameters = inspect.signature(cls).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return injected
    names = {parameter.name for parameter in parameters}
    return {name: value for name, value in injected.items() if name in names}


def check_arguments(cls: type[Any], arguments: Mapping[str, Any], base: type[Any]) -> None:
    """Raise `ConfigError` unless these are arguments for the constructor of `cls`, which is a subclass of `base`."""
    reserved = sorted(arguments.keys() & {"metas", "requests", "runtime_args", "dynamic_batching"})
    if reserved:
        raise ConfigError(
            f"`with` of {cls.__name__} holds {reserved[0]!r}, which is injected",
            help="give metas and requests beside `with`, or as uses_metas and uses_requests",
        )
    if cls.__init__ is base.__init__:
        return
    signature = inspect.signature(cls)
    parameters = [p for p in signature.parameters.values() if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
    injected = {"metas", "requests", "runtime_args", "dynamic_batching"}
    missing = [p for p in parameters if p.default is p.empty and p.name not in arguments and p.name not in injected]
    unused = sorted(arguments.keys() - {p.name for p in parameters} - {"workspace"})
    if missing:
        near = nearest(missing[0].name, unused)
        hint = f"; {near!r} was given" if near else ""
        raise ConfigError(
            f"{cls.__name__} needs the argument {missing[0].name!r} ({location(cls.__init__)}){hint}",
            help=f"give it in `with`, or as uses_with={{{missing[0].name!r}: ...}}",
        )

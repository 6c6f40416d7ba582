"""Every kind of `uses`, resolved to a plan in the parent process."""

from __future__ import annotations

import inspect
import math
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from jina.errors import ConfigError, ExecutorNotFound, NotSupportedError, nearest
from jina.executor import modules, registry
from jina.executor.base import Executor
from jina.executor.signatures import location
from jina.plan.plans import ExecutorPlan
from jina.spec.paths import absolute, callers_folders, working_folder

if TYPE_CHECKING:
    from jina.spec import ExecutorSpec

_SCHEMES_LATER = ("docker", "jinahub", "jinahub+docker", "jinahub+sandbox", "jinaai", "jinaai+docker", "jinaai+sandbox")
_SCHEME = re.compile(r"([a-zA-Z][\w+.-]*)://")
_IDENTIFIER = re.compile(r"[^\W\d]\w*")
_DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*[.:][^\W\d]\w*")
_INLINE = re.compile(r"\{|!|---|#|[\w-]+:(?:\s|$)")


@dataclass(frozen=True, slots=True)
class Kind:
    """What kind of class `uses` names: Executors, or others that travel in the same ways.

    `plain` are the names of `base`, for which nothing is to be imported; `find` gives the class of a name, `unknown`
    the error for a name that no class has and the place where it stands.
    """

    label: str
    base: type
    plain: frozenset[str]
    find: Callable[[str], type | None]
    unknown: Callable[[str, str], ConfigError]


EXECUTORS = Kind("Executor", Executor, registry.BASE_NAMES, registry.find, registry.unknown)


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
    `jina.spec.load_spec`. `with_args` of the plan may hold any value: see
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
    plan = msgspec.structs.replace(
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


@dataclass(frozen=True, slots=True)
class _Given:
    """What was given beside `uses`."""

    py_modules: tuple[str, ...]
    search_paths: tuple[str, ...]
    reading: dict[str, Any]
    kind: Kind

    def located(self) -> list[str]:
        """The files and modules of `py_modules`, found but not imported."""
        return [modules.locate(source, self.search_paths) for source in self.py_modules]


def _base_plan(uses: Any, given: _Given) -> tuple[ExecutorPlan, Any]:
    if uses is None:
        return ExecutorPlan(), None
    if inspect.isclass(uses):
        plan, cls = _of_class(uses, given.kind)
        return msgspec.structs.replace(plan, py_modules=given.located()), cls
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
        raise ConfigError(f"uses is the class {where}, which is no subclass of {kind.label}")
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
    spec = modules.find_spec(cls.__module__)
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
    raise ConfigError(f"uses: {text!r} is no class name, no path of a YAML file and no YAML")


def _of_url(scheme: str, text: str, given: _Given) -> tuple[ExecutorPlan, Any]:
    if scheme in {"http", "https"}:
        return _of_config(text, given)
    if scheme in _SCHEMES_LATER:
        raise NotSupportedError(
            f"uses={text!r}: {scheme}:// is not available yet",
            help="give a class or a YAML file of this machine; `jina hub new` writes a package",
        )
    near = nearest(scheme, (*_SCHEMES_LATER, "http", "https"))
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
                raise ConfigError(f"uses: {text!r} is a Python file; give the class name, and the file as py_modules")
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
    if modules.find_spec(module) is None:
        known = [name for name in sys.modules if name.count(".") == module.count(".")]
        near = nearest(module, known)
        hint = f"; did you mean {near!r}?" if near else ""
        raise ExecutorNotFound(f"uses={text!r}: there is no module {module!r}{hint}")
    plan = ExecutorPlan(
        module=module, qualname=qualname, py_modules=given.located(), search_paths=list(given.search_paths)
    )
    return plan, None


def _of_config(source: Any, given: _Given) -> tuple[ExecutorPlan, Any]:
    from jina.spec.executor import ExecutorSpec
    from jina.spec.yaml_io import load
    from jina.spec.yaml_specs import spec_of

    loaded = load(source, **given.reading)
    plan, cls = _of_spec(spec_of(ExecutorSpec, loaded), given)
    origin = loaded.origin
    places = {path: origin.place(("requests", path)) for path in plan.requests} if origin.lines else {}
    return msgspec.structs.replace(plan, requests_at=places), cls


def _of_spec(spec: ExecutorSpec, given: _Given) -> tuple[ExecutorPlan, Any]:
    """The plan of a spec read from YAML; relative paths in it start at its folder."""
    folder = (spec.folder,) if spec.folder else ()
    sources = (*_as_list(spec.py_modules), *_as_list(spec.metas.get("py_modules")), *given.py_modules)
    inner = _Given(tuple(dict.fromkeys(sources)), (*folder, *given.search_paths), given.reading, given.kind)
    plan, cls = _of_dotted(spec.jtype, inner) if "." in spec.jtype else _of_name(spec.jtype, inner)
    plan = msgspec.structs.replace(
        plan,
        with_args=dict(spec.with_),
        metas={key: value for key, value in spec.metas.items() if key != "py_modules"},
        requests=dict(spec.requests),
        dynamic_batching={key: dict(value) for key, value in spec.dynamic_batching.items()},
        search_paths=list(inner.search_paths),
    )
    return plan, cls

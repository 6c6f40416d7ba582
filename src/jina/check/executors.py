"""Executors: their methods as stubs without bodies, judged by the very code that loads Executors.

A stub has the signature, the kind (`async`, yielding) and the decorators of the method. Defaults are replaced by
None, annotations are kept where it is known what they stand for; nothing of the user's is run.
"""

from __future__ import annotations

import ast
import builtins
import re
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from jina.check.project import Finding
from jina.check.python import Module
from jina.errors import ConfigError, ExecutorDefinitionError

_ENTRY: Final = re.compile(r"jina(\..+)?\.(Executor|BaseExecutor)")
_DECORATORS: Final = ("requests", "write", "dynamic_batching", "monitor")
_PLACE: Final = re.compile(r" \([^()]*\.py:\d+\)|<[^<>]*> ?")
_UNKNOWN: Final = object()

Handler = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class Executors:
    """The Executors of a project, and the endpoints that they have."""

    classes: dict[str, tuple[Module, ast.ClassDef]] = field(default_factory=dict)
    endpoints: set[str] = field(default_factory=set)
    open: bool = False
    """Whether any endpoint may be answered: by `/default`, or by an Executor without endpoints."""


def find_executors(modules: list[Module]) -> Executors:
    """The classes that are Executors, by themselves or by a class of the project between."""
    found = Executors()
    written = [(module, node) for module in modules for node in module.nodes if isinstance(node, ast.ClassDef)]
    more = True
    while more:
        more = False
        for module, node in written:
            if node.name not in found.classes and any(_is_executor(module, base, found) for base in node.bases):
                found.classes[node.name] = (module, node)
                more = True
    for module, node in found.classes.values():
        _note_endpoints(module, node, found)
    return found


def _is_executor(module: Module, base: ast.expr, found: Executors) -> bool:
    origin = module.origin(base)
    return bool(_ENTRY.fullmatch(origin)) or origin.rpartition(".")[2] in found.classes


def _note_endpoints(module: Module, node: ast.ClassDef, found: Executors) -> None:
    before = len(found.endpoints)
    for method in _methods(node):
        for decorator in method.decorator_list:
            call = decorator if isinstance(decorator, ast.Call) else None
            if _decorator(module, decorator) != "requests":
                continue
            on = next((word.value for word in call.keywords if word.arg == "on"), None) if call else None
            names = _literal(on) if on is not None else "/default"
            texts = [names] if isinstance(names, str) else names
            if not isinstance(texts, list | tuple | set) or "/default" in texts:
                found.open = True
            else:
                found.endpoints.update(str(text) for text in texts)
    found.open = found.open or len(found.endpoints) == before


def check_executors(executors: Executors) -> Iterator[Finding]:
    """What the loader would refuse of each Executor."""
    for module, node in executors.classes.values():
        yield from _init(module, node)
        for method in _methods(node):
            if any(_decorator(module, decorator) for decorator in method.decorator_list):
                yield from _handler(module, node, method)


def _methods(node: ast.ClassDef) -> list[Handler]:
    return [item for item in node.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)]


def _decorator(module: Module, node: ast.expr) -> str:
    """`requests` for jina's decorator of that name, and so on; empty for others."""
    origin = module.origin(node.func if isinstance(node, ast.Call) else node)
    name = origin.rpartition(".")[2]
    return name if origin.startswith("jina.") and name in _DECORATORS else ""


# --- constructors -------------------------------------------------------------------------------------------------


def _init(module: Module, node: ast.ClassDef) -> Iterator[Finding]:
    from jina.executor.decorators import check_init

    init = next((method for method in _methods(node) if method.name == "__init__"), None)
    if init is None or init.decorator_list:
        return
    at = module.offset(init)
    try:
        check_init(type(node.name, (), {"__init__": _stub(module, node, init)}))
    except ConfigError as error:
        yield module.source.find(at, "executor-init", "error", _without_place(error.message), instead=error.help)
    if not any(isinstance(inner, ast.Attribute) and inner.attr == "__init__" for inner in ast.walk(init)):
        yield module.source.find(
            at, "executor-init", "error", f"{node.name}.__init__ has to call super().__init__(**kwargs)",
            instead="super().__init__(**kwargs)",
        )  # fmt: skip


# --- handlers -----------------------------------------------------------------------------------------------------


def _handler(module: Module, node: ast.ClassDef, method: Handler) -> Iterator[Finding]:
    at = module.offset(method)
    yield from _names_for_type_checkers(module, method)
    try:
        judge(node.name, method.name, _decorated(module, node, method))
    except ConfigError as error:
        yield module.source.find(at, "executor-class", "error", _without_place(error.message), instead=error.help)
    except (TypeError, ValueError) as error:
        # A keyword that a decorator does not have.
        yield module.source.find(at, "executor-class", "error", f"{node.name}.{method.name}: {error}")


def judge(owner: str, name: str, function: Any) -> None:
    """Raise what the loader raises for a method of an Executor."""
    from jina.executor.base import Executor
    from jina.executor.decorators import marks_of
    from jina.executor.endpoints import EndpointTable, check_types

    marks = marks_of(function)
    if marks is None or marks.on is None:
        return
    # A name that no class of the user can have: the registry of Executors knows classes by their names.
    cls = type(f"{owner} (as it is written)", (Executor,), {name: function, "__module__": __name__})
    check_types(cls)
    EndpointTable(cls())


def _decorated(module: Module, node: ast.ClassDef, method: Handler) -> Any:
    from jina import executor

    function = _stub(module, node, method)
    if _is_undecided(method, function):
        return function
    for decorator in reversed(method.decorator_list):
        name = _decorator(module, decorator)
        if not name:
            continue
        apply = getattr(executor, name)
        if isinstance(decorator, ast.Call):
            arguments = [_literal(argument) for argument in decorator.args]
            if _UNKNOWN in arguments:
                return function
            keywords = {word.arg: _literal(word.value) for word in decorator.keywords if word.arg}
            known = {key: None if value is _UNKNOWN else value for key, value in keywords.items()}
            function = apply(*arguments, **known)(function) if not arguments else apply(*arguments)
        else:
            function = apply(function)
    return function


def _stub(module: Module, node: ast.ClassDef, method: Handler) -> Any:
    """A function with the signature of the method, and without its body."""
    nothing = ast.Constant(None)
    old = method.args
    arguments = ast.arguments(
        posonlyargs=[ast.arg(arg.arg) for arg in old.posonlyargs],
        args=[ast.arg(arg.arg) for arg in old.args],
        vararg=ast.arg(old.vararg.arg) if old.vararg else None,
        kwonlyargs=[ast.arg(arg.arg) for arg in old.kwonlyargs],
        kw_defaults=[None if default is None else nothing for default in old.kw_defaults],
        kwarg=ast.arg(old.kwarg.arg) if old.kwarg else None,
        defaults=[nothing for _ in old.defaults],
    )
    body: list[ast.stmt] = [ast.Expr(ast.Yield())] if _yields(method) else [ast.Pass()]
    kind = ast.AsyncFunctionDef if isinstance(method, ast.AsyncFunctionDef) else ast.FunctionDef
    stub = kind(name=method.name, args=arguments, body=body, decorator_list=[])
    tree = ast.fix_missing_locations(ast.Module([stub], []))
    namespace: dict[str, Any] = {}
    exec(compile(tree, module.source.path, "exec"), namespace)  # noqa: S102 - a signature made above, nothing else
    function = namespace[method.name]
    function.__qualname__ = f"{node.name}.{method.name}"
    every = [*old.posonlyargs, *old.args, *old.kwonlyargs]
    reader = _Annotations(module)
    noted = {arg.arg: reader.read(arg.annotation) for arg in every if arg.annotation is not None}
    if method.returns is not None:
        noted["return"] = reader.read(method.returns)
    function.__annotations__ = {name: _guess(name, value, method) for name, value in noted.items()}
    function.__annotations__ = {
        name: value for name, value in function.__annotations__.items() if value is not _UNKNOWN
    }
    return function


def _guess(name: str, annotation: Any, method: Handler) -> Any:
    """What stands for an annotation that is not known from the file: some plain type, where one may be written."""
    from jina.executor.decorators import PASSED

    if annotation is not _UNKNOWN or name in PASSED:
        return annotation
    if name == "return":
        return str if not method.args.args[1:] and method.args.kwarg is None else _UNKNOWN
    return Any


def _is_undecided(method: Handler, function: Any) -> bool:
    """Whether the documents of a method are of a class that is not known from the file, so that it may be plain."""
    for arg in [*method.args.args, *method.args.kwonlyargs]:
        if arg.arg in {"doc", "docs"} and arg.annotation is not None and arg.arg not in function.__annotations__:
            is_list = isinstance(arg.annotation, ast.Subscript)
            return "Doc" not in ast.unparse(arg.annotation) and (is_list or arg.arg == "doc")
    return False


def _yields(method: Handler) -> bool:
    pending: list[ast.AST] = list(method.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Yield | ast.YieldFrom):
            return True
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            pending.extend(ast.iter_child_nodes(node))
    return False


def _names_for_type_checkers(module: Module, method: Handler) -> Iterator[Finding]:
    """Annotations are read when the class is loaded, so their names have to be there."""
    hidden = {
        alias.asname or alias.name: alias
        for node in module.nodes
        if isinstance(node, ast.ImportFrom) and _only_for_type_checkers(module, node)
        for alias in node.names
    }
    every = [*method.args.posonlyargs, *method.args.args, *method.args.kwonlyargs]
    read = [arg.annotation for arg in every] + [method.returns]
    for annotation in read:
        for node in ast.walk(annotation) if annotation is not None else ():
            text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
            names = re.findall(r"[A-Za-z_]\w*", text) + ([node.id] if isinstance(node, ast.Name) else [])
            for name in names:
                if name in hidden:
                    yield module.source.find(
                        module.offset(hidden[name]), "type-checking-import", "error",
                        f"{name} is an annotation of {method.name}, which is read when the Executor is loaded",
                        instead="import it at the top of the module, not under `if TYPE_CHECKING:`",
                    )  # fmt: skip


def _only_for_type_checkers(module: Module, node: ast.AST) -> bool:
    around = list(module.around(node))
    guarded = any(isinstance(parent, ast.If) and "TYPE_CHECKING" in ast.dump(parent.test) for parent in around)
    return guarded and not any(isinstance(parent, ast.FunctionDef) for parent in around)


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return _UNKNOWN


def _without_place(text: str) -> str:
    """The finding has the place already."""
    return _PLACE.sub("", text)


# --- annotations --------------------------------------------------------------------------------------------------


class _Annotations:
    """What annotations stand for, where that follows from the imports and the classes of the file."""

    def __init__(self, module: Module) -> None:
        self._module = module
        self._classes = {node.name: node for node in module.nodes if isinstance(node, ast.ClassDef)}
        self._made: dict[str, Any] = {}

    def read(self, node: ast.expr) -> Any:
        """The object that an annotation names, or `_UNKNOWN`."""
        try:
            return self._read(node)
        except (
            TypeError,
            ValueError,
            AttributeError,
            ImportError,
            ExecutorDefinitionError,
            SyntaxError,
            RecursionError,
        ):
            return _UNKNOWN

    def _read(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str):
                return self._read(ast.parse(node.value, mode="eval").body)
            return None if node.value is None else _UNKNOWN
        if isinstance(node, ast.Name | ast.Attribute):
            return self._named(self._module.origin(node))
        if isinstance(node, ast.Subscript):
            base, inner = self._read(node.value), self._inner(node.slice)
            return _UNKNOWN if base is _UNKNOWN or inner is _UNKNOWN else base[inner]
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            left, right = self._read(node.left), self._read(node.right)
            return _UNKNOWN if _UNKNOWN in (left, right) else typing.Union[left, right]  # noqa: UP007 - made at run time
        return _UNKNOWN

    def _inner(self, node: ast.expr) -> Any:
        if not isinstance(node, ast.Tuple):
            return self._read(node)
        parts = tuple(self._read(part) for part in node.elts)
        return _UNKNOWN if _UNKNOWN in parts else parts

    def _named(self, origin: str) -> Any:
        module, _, name = origin.rpartition(".")
        if not module:
            if name in self._classes:
                return self._made_class(name)
            return getattr(builtins, name) if isinstance(getattr(builtins, name, None), type) else _UNKNOWN
        if module in {"typing", "collections.abc"}:
            import collections.abc

            return getattr(typing if module == "typing" else collections.abc, name)
        return self._of_documents(module.partition(".")[0], name)

    def _of_documents(self, package: str, name: str) -> Any:
        import docarray
        from docarray import documents

        import jina

        if package in {"docarray", "jina"} and name in {"Document", "DocumentArray"}:
            return getattr(jina, name)
        if package == "docarray":
            for place in (docarray, documents):
                if isinstance(found := vars(place).get(name), type):
                    return found
        if package == "pydantic" and name == "BaseModel":
            from pydantic import BaseModel

            return BaseModel
        return _UNKNOWN

    def _made_class(self, name: str) -> Any:
        """A class of the file, when it is a document or a model of parameters: one of the same kind, without fields."""
        if name not in self._made:
            self._made[name] = _UNKNOWN
            bases = [self._read(base) for base in self._classes[name].bases]
            known = tuple(base for base in bases if isinstance(base, type) and _is_schema(base))
            self._made[name] = type(name, known[:1], {"__module__": __name__}) if known else _UNKNOWN
        return self._made[name]


def _is_schema(base: type) -> bool:
    from pydantic import BaseModel

    return issubclass(base, BaseModel)


def literal_keywords(call: ast.Call) -> tuple[Mapping[str, Any], bool]:
    """The keywords of a call whose values are written out, and whether these are all of its arguments."""
    values = {word.arg: _literal(word.value) for word in call.keywords if word.arg}
    known = {name: value for name, value in values.items() if value is not _UNKNOWN}
    return known, len(known) == len(call.keywords) and not call.args

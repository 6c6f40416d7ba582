"""Options in calls and YAML files, judged by the very models and loaders that a start uses."""

from __future__ import annotations

import ast
import functools
import inspect
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn

import yaml

from jina.check.executors import Executors, literal_keywords
from jina.check.project import Edit, Finding, Severity, Source
from jina.check.python import REMOVED_METHODS, Module
from jina.config import ClientSpec, DeploymentSpec, ExecutorSpec, FlowSpec, GatewaySpec, StepSpec
from jina.config.base import FORMER, Spec, canonical
from jina.config.parsing import MISSING, child, dotted, parse, step_of
from jina.config.parsing import Path as Keys
from jina.config.rules import SANDBOX_SCHEMES
from jina.config.yaml import Loaded, Origin, read_yaml
from jina.errors import BadConfigSource, ConfigError, NotSupportedError, nearest
from jina.hub.containers import image_of
from jina.hub.fetch import Named
from jina.hub.oci import NotFound

_TOKEN: Final = "\ue000"  # noqa: S105 - no secret
"""Stands for the place in messages that are taken apart here."""
_TOKENS: Final = re.compile(rf"{_TOKEN}(?::(\d+))?:? ?")
_HUB_REPLACEMENT: Final = (
    "install the package of the Executor, and write uses: package.module.Class, or a class and py_modules"
)
_PACKAGE_REPLACEMENT: Final = (
    "push a copy of the package to your registry: jina hub push PATH; or install it, and write uses: "
    "package.module.Class, or a class and py_modules"
)
_IMAGE_REPLACEMENT: Final = (
    "build an image of the package and push it to a registry: jina hub build PATH -t HOST/NAME; then name that one: "
    "JINA_HUB_REGISTRY=HOST"
)
_JINA1_REPLACEMENT: Final = "a file of Jina 1: write an Executor with @requests, and `executors:` as a list in the Flow"
_MOST_PROBLEMS: Final = 100
_MOST_STEPS: Final = 5_000
"""Steps that are judged for one file: a Flow is judged again after each problem."""
_MOST_CALLS: Final = 2_000
"""Calls of one file whose options are judged."""


def _problems(error: ConfigError) -> list[str]:
    """The problems that one error lists."""
    head, *rest = error.message.split("\n  ")
    return rest if rest and re.fullmatch(r"\d+ problems:", head) else [error.message]


def _rule_of(text: str, error: ConfigError) -> str:
    if re.search(r"unknown (option|key)\b", text):
        return "unknown-option"
    if "://' is not available" in text:
        return "hub-uses"
    if isinstance(error, NotSupportedError) and "not available" in text:
        return "not-available"
    return "wrong-value"


def _instead_of(rule: str, text: str, error: ConfigError) -> str:
    if rule == "hub-uses":
        return _HUB_REPLACEMENT
    near = re.search(r", did you mean '([^']+)'\?", text)
    if near:
        return near[1]
    return error.help or ("leave it out" if rule in {"unknown-option", "not-available"} else "")


# --- calls --------------------------------------------------------------------------------------------------------

_CLASSES: Final[dict[str, type[Spec]]] = {
    "Flow": FlowSpec, "AsyncFlow": FlowSpec, "Deployment": DeploymentSpec, "Client": ClientSpec,
}  # fmt: skip
_METHODS: Final[dict[str, type[Spec]]] = {
    "add": StepSpec, "needs": StepSpec, "needs_all": StepSpec, "inspect": StepSpec, "config_gateway": GatewaySpec,
}  # fmt: skip
_BESIDE: Final = frozenset({"copy_flow", "args", "endpoint", "config_path", "deployment", "needs", "name"})
"""Arguments of these methods that are no options, or are checked together with others."""
_SENDING: Final = frozenset({"post", "stream_doc"})


_SCOPES: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


class Calls:
    """The calls of a file that make Flows, Deployments and clients, or go to them."""

    def __init__(self, module: Module) -> None:
        self._module = module
        self._judged = 0
        self._kinds: dict[tuple[ast.AST, str], str] = {}
        """Scope and variable -> `Flow`, `Deployment`, `Client`, `Document` or `DocumentArray`."""
        for _ in range(2):
            noted: dict[tuple[ast.AST, str], set[str]] = {}
            for node in module.nodes:
                self._note(node, noted)
            # What is given to a name once and again is known where it always is of one kind.
            self._kinds = {place: kinds.pop() for place, kinds in noted.items() if len(kinds) == 1}

    def _note(self, node: ast.AST, noted: dict[tuple[ast.AST, str], set[str]]) -> None:
        pairs: list[tuple[ast.expr, ast.expr | None]] = []
        if isinstance(node, ast.Assign):
            pairs = [(target, node.value) for target in node.targets]
        elif isinstance(node, ast.AnnAssign | ast.NamedExpr):
            pairs = [(node.target, node.value)]
        elif isinstance(node, ast.withitem) and node.optional_vars is not None:
            pairs = [(node.optional_vars, node.context_expr)]
        elif isinstance(node, ast.For | ast.AsyncFor | ast.comprehension):
            pairs = [(node.target, None)]
        elif isinstance(node, ast.arg):
            noted.setdefault((self._scope(node, node.arg), node.arg), set()).add("")
        for target, value in pairs:
            if name := _variable_name(target):
                place = (self._scope(target, name), name)
                kind = self.kind(value) if value is not None else ""
                noted.setdefault(place, set()).add(kind)
                self._kinds.setdefault(place, kind)

    def _scope(self, node: ast.AST, name: str) -> ast.AST:
        """The function in which a name is given something; attributes of `self` belong to the class."""
        kinds = (ast.ClassDef,) if name.startswith("self.") else _SCOPES
        return next((parent for parent in self._module.around(node) if isinstance(parent, kinds)), self._module.tree)

    def _looked_up(self, node: ast.expr, name: str) -> str:
        if name.startswith("self."):
            return self._kinds.get((self._scope(node, name), name), "")
        scopes = [parent for parent in self._module.around(node) if isinstance(parent, (*_SCOPES, ast.Module))]
        return next((self._kinds[scope, name] for scope in scopes if (scope, name) in self._kinds), "")

    def kind(self, node: ast.expr) -> str:
        """What an expression is, as far as the file says it."""
        if isinstance(node, ast.Await):
            return self.kind(node.value)
        if isinstance(node, ast.Name | ast.Attribute):
            return self._looked_up(node, name) if (name := _variable_name(node)) else ""
        if not isinstance(node, ast.Call):
            return ""
        if made := self.made(node):
            return made
        if isinstance(node.func, ast.Attribute):
            base = self.kind(node.func.value)
            return "Flow" if base == "Flow" and node.func.attr in {*_METHODS, "gather_inspect", "__enter__"} else ""
        return ""

    def made(self, node: ast.Call) -> str:
        """The name of jina's class that a call constructs or loads."""
        origin = self._module.origin(node.func).removesuffix(".load_config")
        name = origin.rpartition(".")[2]
        known = {*_CLASSES, "DocumentArray", "Document"}
        return (
            {"AsyncFlow": "Flow"}.get(name, name) if origin.startswith(("jina.", "docarray.")) and name in known else ""
        )

    def check(self, executors: Executors) -> Iterator[Finding]:
        """What is wrong with the options of calls, with endpoints and methods that are called."""
        for node in self._module.nodes:
            if isinstance(node, ast.Call):
                if node.keywords and self._judged < _MOST_CALLS:
                    yield from self._options(node)
                yield from self._endpoint(node, executors)
                yield from self._methods_of(node)
                yield from self._stores(node)
            elif isinstance(node, ast.Attribute):
                yield from self._gone(node)

    def _options(self, node: ast.Call) -> Iterator[Finding]:
        model: type[Spec] | None = None
        if isinstance(node.func, ast.Attribute):
            model = _METHODS.get(node.func.attr) if self.kind(node.func.value) == "Flow" else None
        if model is None and not self._module.origin(node.func).endswith(".load_config"):
            model = _CLASSES.get(self.made(node))
        if model is None:
            return
        self._judged += 1
        values, whole = literal_keywords(node)
        words = {word.arg: word for word in node.keywords if word.arg}
        options = {name: value for name, value in values.items() if name not in _BESIDE}
        unset = {name: None for name in words if name not in _BESIDE and name not in options}
        for name, text, error in _judged(model, {**options, **unset}, whole=whole and not unset):
            word = words.get(name)
            rule = _rule_of(text, error)
            at = self._module.offset(word.value if word and rule == "hub-uses" else word or node)
            instead = _instead_of(rule, text, error)
            edits: tuple[Edit, ...] = ()
            if rule == "unknown-option" and name in FORMER:
                instead = "leave it out: it is an option of earlier versions, without effect"
                edits = self._left_out(node, word) if name in values else ()
            yield self._module.source.find(at, rule, "error", text, instead=instead, edits=edits)
        for name, word in words.items():
            new = canonical(name, model.model_fields)
            if new != name and new not in words:
                at = self._module.offset(word)
                yield self._module.source.find(
                    at, "old-option", "note", f"{name} is the old name of {new}", instead=new,
                    edits=(Edit(at, at + len(name), new),),
                )  # fmt: skip

    def _left_out(self, node: ast.Call, word: ast.keyword | None) -> tuple[Edit, ...]:
        """The change that removes a keyword argument."""
        if word is None:
            return ()
        text, start, end = self._module.source.text, self._module.offset(word), self._module.end(word)
        before = re.search(r",\s*$", text[self._module.end(node.func) : start])
        if before and re.compile(r"\s*\)").match(text, end):
            return (Edit(start - len(before[0]), end, ""),)
        return (self._module.source.cut(start, end),)

    def _methods_of(self, node: ast.Call) -> Iterator[Finding]:
        """Methods that are not there, or not available yet; arguments of `post` that it does not have."""
        if not isinstance(node.func, ast.Attribute):
            return
        kind, name = self.kind(node.func.value), node.func.attr
        if kind in {"Flow", "Deployment", "Client"} and not name.startswith("_"):
            available = _availability(kind, name)
            at = self._module.offset(node.func)
            if available is None:
                yield self._module.source.find(
                    at, "unknown-method", "warning", f"{kind} has no method {name}",
                    instead=nearest(name, _method_names(kind)) or "",
                )  # fmt: skip
            elif not available:
                yield self._module.source.find(
                    at, "not-available", "warning", f"{kind}.{name} is not available yet", instead="leave it out"
                )
        if kind in {"Flow", "Deployment", "Client"} and name in _SENDING:
            for word in node.keywords:
                if word.arg and (problem := _unknown_argument(word.arg)):
                    yield self._module.source.find(
                        self._module.offset(word), "unknown-option", "warning", problem.message, instead=problem.help
                    )

    def _endpoint(self, node: ast.Call, executors: Executors) -> Iterator[Finding]:
        if not isinstance(node.func, ast.Attribute) or node.func.attr not in _SENDING or executors.open:
            return
        if self.kind(node.func.value) not in {"Flow", "Deployment", "Client"} or not executors.endpoints:
            return
        on = next((word.value for word in node.keywords if word.arg == "on"), node.args[0] if node.args else None)
        path = on.value if isinstance(on, ast.Constant) else None
        if on is not None and isinstance(path, str) and path not in executors.endpoints:
            near = nearest(path, executors.endpoints)
            yield self._module.source.find(
                self._module.offset(on), "unknown-endpoint", "warning",
                f"no Executor of the project has the endpoint {path!r}: it is 404 here, where Jina 3 gave the documents"
                " back unchanged",
                instead=near or ", ".join(sorted(executors.endpoints)),
            )  # fmt: skip

    def _stores(self, node: ast.Call) -> Iterator[Finding]:
        """Arguments of `DocumentArray` that chose a store."""
        if self.made(node) != "DocumentArray" or not isinstance(node.func, ast.Name):
            return
        for word in node.keywords:
            if word.arg in {"storage", "config"}:
                yield self._module.source.find(
                    self._module.offset(word), "docarray-api", "warning",
                    f"DocumentArray takes no {word.arg}: DocArray removed its stores",
                    instead="keep documents in a DocArray index (docarray.index), or in a database of your own",
                )  # fmt: skip

    def _gone(self, node: ast.Attribute) -> Iterator[Finding]:
        if node.attr not in REMOVED_METHODS:
            return
        origin = self._module.origin(node.value)
        documents = origin.startswith(("jina.", "docarray.")) and origin.rpartition(".")[2] in {
            "Document",
            "DocumentArray",
        }
        kind = origin.rpartition(".")[2] if documents else self.kind(node.value)
        if kind not in {"Document", "DocumentArray"}:
            return
        import jina

        if not hasattr(getattr(jina, kind), node.attr):
            yield self._module.source.find(
                self._module.offset(node), "docarray-api", "warning", f"{kind} has no {node.attr}: DocArray removed it",
                instead="read and write the fields of the documents yourself; docs/how-to/schemaless-documents.md",
            )  # fmt: skip


def _classes_of(kind: str) -> list[type]:
    import jina
    from jina.client import client

    if kind != "Client":
        return [getattr(jina, kind)]
    classes = [cls for cls in vars(client).values() if isinstance(cls, type)]
    return [cls for cls in classes if issubclass(cls, client.SyncClient | client.AsyncClient)]


@functools.cache
def _availability(kind: str, name: str) -> bool | None:
    """Whether a method does anything yet; None where there is none of that name."""
    found = [method for cls in _classes_of(kind) if (method := getattr(cls, name, None)) is not None]
    if not found:
        return None
    return any(getattr(method, "__annotations__", {}).get("return") not in {"NoReturn", NoReturn} for method in found)


@functools.cache
def _method_names(kind: str) -> list[str]:
    return sorted({name for cls in _classes_of(kind) for name in dir(cls) if not name.startswith("_")})


@functools.cache
def _unknown_argument(name: str) -> ConfigError | None:
    """What `post` says to an argument."""
    from jina.client.post import arguments_of_post
    from jina.net.channel import call_options

    if any(name in inspect.signature(cls.post).parameters for cls in _classes_of("Client") if hasattr(cls, "post")):
        return None
    try:
        call_options({name: None}, others=arguments_of_post)
    except ConfigError as error:
        return error
    return None


def _variable_name(node: ast.expr) -> str:
    """`self.flow` as text; empty for what is no plain name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join(reversed([*parts, node.id])) if isinstance(node, ast.Name) else ""


def _judged(model: type[Spec], values: Mapping[str, Any], *, whole: bool) -> Iterator[tuple[str, str, ConfigError]]:
    """Option, problem and error of what is wrong with the options.

    Where not all of a call is written out, each option is judged alone, and what it says about others is left out.
    """
    for given in [values] if whole else [{name: value} for name, value in values.items()]:
        try:
            parse(model, given, locate=lambda path: (f"{_TOKEN}{path[0] if path else ''}{_TOKEN}", path))
        except ConfigError as error:
            for text in _problems(error):
                _, name, words = text.split(_TOKEN, 2) if text.count(_TOKEN) >= 2 else ("", "", text)
                if whole or "unknown option" in words or not _about_others(model, given, error):
                    yield name or _named(text, values), words.lstrip(": "), error


def _named(text: str, values: Mapping[str, Any]) -> str:
    return next((name for name in values if f"'{name}'" in text), "")


def _about_others(model: type[Spec], given: Mapping[str, Any], error: ConfigError) -> bool:
    """Whether the option by itself is right, so that the problem is what stands beside it."""
    if isinstance(error, NotSupportedError):
        return False
    try:
        model.model_validate(
            {canonical(key, model.model_fields): value for key, value in given.items() if value is not None}
        )
    except ValueError:
        return False
    return True


# --- YAML ---------------------------------------------------------------------------------------------------------

_OURS: Final = re.compile(
    r"^\s*jtype\s*:|^\s*-?\s*!(Flow|Deployment|Executor|[A-Z]\w*)\b|^(executors|pods|deployments)\s*:", re.MULTILINE
)
_VARIABLE: Final = re.compile(r"\$\{\{\s*([^{}]*?)\s*\}\}|\$([A-Za-z_]\w*)")
_TEMPLATE: Final = re.compile(r"\{%|(?<!\$)\{\{")
_STEPS: Final = ("executors", "deployments", "pods")
"""Keys below which a Flow has its Executors, now or formerly."""
_OF_JINA1: Final = re.compile(
    r"^requests:\s*\n\s+on:|^\s*-?\s*!\w+Driver\b|^components:|^pods:\s*\n\s+\w+:", re.MULTILINE
)
_MOST_YAML: Final = 512 * 1024


@dataclass
class Places:
    """Where the values of a YAML file stand, by their paths; keys of mappings where there are keys."""

    offsets: dict[Keys, int] = field(default_factory=dict)
    keys: dict[Keys, tuple[int, int]] = field(default_factory=dict)
    """Path -> begin and end of the key."""
    values: dict[Keys, tuple[int, int]] = field(default_factory=dict)
    order: list[Keys] = field(default_factory=list)

    def at(self, path: Keys) -> int:
        """Where the nearest known value around a path stands."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.offsets:
                return self.offsets[path[:length]]
        return 0


def check_yaml(source: Source, root: Path, files: Collection[str] = ()) -> Iterator[Finding]:
    """What is wrong with a YAML file of jina; nothing for files of others. `files` are those of the project."""
    if not _OURS.search(source.text) or len(source.text) > _MOST_YAML:
        return
    try:
        data, _ = read_yaml(source.text, _TOKEN)
        places = _places(source.text)
    except BadConfigSource as error:
        yield from _unreadable(source, error)
        return
    if not isinstance(data, Mapping) or not _is_configuration(data):
        return
    yield from _Configuration(source, root, data, places, files).check()
    for path in places.order:
        if path and path[-1] in {"uses", "uses_before", "uses_after"}:
            begin, end = places.values[path]
            yield from _package(source, begin, source.text[begin:end].strip("'\""))


def _package(source: Source, at: int, uses: str) -> Iterator[Finding]:
    """The finding for a package or an image of Jina's hub that is not in the registry of this user."""
    scheme = uses.partition("://")[0].lower()
    if scheme in {"jinahub+docker", "jinaai+docker"}:
        yield from _image(source, at, uses)
    if scheme not in {"jinahub", "jinaai"}:
        return
    severity: Severity = "error"
    text = ""
    try:
        named = Named.parse(uses)
        text = f"there is no package {named.reference} in {named.registry}, and Jina's own hub is gone"
        if not named.registry.startswith("/"):  # a check asks no server
            severity, text = "warning", f"the package has to be in {named.registry}: Jina's own hub is gone"
        else:
            named.open().manifest(named.reference.repository, named.reference.wanted)
            return
    except NotFound:
        pass
    except ConfigError as error:
        text = error.message
    yield source.find(at, "hub-uses", severity, text, instead=_PACKAGE_REPLACEMENT)


def _image(source: Source, at: int, uses: str) -> Iterator[Finding]:
    """A check asks no server; whether the image is there shows when it is pulled."""
    severity: Severity = "warning"
    try:
        text = f"the image has to be {image_of(uses)}: Jina's own hub is gone"
    except ConfigError as error:
        severity, text = "error", error.message
    yield source.find(at, "hub-uses", severity, text, instead=_IMAGE_REPLACEMENT)


def _unreadable(source: Source, error: BadConfigSource) -> Iterator[Finding]:
    match = re.match(rf"{_TOKEN}(?::(\d+))?: ", error.message)
    line = int(match[1]) if match and match[1] else 1
    template = _TEMPLATE.search(source.text) is not None or "---" in source.text[3:]
    severity: Severity = "warning" if template else "error"
    yield source.find(
        source.offset(line, 0), "yaml-syntax", severity, error.message[match.end() if match else 0 :],
        instead=_JINA1_REPLACEMENT if _OF_JINA1.search(source.text) else "",
    )  # fmt: skip


def _places(text: str) -> Places:
    places = Places()
    pending: list[tuple[Keys, Any]] = [((), yaml.compose(text, Loader=yaml.SafeLoader))]
    while pending and len(places.order) < 100_000:
        path, node = pending.pop()
        if node is None:
            continue
        places.values[path] = (node.start_mark.index, node.end_mark.index)
        places.offsets.setdefault(path, node.start_mark.index)
        places.order.append(path)
        if isinstance(node, yaml.SequenceNode):
            pending += [((*path, index), item) for index, item in enumerate(node.value)]
        elif isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                below = (*path, step_of(key.value))
                places.offsets[below] = key.start_mark.index
                places.keys[below] = (key.start_mark.index, key.end_mark.index)
                pending.append((below, value))
    return places


def _is_configuration(data: Mapping[Any, Any]) -> bool:
    if isinstance(data.get("jtype"), str):
        return True
    return any(isinstance(data.get(key), list) for key in ("executors", "pods", "deployments"))


class _Configuration:
    """One YAML file: judged by its loader, again without what was found, until nothing is left."""

    def __init__(
        self, source: Source, root: Path, data: Mapping[Any, Any], places: Places, files: Collection[str]
    ) -> None:
        self.source = source
        self.root = root
        self.files = files
        self.places = places
        self.paths = places.order
        self.index = {path: number for number, path in enumerate(self.paths)}
        self.data: Any = data
        self.complete = True
        self.ignored: list[tuple[str, Keys]] = []
        self.folder = str((root / source.folder).resolve())

    def check(self) -> Iterator[Finding]:
        """Every finding of the file."""
        yield from self._variables()
        load = self._loader()
        steps = next((self.data[key] for key in _STEPS if key in self.data), None)
        for _ in range(
            min(_MOST_PROBLEMS, _MOST_STEPS // (len(steps) if isinstance(steps, list) and steps else 1) + 1)
        ):
            try:
                load()
            except ConfigError as error:
                found = [self._of_problem(text, error) for text in _problems(error)]
                yield from (finding for finding, _ in found)
                removed = [self._remove(path) for _, path in found]
                if not all(removed):
                    return
            else:
                break
        else:
            yield self.source.find(0, "not-read", "note", "has more problems than are listed")
        for text, path in dict.fromkeys((text, path) for text, path in self.ignored):
            yield self.source.find(self.places.at(path), "without-effect", "note", f"{dotted(path)}: {text}")
        yield from self._old_names()
        yield from self._missing_files()

    def _loader(self) -> Callable[[], Any]:
        from jina.config.yaml import spec_of

        kind = self.data.get("jtype")
        flow = kind in {None, "Flow", "AsyncFlow"}
        models: dict[Any, type[Spec]] = {"Deployment": DeploymentSpec, "Client": ClientSpec, "Gateway": ExecutorSpec}

        def load() -> None:
            self.ignored.clear()
            origin = Origin(_TOKEN, self.folder, self.index, self.ignored)
            loaded = Loaded(self.data, origin)
            if not flow:
                spec_of(models.get(kind, ExecutorSpec), loaded, substitute=False)
                return
            from jina.plan.topology import topology_of

            spec = spec_of(FlowSpec, loaded, substitute=False)
            if self.complete:
                topology_of(spec)

        return load

    def _of_problem(self, text: str, error: ConfigError) -> tuple[Finding, Keys]:
        match = _TOKENS.search(text)
        path: Keys = self.paths[int(match[1])] if match and match[1] else ()
        words = _TOKENS.sub("", text)
        rule = _rule_of(words, error)
        from jina.errors import FlowTopologyError

        if isinstance(error, FlowTopologyError):
            rule = "flow-graph"
        finding = self.source.find(
            self.places.at(path), rule, "error", words, instead=self._instead(path, rule, words, error),
            edits=self._edits(path, words),
        )  # fmt: skip
        return finding, path

    def _instead(self, path: Keys, rule: str, words: str, error: ConfigError) -> str:
        if _OF_JINA1.search(self.source.text):
            return _JINA1_REPLACEMENT
        return "executors" if path == ("pods",) else _instead_of(rule, words, error)

    def _edits(self, path: Keys, words: str) -> tuple[Edit, ...]:
        """Keys that were renamed."""
        steps = self.data.get(path[0]) if path else None
        if path == ("pods",) and "unknown key" in words and "executors" not in self.data and isinstance(steps, list):
            return (Edit(*self.places.keys[path], "executors"),)
        return ()

    def _remove(self, path: Keys) -> bool:
        """Take what was found out, so that the rest can be judged; whether there was anything."""
        if path == ("pods",) and "executors" not in self.data:
            renamed = {("executors" if key == path[0] else key): value for key, value in self.data.items()}
            index = {
                ("executors", *keys[1:]) if keys[:1] == path else keys: number for keys, number in self.index.items()
            }
            self.data, self.index = renamed, index
            return True
        for length in range(len(path), 0, -1):
            if child_at(self.data, path[:length]) is not MISSING:
                self.data = _without(self.data, path[:length])
                self.complete = self.complete and path[0] not in _STEPS
                return True
        return False

    def _variables(self) -> Iterator[Finding]:
        """Values of variables are known at the start only: those that are not set now are left out."""
        for path in self.paths:
            text = child_at(self.data, path)
            if not isinstance(text, str) or "$" not in text:
                continue
            for match in _VARIABLE.finditer(text):
                yield from self._variable(path, match[1], match[2])
            if _VARIABLE.search(text) and path:
                self.data = _without(self.data, path)
                self.complete = False

    def _variable(self, path: Keys, name: str | None, old: str | None) -> Iterator[Finding]:
        scope, _, rest = (name or "").partition(".")
        if old is not None:
            if old not in os.environ:
                yield self._unset(path, f"the variable {old} is not set", f"export {old}=...")
        elif scope.upper() == "ENV":
            if rest not in os.environ:
                text = (
                    f"the variable {rest} is not set, which is an error when the file is loaded; Jina 3 kept the text"
                )
                yield self._unset(path, text, f"export {rest}=...")
        elif scope not in {"root", "this"}:
            given = rest if scope.upper() == "CONTEXT" else name
            text = f"the program has to give {given}, else it is an error when the file is loaded"
            yield self._unset(path, text, f"load_config(..., context={{'{given}': ...}})")

    def _unset(self, path: Keys, text: str, instead: str) -> Finding:
        return self.source.find(self.places.at(path), "missing-variable", "note", text, instead=instead)

    def _old_names(self) -> Iterator[Finding]:
        for prefix, model in self._models():
            values = child_at(self.data, prefix)
            for name in list(values) if isinstance(values, Mapping) else []:
                new = canonical(str(name), model.model_fields)
                if new == name or new in values:
                    continue
                begin, end = self.places.keys.get((*prefix, name), (0, 0))
                quote = self.source.text[begin : begin + 1] if end - begin == len(str(name)) + 2 else ""
                if end:
                    yield self.source.find(
                        begin, "old-option", "note", f"{name} is the old name of {new}", instead=new,
                        edits=(Edit(begin, end, f"{quote}{new}{quote}"),),
                    )  # fmt: skip

    def _models(self) -> Iterator[tuple[Keys, type[Spec]]]:
        if self.data.get("jtype") == "Deployment":
            yield ("with",), DeploymentSpec
        elif self.data.get("jtype") in {None, "Flow", "AsyncFlow"}:
            yield ("with",), FlowSpec
            yield ("gateway",), GatewaySpec
            for key in _STEPS:
                steps = self.data.get(key)
                for index in range(len(steps) if isinstance(steps, list) else 0):
                    yield (key, index), StepSpec

    def _missing_files(self) -> Iterator[Finding]:
        """Files below `py_modules` of an Executor, which start at the file's folder."""
        from jina.executor.loading import locate

        if self.data.get("jtype") in {None, "Flow", "AsyncFlow", "Deployment", "Client"}:
            return
        for prefix in ((), ("metas",)):
            given = child_at(self.data, (*prefix, "py_modules"))
            for index, name in enumerate(
                [given] if isinstance(given, str) else given if isinstance(given, list) else []
            ):
                path: Keys = (*prefix, "py_modules") if isinstance(given, str) else (*prefix, "py_modules", index)
                try:
                    locate(str(name), [self.folder, str(self.root)])
                except BadConfigSource:
                    elsewhere = any(file.endswith(f"/{os.path.basename(str(name))}") for file in self.files)
                    yield self.source.find(
                        self.places.at(path), "missing-file", "warning" if elsewhere else "error",
                        f"py_modules: {name!r} is no file of {self.source.folder or 'the project'}, and no module",
                    )  # fmt: skip


def child_at(data: Any, path: Keys) -> Any:
    """What is at a path, else MISSING."""
    for step in path:
        data = child(data, step)
    return data


def _without(data: Any, path: Keys) -> Any:
    """A copy without what is at a path; a step leaves an empty one, because the others are known by their numbers."""
    if len(path) == 2 and path[0] in _STEPS and isinstance(data, Mapping):
        steps = data[path[0]]
        return {**data, path[0]: [{} if index == path[1] else step for index, step in enumerate(steps)]}
    head, *rest = path
    if isinstance(data, Mapping):
        if not rest:
            return {key: value for key, value in data.items() if step_of(key) != head}
        return {key: _without(value, tuple(rest)) if step_of(key) == head else value for key, value in data.items()}
    if not rest:
        return [value for index, value in enumerate(data) if index != head]
    return [_without(value, tuple(rest)) if index == head else value for index, value in enumerate(data)]


def hub_names(module: Module) -> Iterator[Finding]:
    """Addresses of the hub and of images elsewhere than in options that were judged already."""
    for node in module.nodes:
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            continue
        scheme = node.value.partition("://")[0].lower()
        if " " not in node.value:
            yield from _package(module.source, module.offset(node), node.value)
        if scheme in SANDBOX_SCHEMES and " " not in node.value:
            yield module.source.find(
                module.offset(node),
                "hub-uses",
                "warning",
                f"'{scheme}://' is not available: there is no cloud that runs it",
                instead=_HUB_REPLACEMENT,
            )

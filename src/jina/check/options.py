"""Options in calls and YAML files, judged by the very models and loaders that a start uses."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from jina.check.executors import Executors, literal_keywords
from jina.check.project import Edit, Finding, Severity, Source
from jina.check.python import GONE_METHODS, Module
from jina.errors import BadConfigSource, ConfigError, NotSupportedError, nearest
from jina.spec import ClientSpec, DeploymentSpec, ExecutorSpec, FlowSpec, GatewaySpec, StepSpec
from jina.spec.aliases import canonical
from jina.spec.base import Spec
from jina.spec.parsing import parse
from jina.spec.paths import MISSING, child, step_of
from jina.spec.paths import Path as Keys
from jina.spec.rules import UNAVAILABLE_SCHEMES
from jina.spec.yaml_io import Loaded, Origin
from jina.spec.yaml_nodes import read_yaml

_TOKEN: Final = "\ue000"  # noqa: S105 - no secret
"""Stands for the place in messages that are taken apart here."""
_TOKENS: Final = re.compile(rf"{_TOKEN}(?::(\d+))?:? ?")
_HUB_WAY_OUT: Final = (
    "install the package of the Executor, and write uses: package.module.Class, or a class and py_modules"
)
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
    if "://" in text and "not available" in text:
        return "hub-uses"
    if isinstance(error, NotSupportedError) and "not available" in text:
        return "not-available"
    return "wrong-value"


def _instead_of(rule: str, text: str, error: ConfigError) -> str:
    if rule == "hub-uses":
        return _HUB_WAY_OUT
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


class Calls:
    """The calls of a file that make Flows, Deployments and clients, or go to them."""

    def __init__(self, module: Module) -> None:
        self._module = module
        self._judged = 0
        self._kinds: dict[str, str] = {}
        """Variable -> `Flow`, `Deployment`, `Client`, or `DocumentArray`."""
        for _ in range(2):
            for node in module.nodes:
                self._note(node)

    def _note(self, node: ast.AST) -> None:
        pairs: list[tuple[ast.expr, ast.expr | None]] = []
        if isinstance(node, ast.Assign):
            pairs = [(target, node.value) for target in node.targets]
        elif isinstance(node, ast.AnnAssign | ast.NamedExpr):
            pairs = [(node.target, node.value)]
        elif isinstance(node, ast.withitem) and node.optional_vars is not None:
            pairs = [(node.optional_vars, node.context_expr)]
        for target, value in pairs:
            name = _variable_name(target)
            if name and value is not None and (kind := self.kind(value)):
                self._kinds[name] = kind

    def kind(self, node: ast.expr) -> str:
        """What an expression is, as far as the file says it."""
        if isinstance(node, ast.Await):
            return self.kind(node.value)
        if isinstance(node, ast.Name | ast.Attribute):
            return self._kinds.get(_variable_name(node), "")
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
            yield self._module.source.find(at, rule, "error", text, instead=_instead_of(rule, text, error))
        for name, word in words.items():
            new = canonical(name, model.model_fields)
            if new != name and new not in words:
                at = self._module.offset(word)
                yield self._module.source.find(
                    at, "old-option", "note", f"{name} is the old name of {new}", instead=new,
                    edits=(Edit(at, at + len(name), new),),
                )  # fmt: skip

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

    def _gone(self, node: ast.Attribute) -> Iterator[Finding]:
        if node.attr not in GONE_METHODS:
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


def check_yaml(source: Source, root: Path) -> Iterator[Finding]:
    """What is wrong with a YAML file of jina; nothing for files of others."""
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
    yield from _Configuration(source, root, data, places).check()


def _unreadable(source: Source, error: BadConfigSource) -> Iterator[Finding]:
    match = re.match(rf"{_TOKEN}(?::(\d+))?: ", error.message)
    line = int(match[1]) if match and match[1] else 1
    template = _TEMPLATE.search(source.text) is not None or "---" in source.text[3:]
    severity: Severity = "warning" if template else "error"
    yield source.find(source.offset(line, 0), "yaml-syntax", severity, error.message[match.end() if match else 0 :])


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

    def __init__(self, source: Source, root: Path, data: Mapping[Any, Any], places: Places) -> None:
        self.source = source
        self.root = root
        self.places = places
        self.paths = places.order
        self.index = {path: number for number, path in enumerate(self.paths)}
        self.data: Any = data
        self.complete = True
        self.folder = str((root / source.folder).resolve())

    def check(self) -> Iterator[Finding]:
        """Every finding of the file."""
        yield from self._variables()
        load = self._loader()
        steps = self.data.get("executors", self.data.get("pods"))
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
        yield from self._old_names()
        yield from self._missing_files()

    def _loader(self) -> Callable[[], Any]:
        from jina.spec.yaml_specs import spec_of

        kind = self.data.get("jtype")
        flow = kind in {None, "Flow", "AsyncFlow"}
        models: dict[Any, type[Spec]] = {"Deployment": DeploymentSpec, "Client": ClientSpec, "Gateway": ExecutorSpec}

        def load() -> None:
            origin = Origin(_TOKEN, self.folder, self.index)
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
            self.places.at(path), rule, "error", words, instead=_instead_of(rule, words, error),
            edits=self._edits(path, words),
        )  # fmt: skip
        return finding, path

    def _edits(self, path: Keys, words: str) -> tuple[Edit, ...]:
        """Keys that were renamed."""
        if path in {("pods",), ("deployments",)} and "unknown key" in words and "executors" not in self.data:
            return (Edit(*self.places.keys[path], "executors"),)
        return ()

    def _remove(self, path: Keys) -> bool:
        """Take what was found out, so that the rest can be judged; whether there was anything."""
        if path in {("pods",), ("deployments",)} and "executors" not in self.data:
            renamed = {("executors" if key == path[0] else key): value for key, value in self.data.items()}
            index = {
                ("executors", *keys[1:]) if keys[:1] == path else keys: number for keys, number in self.index.items()
            }
            self.data, self.index = renamed, index
            return True
        for length in range(len(path), 0, -1):
            if child_at(self.data, path[:length]) is not MISSING:
                self.data = _without(self.data, path[:length])
                self.complete = self.complete and path[0] != "executors"
                return True
        return False

    def _variables(self) -> Iterator[Finding]:
        """Values of variables are known at the start only: those that are not set now are left out."""
        for path in self.paths:
            text = child_at(self.data, path)
            if not isinstance(text, str) or "$" not in text:
                continue
            for match in _VARIABLE.finditer(text):
                name = match[1] or match[2]
                scope, _, rest = name.partition(".")
                if match[1] is None or scope.upper() == "ENV":
                    yield from self._variable(path, rest or name, old=match[1] is None)
            if _VARIABLE.search(text) and path:
                self.data = _without(self.data, path)
                self.complete = False

    def _variable(self, path: Keys, name: str, *, old: bool) -> Iterator[Finding]:
        if name in os.environ:
            return
        message = f"the variable {name} is not set"
        if not old:
            message += ", which is an error when the file is loaded; Jina 3 kept the text"
        yield self.source.find(self.places.at(path), "missing-variable", "note", message, instead=f"export {name}=...")

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
            steps = self.data.get("executors")
            for index in range(len(steps) if isinstance(steps, list) else 0):
                yield ("executors", index), StepSpec

    def _missing_files(self) -> Iterator[Finding]:
        """Files below `py_modules` of an Executor, which start at the file's folder."""
        from jina.executor.modules import locate

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
                    yield self.source.find(
                        self.places.at(path), "missing-file", "error",
                        f"py_modules: {name!r} is no file of {self.source.folder or 'the project'}, and no module",
                    )  # fmt: skip


def child_at(data: Any, path: Keys) -> Any:
    """What is at a path, else MISSING."""
    for step in path:
        data = child(data, step)
    return data


def _without(data: Any, path: Keys) -> Any:
    """A copy without what is at a path; a step leaves an empty one, because the others are known by their numbers."""
    if len(path) == 2 and path[0] == "executors":
        steps = data["executors"]
        return {**data, "executors": [{} if index == path[1] else step for index, step in enumerate(steps)]}
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
        if scheme in UNAVAILABLE_SCHEMES and scheme != "docker" and " " not in node.value:
            yield module.source.find(
                module.offset(node), "hub-uses", "warning", f"'{scheme}://' is not available yet", instead=_HUB_WAY_OUT
            )

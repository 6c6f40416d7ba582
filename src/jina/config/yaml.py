"""YAML in and out: nodes that remember their lines, files and URLs, Deployments, Executors, gateways and Flows."""

from __future__ import annotations

import os
import re
import urllib.error
import urllib.request
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeVar, cast

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from jina.config.base import CLOUD, FORMER, Spec, canonical
from jina.config.changes import gateway_from, step_from
from jina.config.models import DeploymentSpec, ExecutorSpec, FlowSpec, GatewaySpec, StepSpec
from jina.config.parsing import Locate, Path, dotted, known_names, parse, step_of, subject_of, unknown
from jina.config.paths import callers_folders
from jina.config.rules import VERSIONS
from jina.config.types import read_json, shown
from jina.config.variables import substitute as fill_in
from jina.errors import BadConfigSource, BadYAMLVersion, ConfigError, nearest
from jina.observe.logs import get_logger

_STANDARD: Final = "tag:yaml.org,2002:"
_SCALARS: Final = frozenset(
    _STANDARD + name for name in ("null", "bool", "int", "float", "binary", "timestamp", "str", "value", "merge")
)
_MOST_NODES: Final = 100_000


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, with `on` and `off` as text: `on:` is a common key here."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if first not in "oO" or tag != _STANDARD + "bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_yaml(text: str, name: str) -> tuple[Any, dict[Path, int]]:
    """The values of `text` and the line of each, counted from 1; a mapping's items have the lines of their keys.

    A tag `!Name` on a mapping becomes its first key `jtype`. Raises BadConfigSource, naming `name` and the line,
    for text that is no YAML, keys given twice, and tags that would construct objects.
    """
    loader: _Loader | None = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        return _Builder(loader, name).build_all(node)
    except yaml.MarkedYAMLError as exc:
        line = exc.problem_mark.line + 1 if exc.problem_mark else 1
        raise BadConfigSource(f"{name}:{line}: not YAML: {exc.problem or exc.context}") from exc
    except yaml.YAMLError as exc:
        raise BadConfigSource(f"{name}: not YAML: {str(exc).splitlines()[0]}") from exc
    except RecursionError as exc:
        raise BadConfigSource(f"{name}: nested too deeply") from exc
    finally:
        if loader is not None:
            loader.dispose()


class _Builder:
    """Builds values from nodes, noting lines."""

    def __init__(self, loader: _Loader, name: str) -> None:
        self.loader = loader
        self.name = name
        self.lines: dict[Path, int] = {}
        self.open: set[int] = set()
        self.count = 0

    def build_all(self, node: Node | None) -> tuple[Any, dict[Path, int]]:
        if node is None:
            return None, {(): 1}
        self.lines[()] = _line(node)
        return self._build(node, ()), self.lines

    def _build(self, node: Node, path: Path) -> Any:
        self.count += 1
        if self.count > _MOST_NODES:
            raise self._error(node, f"more than {_MOST_NODES} values; aliases of aliases?")
        if id(node) in self.open:
            raise self._error(node, "refers to itself")
        self.open.add(id(node))
        try:
            return self._value(node, path)
        finally:
            self.open.remove(id(node))

    def _value(self, node: Node, path: Path) -> Any:
        name = self._tag_name(node)
        if isinstance(node, MappingNode):
            items = self._mapping(node, path)
            if name is not None and "jtype" in items:
                raise self._error(node, f"both the tag !{name} and the key 'jtype'; give one of them")
            return items if name is None else {"jtype": name, **items}
        if isinstance(node, SequenceNode):
            if name is not None:
                raise self._error(node, f"the tag !{name} stands before a list; it needs a mapping")
            return [self._item(item, (*path, index)) for index, item in enumerate(node.value)]
        if name is not None:
            if node.value:
                raise self._error(node, f"the tag !{name} stands before {node.value!r}; it needs a mapping")
            return {"jtype": name}
        try:
            return self.loader.construct_object(node)
        except (ValueError, KeyError, AttributeError, OverflowError) as exc:  # what PyYAML's parsers of scalars raise
            kind = node.tag.removeprefix(_STANDARD)
            raise self._error(node, f"{shown(node.value)} cannot be read as {kind}: {exc}") from exc

    def _item(self, node: Node, path: Path) -> Any:
        self.lines[path] = _line(node)
        return self._build(node, path)

    def _tag_name(self, node: Node) -> str | None:
        """The class that a tag names; None for the tags of plain values."""
        tag = node.tag
        expected = {MappingNode: {_STANDARD + "map"}, SequenceNode: {_STANDARD + "seq"}, ScalarNode: _SCALARS}
        if tag in expected[type(node)]:
            return None
        if tag.startswith("!") and tag[1:].replace(".", "").isidentifier():
            return tag[1:]
        shown = tag.replace(_STANDARD, "!!")
        raise self._error(node, f"the tag {shown} is not allowed; `!Name` names an Executor class")

    def _mapping(self, node: MappingNode, path: Path) -> dict[Any, Any]:
        self._refuse_duplicates(node)
        # Merged keys (`<<`) come first afterwards, so that the mapping's own override them.
        self.loader.flatten_mapping(node)
        items: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node)
            below = (*path, step_of(key))
            self.lines[below] = _line(key_node)
            items[key] = self._build(value_node, below)
        return items

    def _key(self, node: Node) -> Any:
        if not isinstance(node, ScalarNode) or self._tag_name(node) is not None:
            raise self._error(node, "a key is not plain text")
        return self.loader.construct_object(node)

    def _refuse_duplicates(self, node: MappingNode) -> None:
        seen: dict[Any, int] = {}
        for key_node, _ in node.value:
            if key_node.tag == _STANDARD + "merge":
                continue
            key = self._key(key_node)
            if key in seen:
                raise self._error(key_node, f"the key {key!r} is given twice; first on line {seen[key]}")
            seen[key] = _line(key_node)

    def _error(self, node: Node, text: str) -> BadConfigSource:
        return BadConfigSource(f"{self.name}:{_line(node)}: {text}")


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1


def plain(value: Any) -> Any:
    """A copy of mappings and lists, so that the caller's are never changed; other values as they are."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


_URL: Final = re.compile(r"https?://", re.IGNORECASE)
_SUFFIXES: Final = (".yml", ".yaml", ".json")
_SECONDS: Final = 10.0
_MOST_BYTES: Final = 10 * 1024 * 1024


class Origin(NamedTuple):
    """Where a configuration came from: its name in messages, its folder, the line of each value."""

    name: str
    folder: str | None
    lines: Mapping[Path, int]
    ignored: list[tuple[str, Path]] | None = None
    """Where given, what is without effect is noted here, with its place, instead of in the log."""

    def place(self, path: Path) -> str:
        """`deployment.yml:7`, by the nearest line that is known; the bare name where there are no lines."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.lines:
                return f"{self.name}:{self.lines[path[:length]]}"
        return f"{self.name}:"

    def at(self, path: Path) -> str:
        """`deployment.yml:7 with.replicas`."""
        return f"{self.place(path)} {dotted(path)}" if path else self.place(path).removesuffix(":")


class Loaded(NamedTuple):
    """A configuration: plain values, and where they came from."""

    data: Any
    origin: Origin


def load(
    source: Any,
    context: Mapping[str, Any] | None = None,
    *,
    substitute: bool = True,
    search_paths: Sequence[str] = (),
) -> Loaded:
    """Read a configuration, with its variables filled in (`jina.config.variables`) unless `substitute` is False.

    `source` is the path of a YAML or JSON file (looked up here, then below `search_paths`, then beside the files of the
    calling program), YAML or JSON text, a mapping, an object with `read()`, or an http(s) URL (10 s, at most 10 MiB).

    Raises BadConfigSource for what cannot be found or read, ConfigError for unknown variables.
    """
    if isinstance(source, Mapping):
        data, origin = plain(source), Origin("mapping", None, {})
    else:
        text, name, folder = _text_of(source, search_paths)
        data, lines = _parsed(text, name)
        origin = Origin(name, folder, lines)
    if substitute:
        data = fill_in(data, context, origin.at)
    return Loaded(data, origin)


def _parsed(text: str, name: str) -> tuple[Any, Mapping[Path, int]]:
    try:
        return read_yaml(text, name)
    except BadConfigSource:
        # JSON may hold tabs and escapes that YAML refuses.
        if text.lstrip()[:1] in {"{", "["}:
            try:
                return read_json(text), {}
            except ValueError:
                pass
        raise


def _text_of(source: Any, search_paths: Sequence[str]) -> tuple[str, str, str | None]:
    """The text, its name in messages, and its folder."""
    if callable(getattr(source, "read", None)):
        return _from_file_object(source)
    if isinstance(source, os.PathLike):
        return _from_file(os.fspath(source), search_paths)
    if not isinstance(source, str):
        raise BadConfigSource(f"{source!r} is neither a path, YAML text, a mapping, an open file nor a URL")
    if _URL.match(source):
        return _from_url(source)
    return (source, "YAML text", None) if is_inline(source) else _from_file(source, search_paths)


def is_inline(source: str) -> bool:
    """Whether `source` is YAML or JSON itself rather than the path of a file."""
    text = source.strip()
    if "\n" in text or text[:1] in {"{", "!"} or re.match(r"[\w-]+:(\s|$)", text):
        return True
    return not text


def _from_file_object(source: Any) -> tuple[str, str, str | None]:
    content = source.read()
    text = content.decode("utf-8") if isinstance(content, bytes) else str(content)
    name = getattr(source, "name", None)
    if not isinstance(name, str) or not os.path.isfile(name):
        return text, "YAML text", None
    return text, os.path.basename(name), os.path.dirname(os.path.abspath(name))


def _from_file(path: str, search_paths: Sequence[str]) -> tuple[str, str, str | None]:
    expanded = os.path.expanduser(path)
    for folder in ("", *search_paths, *callers_folders()):
        candidate = os.path.join(folder, expanded)
        if os.path.isfile(candidate):
            try:
                with open(candidate, encoding="utf-8") as file:
                    return file.read(), path, os.path.dirname(os.path.abspath(candidate))
            except (OSError, UnicodeDecodeError) as exc:
                raise BadConfigSource(f"{path}: cannot be read: {exc}") from exc
    raise BadConfigSource(_missing(path, expanded, search_paths))


def _missing(path: str, expanded: str, search_paths: Sequence[str]) -> str:
    looked = [os.path.dirname(os.path.abspath(os.path.join(folder, expanded))) for folder in ("", *search_paths)]
    message = f"can not find {path!r} in {', '.join(dict.fromkeys(looked))}"
    here = looked[0]
    names = [name for name in os.listdir(here) if name.endswith(_SUFFIXES)] if os.path.isdir(here) else []
    near = nearest(os.path.basename(path), names)
    return message + (f", did you mean '{os.path.join(os.path.dirname(path), near)}'?" if near else "")


def _from_url(url: str) -> tuple[str, str, None]:
    try:
        with urllib.request.urlopen(url, timeout=_SECONDS) as response:  # noqa: S310 - only http and https come here
            content = response.read(_MOST_BYTES + 1)
    except urllib.error.HTTPError as exc:
        exc.close()
        raise BadConfigSource(f"{url}: cannot be fetched: {exc}") from exc
    except (OSError, ValueError) as exc:
        raise BadConfigSource(f"{url}: cannot be fetched: {exc}") from exc
    if len(content) > _MOST_BYTES:
        raise BadConfigSource(f"{url}: larger than {_MOST_BYTES} bytes")
    try:
        return content.decode("utf-8"), url, None
    except UnicodeDecodeError as exc:
        raise BadConfigSource(f"{url}: not UTF-8 text: {exc}") from exc


def yaml_text(data: Any) -> str:
    """The text of plain values, in their order."""
    return str(yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120))


def plain_options(spec: Spec, names: Iterable[str], where: str = "") -> dict[str, Any]:
    """These options of a spec under their YAML names, as values that YAML can hold; else ConfigError."""
    fields = type(spec).model_fields
    place = where or f"{subject_of(type(spec))}:"
    return {fields[name].alias or name: _plain(getattr(spec, name), f"{place} {name}") for name in names}


class _Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper, mended: it writes some line breaks of Unicode in a way that it does not read back."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write equal values out each time; `*id001` would only puzzle."""
        del data
        return True


def _text_node(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if any(char in text for char in "\x85\u2028\u2029\ufeff") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text_node)


def _plain(value: Any, where: str) -> Any:
    if isinstance(value, Mapping):
        return {_key(key, where): _plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, type):
        anonymous = value.__module__ == "__main__" or "<locals>" in value.__qualname__
        return value.__name__ if anonymous else f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if value is None or type(value) in {bool, int, float, str}:
        return value
    raise ConfigError(f"{where}: YAML cannot hold {shown(value)} ({type(value).__name__})")


def _key(key: Any, where: str) -> Any:
    if type(key) in {bool, int, float, str}:
        return key
    raise ConfigError(f"{where}: YAML cannot hold the key {shown(key)}")


KINDS: Final = ("Deployment", "Executor", "Flow", "Gateway", "Client")
"""What a configuration may describe besides an Executor class of the user."""
_CLOUD_GATEWAY: Final = frozenset({"gateway"})
"""What only Jina AI Cloud read in the file of a Deployment."""
_METAS: Final = ("name", "description", "workspace", "py_modules")
"""What is read of `metas`; programs may read keys of their own."""
_USES: Final = ("uses", "uses_before", "uses_after")


def mapping_in(loaded: Loaded) -> Mapping[str, Any]:
    """The mapping that a configuration has to be."""
    if not isinstance(loaded.data, Mapping):
        raise BadConfigSource(f"{loaded.origin.at(())}: {shown(loaded.data)} is not a mapping with 'jtype'")
    return loaded.data


def overridden(model: type[Spec], values: Mapping[str, Any], overrides: Mapping[str, Any] | None) -> dict[str, Any]:
    """The options of a file with those that count instead."""
    replaced = dict(overrides or {})
    options = {canonical(name, model.model_fields) for name in replaced}
    kept = {name: value for name, value in values.items() if canonical(name, model.model_fields) not in options}
    return {**kept, **replaced}


def locator(origin: Origin, prefix: Path, subject: str, replaced: Mapping[str, Any] | None = None) -> Locate:
    """Where the options below `prefix` stand; those in `replaced` did not come from the file."""

    def locate(path: Path) -> tuple[str, Path]:
        if path and path[0] in (replaced or {}):
            return f"{subject}:", path
        full = (*prefix, *path)
        return origin.place(full), full

    return locate


@dataclass(slots=True)
class Ignored:
    """Keys of a file that have no effect here: collected while it is read, then logged in one line each."""

    origin: Origin
    cloud: list[Path] = field(default_factory=list)
    former: list[Path] = field(default_factory=list)
    misplaced: list[Path] = field(default_factory=list)
    """Options of a Deployment in the file of an Executor."""
    unread: list[tuple[Path, str]] = field(default_factory=list)
    """Keys of `metas`, each with the one that it is like."""

    def without(self, values: Mapping[str, Any], path: Path, known: Container[str] = ()) -> dict[str, Any]:
        """The options at `path` without those for Jina AI Cloud and those that only earlier versions had.

        `known` are names that count whatever else they are.
        """
        kept = {}
        for name, value in values.items():
            plain = str(name).replace("-", "_")  # Jina 3 took `timeout-ready` for `timeout_ready`
            if name == CLOUD:
                self.cloud.append((*path, name))
            elif plain in FORMER and name not in known:
                self.former.append((*path, name))
            else:
                kept[plain if plain in known and plain not in values else name] = value
        return kept

    def tell(self) -> None:
        """Log it, or note it where the origin collects it."""
        likely = [([path], f"nothing reads this key, did you mean '{near}'?") for path, near in self.unread]
        for paths, text in (
            *likely,
            (self.cloud, "for Jina AI Cloud, without effect here"),
            (self.former, "options of earlier versions of Jina, without effect here"),
            (self.misplaced, "options of a Deployment, without effect in an Executor's file"),
        ):
            if self.origin.ignored is not None:
                self.origin.ignored.extend((text, path) for path in paths)
            elif paths:
                get_logger("jina.yaml").warning("%s: %s", self._places(paths), text)

    def _places(self, paths: list[Path]) -> str:
        first, *others = paths
        return ", ".join([self.origin.at(first), *(dotted(path) for path in others)])


def check_kind(model: type[Spec], data: Mapping[str, Any], origin: Origin) -> None:
    """Raise unless the configuration describes a `model`."""
    wanted = subject_of(model)
    jtype = data.get("jtype")
    executor = "jtype" in model.model_fields
    if jtype is None:
        if executor:
            raise BadConfigSource(f"{origin.at(())}: 'jtype' is missing: the name of the Executor class")
        return
    if executor and jtype in set(KINDS) - {"Executor"}:
        raise BadConfigSource(f"{origin.at(('jtype',))}: {shown(jtype)} is not an Executor")
    if not executor and jtype != wanted:
        near = nearest(str(jtype), [wanted])
        hint = f", did you mean '{near}'?" if near else f"; it has to be '{wanted}'"
        raise BadConfigSource(f"{origin.at(('jtype',))}: {shown(jtype)} is not a {wanted}{hint}")


def options_below_with(
    model: type[Spec], data: Mapping[str, Any], ignored: Ignored, path: Path = ()
) -> Mapping[str, Any]:
    """What stands below `with`; raises for keys beside it that a configuration does not have."""
    origin = ignored.origin
    data = ignored.without(data, path)
    if data.keys() >= _CLOUD_GATEWAY and subject_of(model) == "Deployment":
        ignored.cloud += [(*path, name) for name in _CLOUD_GATEWAY]
        data = {name: value for name, value in data.items() if name not in _CLOUD_GATEWAY}
    version = data.get("version", "1")
    if str(version) not in VERSIONS:
        raise BadYAMLVersion(f"{origin.at(('version',))}: {shown(version)} is not a valid version number; there is '1'")
    for name in [name for name in data if name not in {"jtype", "version", "with"}]:
        text = unknown(str(name), ["jtype", "version", "with"], "key")
        if canonical(str(name), model.model_fields) in model.model_fields:
            text = f"unknown key {shown(name)}; options stand below 'with:'"
        raise ConfigError(f"{origin.place((str(name),))} {text}")
    values = data.get("with")
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise ConfigError(f"{origin.at(('with',))}: {shown(values)} is not a mapping of options")
    return ignored.without(values, (*path, "with"), model.model_fields)


def executor_options(model: type[Spec], data: Mapping[str, Any], ignored: Ignored) -> dict[str, Any]:
    """What the file of an Executor says, without options of Deployments, over which Jina 3 passes there."""
    values = ignored.without(data, (), model.model_fields)
    others = {"runtime_args", *DeploymentSpec.model_fields} - set(known_names(model))
    ignored.misplaced += [(name,) for name in values if name in others]
    metas = values.get("metas")
    for key in metas if isinstance(metas, Mapping) else ():
        if key not in _METAS and (near := nearest(str(key), _METAS)):
            ignored.unread.append((("metas", str(key)), near))
    return {name: value for name, value in values.items() if name not in others}


def check_executor(data: Any, origin: Origin, path: Path) -> None:
    """Raise for what is wrong with an Executor or gateway that a file of something else describes at `path`.

    It is read again when it is started, and what it says without effect is told then.
    """
    if isinstance(data, Mapping) and data.get("jtype") not in (None, "Deployment", "Flow", "Gateway", "Client"):
        values = executor_options(ExecutorSpec, data, Ignored(origin))
        parse(ExecutorSpec, values, locate=locator(origin, path, "Executor"))


def check_executors(values: Mapping[str, Any], origin: Origin, path: Path) -> None:
    """The same for those that the options at `path` have in `uses` and what is like it."""
    for name in _USES:
        check_executor(values.get(name), origin, (*path, name))


_KEYS: Final = ("jtype", "version", "with", "gateway", "executors", "deployments")


class Files(NamedTuple):
    """How the files that a Flow's YAML names are read."""

    context: Mapping[str, Any] | None = None
    substitute: bool = True

    def load(self, path: str, folder: str | None) -> Loaded:
        """The file, looked up here and in the folder."""
        return load(path, self.context, substitute=self.substitute, search_paths=[folder] if folder else [])


class _Options(NamedTuple):
    """Options of a step and where they stand; `folder` is that of a file of their own."""

    values: Mapping[str, Any]
    origin: Origin
    path: Path
    folder: str | None = None


def flow_of(loaded: Loaded, overrides: Mapping[str, Any] | None, files: Files) -> FlowSpec:
    """The Flow that a configuration describes.

    Each item of `executors` (or `deployments`) is a mapping of options (`method` names the way of adding), a nested
    Deployment or Executor with `jtype`, the path of a file with one, or what `uses` may be as text.
    """
    data, origin = mapping_in(loaded), loaded.origin
    values = {**(overrides or {})}
    if data.get("jtype") == "AsyncFlow":
        data, values = {**data, "jtype": "Flow"}, {"asyncio": True, **values}
    check_kind(FlowSpec, data, origin)
    ignored = Ignored(origin)
    data = ignored.without(data, ())
    for name in [name for name in data if name not in _KEYS]:
        raise ConfigError(f"{origin.place((str(name),))} {_misplaced(str(name))}")
    top = options_below_with(FlowSpec, {key: data[key] for key in ("version", "with") if key in data}, ignored)
    locate = locator(origin, ("with",), "Flow", values)
    flow = parse(FlowSpec, overridden(FlowSpec, top, values), locate=locate).in_folder(origin.folder)
    if data.get("gateway") is not None:
        flow = _with_gateway(flow, data["gateway"], ignored)
    key, items = _list(data, origin)
    for index, item in enumerate(items):
        flow = _with_item(flow, _item_options(item, ignored, (key, index), files))
    ignored.tell()
    return flow


def _misplaced(name: str) -> str:
    if canonical(name, FlowSpec.model_fields) in FlowSpec.model_fields:
        return f"unknown key {shown(name)}; options of the Flow stand below 'with:'"
    return unknown(name, _KEYS, "key")


def _list(data: Mapping[str, Any], origin: Origin) -> tuple[str, list[Any]]:
    """The Executors, and the key that they stand below."""
    given = [key for key in ("executors", "deployments") if data.get(key) is not None]
    if len(given) > 1:
        raise ConfigError(f"{origin.at(('deployments',))}: the same as 'executors'; give one of them")
    key = given[0] if given else "executors"
    items = data.get(key) or []
    if not isinstance(items, list):
        raise ConfigError(f"{origin.at((key,))}: {shown(items)} is not a list of Executors")
    return key, items


def _with_gateway(flow: FlowSpec, value: Any, ignored: Ignored) -> FlowSpec:
    """The gateway: its options, beside or below `with`; where `uses` names a class, `with` has its arguments."""
    origin, path = ignored.origin, ("gateway",)
    if isinstance(value, str) or (isinstance(value, Mapping) and "jtype" in value and value["jtype"] != "Gateway"):
        check_executor(value, origin, path)
        value = {"uses": value}
    if not isinstance(value, Mapping):
        raise ConfigError(f"{origin.at(path)}: {shown(value)} is not a mapping of options")
    values = {name: item for name, item in value.items() if name not in {"jtype", "version", "with"}}
    inner = value.get("with") or {}
    if not isinstance(inner, Mapping):
        raise ConfigError(f"{origin.at((*path, 'with'))}: {shown(inner)} is not a mapping of options")
    if inner and values.get("uses") is not None:
        values["uses_with"] = {**inner, **(values.get("uses_with") or {})}
        inner = {}
    values = ignored.without(values, path, GatewaySpec.model_fields)
    inner = ignored.without(inner, (*path, "with"), GatewaySpec.model_fields)
    check_executors(values, origin, path)
    check_executors(inner, origin, (*path, "with"))
    beside, below = locator(origin, path, "Gateway"), locator(origin, (*path, "with"), "Gateway")

    def locate(option: Path) -> tuple[str, Path]:
        return (below if option and option[0] in inner else beside)(option)

    return gateway_from(flow, _keywords({**values, **inner}), locate)


def _item_options(item: Any, ignored: Ignored, path: Path, files: Files) -> _Options:
    origin = ignored.origin
    if isinstance(item, str) and item.lower().endswith(_SUFFIXES):
        return _options_of_file(item, origin, path, files)
    if isinstance(item, str):
        return _Options({"uses": item}, origin, path)
    if not isinstance(item, Mapping):
        raise ConfigError(f"{origin.at(path)}: {shown(item)} is neither a mapping of options nor the path of a file")
    if "jtype" not in item:
        return _Options(ignored.without(item, path, StepSpec.model_fields), origin, path)
    if item["jtype"] != "Deployment":
        check_executor(item, origin, path)
        return _Options({"uses": item}, origin, path)
    return _deployment(item, ignored, path)


def _options_of_file(name: str, origin: Origin, path: Path, files: Files) -> _Options:
    try:
        loaded = files.load(name, origin.folder)
    except BadConfigSource as exc:
        raise BadConfigSource(f"{origin.at(path)}: {exc}") from exc
    data = mapping_in(loaded)
    if data.get("jtype") != "Deployment":
        return _Options({"uses": name}, origin, path)
    check_kind(DeploymentSpec, data, loaded.origin)
    ignored = Ignored(loaded.origin)
    values = options_below_with(DeploymentSpec, data, ignored)
    ignored.tell()
    return _Options(values, loaded.origin, ("with",), loaded.origin.folder)


def _deployment(item: Mapping[str, Any], ignored: Ignored, path: Path) -> _Options:
    """A nested Deployment: its options stand below `with`, its place in the graph may stand beside."""
    origin = ignored.origin
    item = ignored.without(item, path)
    inner = item.get("with") or {}
    if not isinstance(inner, Mapping):
        raise ConfigError(f"{origin.at((*path, 'with'))}: {shown(inner)} is not a mapping of options")
    beside = {key: value for key, value in item.items() if key not in {"jtype", "version", "with"}}
    for name in [name for name in beside if name not in {"needs", "name"}]:
        text = unknown(str(name), ["jtype", "version", "with", "needs", "name"], "key")
        raise ConfigError(f"{origin.place((*path, str(name)))} {text}")
    inner = ignored.without(inner, (*path, "with"), StepSpec.model_fields)
    return _Options({**inner, **beside}, origin, (*path, "with"))


def _with_item(flow: FlowSpec, options: _Options) -> FlowSpec:
    values = _keywords(options.values)
    method = values.pop("method", "add")
    if options.folder is not None and options.folder != flow.folder:
        given = values.get("extra_search_paths") or []
        values["extra_search_paths"] = [options.folder, *([given] if isinstance(given, str) else given)]
    check_executors(options.values, options.origin, options.path)
    return step_from(flow, method, values, locate=locator(options.origin, options.path, "Flow"))


def _keywords(values: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): value for name, value in values.items()}


def _given(spec: Spec) -> list[str]:
    """The options that were given, in the order of the model."""
    fields = type(spec).model_fields
    return [name for name in fields if name in spec.model_fields_set and name not in spec.made_by_methods]


def flow_data(flow: FlowSpec) -> dict[str, Any]:
    """The Flow as plain values in the form that `flow_of` reads."""
    data: dict[str, Any] = {"jtype": "Flow", "version": "1", "with": plain_options(flow, _given(flow))}
    if flow.gateway is not None:
        data["gateway"] = plain_options(flow.gateway, _given(flow.gateway))
    data["executors"] = [_step_data(step) for step in flow.executors]
    return data


def _step_data(step: StepSpec) -> dict[str, Any]:
    names = [name for name in _given(step) if name not in {"name", "method"}]
    head = {"name": step.name} if step.method == "add" else {"method": step.method, "name": step.name}
    return head | plain_options(step, names, f"Flow: {step.name}:")


S = TypeVar("S", bound=Spec)


def load_spec(
    model: type[S],
    source: Any,
    *,
    context: Mapping[str, Any] | None = None,
    substitute: bool = True,
    overrides: Mapping[str, Any] | None = None,
    search_paths: Sequence[str] = (),
) -> S:
    """Read a `model` from YAML; see `jina.config.yaml.load` for what `source` may be.

    `overrides` are options that count instead of the file's. Errors name file, line and option
    (`deployment.yml:7 with.replicas: 0 is less than 1`). The spec's `folder` is that of the file.

    Raises ConfigError, BadConfigSource where the source is missing or describes something else.
    """
    loaded = load(source, context, substitute=substitute, search_paths=search_paths)
    return spec_of(model, loaded, overrides, context=context, substitute=substitute)


def spec_of(
    model: type[S],
    loaded: Loaded,
    overrides: Mapping[str, Any] | None = None,
    *,
    context: Mapping[str, Any] | None = None,
    substitute: bool = True,
) -> S:
    """The spec that a configuration read already describes; see `load_spec`.

    `context` and `substitute` are for the files that the YAML of a Flow names.
    """
    if "executors" in model.model_fields:
        return cast("S", flow_of(loaded, overrides, Files(context, substitute=substitute)))
    data, origin = mapping_in(loaded), loaded.origin
    check_kind(model, data, origin)
    ignored = Ignored(origin)
    below = "jtype" not in model.model_fields
    values = options_below_with(model, data, ignored) if below else executor_options(model, data, ignored)
    prefix: Path = ("with",) if below else ()
    if below:
        check_executors(values, origin, prefix)
    ignored.tell()
    locate = locator(origin, prefix, subject_of(model), overrides)
    return parse(model, overridden(model, values, overrides), locate=locate).in_folder(origin.folder)


def dump_spec(spec: Spec) -> str:
    """The spec as YAML that `load_spec` reads back; only what differs from the defaults is written.

    Of a Flow, what was given is written, because a Deployment's own default counts instead of an option of the Flow.
    A class in `uses` is written as its import path, or as its bare name where it has none. Raises ConfigError for
    values that YAML cannot hold.
    """
    if "executors" in type(spec).model_fields:
        return yaml_text(flow_data(cast("Any", spec)))
    options = plain_options(spec, spec.non_defaults())
    return yaml_text(options if "jtype" in options else {"jtype": subject_of(type(spec)), "with": options})

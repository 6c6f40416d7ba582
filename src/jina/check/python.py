"""Python files: imports, Executors, and calls that take options; by the syntax tree alone."""

from __future__ import annotations

import ast
import functools
import importlib.machinery
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from jina.check.project import Edit, Finding, Severity, Source

JINA_NAMES: Final = ("Document", "DocumentArray")
"""What DocArray 0.21 had, and jina has itself."""

REPLACEMENTS: Final[dict[str, str]] = {
    "jina.peapods": "Flow and Deployment start processes themselves",
    "jina.drivers": "write a method of an Executor with @requests",
    "jina.executors": "from jina import Executor, requests",
    "jina.flow": "from jina import Flow",
    "jina.types.arrays": "from jina import DocumentArray",
    "jina.types.document": "from jina import Document",
    "jina.types.ndarray": "numpy arrays are fields of documents as they are",
    "jina.types.score": "scores of documents are numbers: `doc.scores['cosine'].value`",
    "jina.hubble": "publish Executors as Python packages, and name them by `uses: package.Class`",
    "jina.optimizers": "use an optimizer of your own: it is not part of jina",
    "jina.DocumentArrayMemmap": "from jina import DocumentArray",
    "docarray.dataclass": "write `class MyDoc(BaseDoc):` with fields (from docarray import BaseDoc)",
    "docarray.field": "write `class MyDoc(BaseDoc):` with fields (from docarray import BaseDoc)",
}
"""Old module or name -> what to write."""

REMOVED_METHODS: Final = frozenset({
    "cloud_delete", "cloud_list", "cloud_pull", "cloud_push", "dataloader", "embed", "embed_and_evaluate",
    "evaluate", "from_files", "from_huggingface_datasets", "from_lines", "from_ndjson", "from_pydantic_model",
    "from_strawberry_type", "get_json_schema", "get_vocabulary", "plot_embeddings", "plot_image_sprites", "post",
    "save_embeddings_csv", "save_gif", "to_pydantic_model", "to_strawberry_type", "convert_blob_to_datauri",
    "convert_blob_to_image_tensor", "convert_blob_to_tensor", "convert_content_to_datauri",
    "convert_image_tensor_to_blob", "convert_image_tensor_to_sliding_windows", "convert_image_tensor_to_uri",
    "convert_tensor_to_blob", "convert_tensor_to_text", "convert_text_to_datauri", "convert_text_to_tensor",
    "convert_uri_to_datauri", "display", "display_point_cloud_tensor", "display_rgbd_tensor", "display_tensor",
    "display_uri", "display_vertices_and_faces", "embed_feature_hashing", "generator_from_webcam",
    "get_multi_modal_attribute", "is_multimodal", "load_pil_image_to_datauri", "load_uri_to_audio_tensor",
    "load_uri_to_blob", "load_uri_to_image_tensor", "load_uri_to_point_cloud_tensor", "load_uri_to_text",
    "load_uri_to_vertices_and_faces", "load_uri_to_video_tensor", "load_uris_to_rgbd_tensor",
    "load_vertices_and_faces_to_point_cloud", "plot_matches_sprites", "save_audio_tensor_to_file",
    "save_blob_to_file", "save_image_tensor_to_file", "save_uri_to_file", "save_video_tensor_to_file",
    "set_image_tensor_channel_axis", "set_image_tensor_inv_normalization", "set_image_tensor_normalization",
    "set_image_tensor_resample", "set_image_tensor_shape", "set_multi_modal_attribute",
})  # fmt: skip
"""Methods of DocArray 0.21; those that ours has are not reported."""

_OF_EVERY_MODULE: Final = frozenset({"__name__", "__file__", "__path__", "__doc__", "__all__", "__dict__", "__spec__"})
_CATCHING: Final = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException", "AttributeError"})
_MENTIONS: Final = re.compile(r"\b(jina|docarray)\b")


@dataclass
class Module:
    """A parsed file: what its names stand for, and what is around each node."""

    source: Source
    tree: ast.Module
    names: dict[str, str] = field(default_factory=dict)
    """Name -> what it was imported as: `jina.Executor`, `docarray`."""
    parents: dict[ast.AST, ast.AST] = field(default_factory=dict)
    nodes: list[ast.AST] = field(default_factory=list)

    def origin(self, node: ast.AST) -> str:
        """The dotted name that an expression stands for, as far as imports say it; empty for others."""
        if isinstance(node, ast.Name):
            return self.names.get(node.id, node.id)
        if isinstance(node, ast.Attribute) and (base := self.origin(node.value)):
            return f"{base}.{node.attr}"
        return ""

    def around(self, node: ast.AST) -> Iterator[ast.AST]:
        """The nodes around a node, from the inside out."""
        while (parent := self.parents.get(node)) is not None:
            yield parent
            node = parent

    def offset(self, node: ast.expr | ast.stmt | ast.alias | ast.keyword) -> int:
        """Where a node begins in the text."""
        return self.source.offset_utf8(node.lineno, node.col_offset)

    def end(self, node: ast.expr | ast.stmt | ast.alias | ast.keyword) -> int:
        """Where a node ends in the text."""
        return self.source.offset_utf8(node.end_lineno or node.lineno, node.end_col_offset or 0)


def read_module(source: Source) -> Module | Finding | None:
    """The parsed file; a finding where it is no Python; None where it says nothing of jina or DocArray."""
    if not _MENTIONS.search(source.text):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source.text.removeprefix("\ufeff"))
    except SyntaxError as error:
        offset = source.offset(error.lineno or 1, max((error.offset or 1) - 1, 0))
        return source.find(offset, "python-syntax", "error", f"is not Python 3: {error.msg}")
    except (ValueError, RecursionError, MemoryError) as error:
        return source.find(0, "python-syntax", "error", f"cannot be parsed: {error}")
    module = Module(source, tree)
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        module.nodes.append(node)
        for child in ast.iter_child_nodes(node):
            module.parents[child] = node
            pending.append(child)
    module.nodes.sort(key=lambda node: (getattr(node, "lineno", 0), getattr(node, "col_offset", 0)))
    _note_names(module)
    return module


def _note_names(module: Module) -> None:
    for node in module.nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.asname or alias.name.partition(".")[0]
                module.names[name] = alias.name if alias.asname else name
        elif isinstance(node, ast.ImportFrom):
            prefix = "." * node.level + (node.module or "")
            for alias in node.names:
                name, origin = alias.asname or alias.name, f"{prefix}.{alias.name}"
                before = module.names.setdefault(name, origin)
                if (
                    before != origin
                    and _rule_of(before) != _rule_of(origin)
                    and None in (_rule_of(before), _rule_of(origin))
                ):
                    module.names[name] = f"?.{name}"  # one thing here, another there


# --- imports ------------------------------------------------------------------------------------------------------


def check_imports(module: Module) -> Iterator[Finding]:
    """Imports and uses of what jina does not serve, or DocArray does not have any more."""
    for node in module.nodes:
        if isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield from _from_import(module, node, node.module)
        elif isinstance(node, ast.Import):
            yield from _plain_import(module, node)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            yield from _attribute(module, node)


def _from_import(module: Module, node: ast.ImportFrom, path: str) -> Iterator[Finding]:
    rule = _rule_of(path)
    if rule is None:
        return
    wrong = [alias for alias in node.names if alias.name != "*" and not is_served(path, alias.name)]
    if not wrong and not is_module(path):
        wrong = list(node.names)
    severity = severity_at(module, node)
    movable = [alias for alias in wrong if _is_ours(alias.name)]
    edits = _moved(module, node, movable) if movable and severity != "note" else ()
    for group in (movable, *([alias] for alias in wrong if alias not in movable)):
        if not group:
            continue
        names = ", ".join(alias.name for alias in group)
        since = " since DocArray 0.30" if rule == "docarray-import" else ""
        message = f"{path} has no {names}{since}" if is_module(path) else f"there is no module {path}, for {names}"
        at = module.offset(node if len(group) == len(node.names) else group[0])
        instead = f"from jina import {names}" if group is movable else _instead(path, names)
        yield module.source.find(at, rule, severity, message, instead=instead, edits=edits if group is movable else ())
    for alias in node.names:
        yield from _later(module, alias, path, severity)


def _later(module: Module, alias: ast.alias, path: str, severity: Severity) -> Iterator[Finding]:
    """Names that can be imported, and say that they are not available when they are used."""
    if not is_module(path) or exported(path).get(alias.name) != "jina.legacy.later":
        return
    from jina.legacy import later

    bound = alias.asname or alias.name
    based = any(
        isinstance(node, ast.ClassDef) and any(isinstance(base, ast.Name) and base.id == bound for base in node.bases)
        for node in module.nodes
    )
    kept: Severity = severity if based or severity == "note" else "warning"
    yield module.source.find(
        module.offset(alias), "not-available", kept, f"{alias.name} of {path} is not available yet",
        instead=str(getattr(getattr(later, alias.name, None), "instead", "")),
    )  # fmt: skip


def _plain_import(module: Module, node: ast.Import) -> Iterator[Finding]:
    for alias in node.names:
        rule = _rule_of(alias.name)
        if rule is not None and not is_module(alias.name):
            yield module.source.find(
                module.offset(alias), rule, severity_at(module, node), f"there is no module {alias.name!r}",
                instead=_instead(alias.name, ""),
            )  # fmt: skip


def _attribute(module: Module, node: ast.Attribute) -> Iterator[Finding]:
    """`docarray.DocumentArray` and `jina.types.X` after a plain import."""
    origin = module.origin(node.value)
    if origin not in {"jina", "docarray"} or module.names.get(origin) != origin:
        return
    if not is_served(origin, node.attr):
        edits: tuple[Edit, ...] = ()
        if origin == "docarray" and _is_ours(node.attr) and module.names.get("jina") == "jina":
            edits = (Edit(module.offset(node.value), module.end(node.value), "jina"),)
        yield module.source.find(
            module.offset(node), _rule_of(origin) or "jina-import", severity_at(module, node),
            f"{origin} has no {node.attr!r}", instead=_instead(origin, node.attr), edits=edits,
        )  # fmt: skip


def _rule_of(path: str) -> str | None:
    return {"jina": "jina-import", "docarray": "docarray-import"}.get(path.partition(".")[0])


def _is_ours(name: str) -> bool:
    import jina

    return name in jina.__all__


def _instead(path: str, name: str) -> str:
    full = f"{path}.{name}" if name else path
    longest = max((old for old in REPLACEMENTS if f"{full}.".startswith(f"{old}.")), key=len, default="")
    if _is_ours(name):
        return f"from jina import {name}"
    if longest:
        return REPLACEMENTS[longest]
    from jina.errors import nearest

    known = list(exported(path)) if is_module(path) else []
    near = nearest(name, known) if name else None
    return f"from {path} import {near}" if near else "use a public name of jina: docs/reference lists them"


def severity_at(module: Module, node: ast.AST) -> Severity:
    """How much something that raises where it stands matters.

    A note where it is caught or only for type checkers, a warning where it may never run, else an error.
    """
    severity: Severity = "error"
    below: ast.AST = node
    for parent in module.around(node):
        if isinstance(parent, ast.Try) and below in parent.body and any(map(_catches, parent.handlers)):
            return "note"
        if isinstance(parent, ast.If):
            if "TYPE_CHECKING" in ast.dump(parent.test) and below in parent.body:
                return "note"
            severity = severity if _is_main(parent) else "warning"
        if isinstance(parent, ast.ExceptHandler):
            severity = "warning"
        if isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            name = getattr(parent, "name", "")
            severity = severity if name == "__init__" else "warning"
        below = parent
    return severity


def _is_main(node: ast.If) -> bool:
    return "__name__" in ast.dump(node.test)


def _catches(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(isinstance(kind, ast.Name) and kind.id in _CATCHING for kind in kinds)


def _moved(module: Module, node: ast.ImportFrom, movable: Sequence[ast.alias]) -> tuple[Edit, ...]:
    """The change that imports these names from `jina`, and leaves the others where they are."""
    start, end = module.offset(node), module.end(node)
    text = module.source.text
    path = re.match(r"from\s+([\w.]+)", text[start:end])
    if path is None:
        return ()
    if len(movable) == len(node.names):
        return (Edit(start + path.start(1), start + path.end(1), "jina"),)
    line, _ = module.source.place(start)
    before = text[module.source.offset(line, 0) : start]
    if before.strip():
        return ()
    newline = "\r\n" if "\r\n" in text else "\n"
    names = ", ".join(f"{alias.name} as {alias.asname}" if alias.asname else alias.name for alias in movable)
    return (Edit(start, start, f"from jina import {names}{newline}{before}"), *_without(module, node, movable))


def _without(module: Module, node: ast.ImportFrom, aliases: Sequence[ast.alias]) -> Iterator[Edit]:
    """Each name goes with the comma behind it; without parentheses the last one with the comma before it."""
    kept = [alias for alias in node.names if alias not in aliases]
    parentheses = module.source.text[module.end(node) - 1] == ")"
    for index, alias in enumerate(node.names):
        if alias in kept:
            continue
        start, end = module.offset(alias), module.end(alias)
        if not parentheses and all(module.offset(other) < start for other in kept):
            yield Edit(module.end(node.names[index - 1]), end, "")
            continue
        yield module.source.cut(start, end)


# --- what modules offer, read from their sources ------------------------------------------------------------------


@functools.cache
def _spec_of(path: str) -> importlib.machinery.ModuleSpec | None:
    top, *rest = path.split(".")
    if top == "jina":
        import jina

        places: Sequence[str] | None = list(jina.__path__)
        spec = importlib.machinery.PathFinder.find_spec(top, None)
    else:
        spec = importlib.machinery.PathFinder.find_spec(top, None)
        places = spec.submodule_search_locations if spec is not None else None
    name = top
    for part in rest:
        if places is None:
            return None
        name = f"{name}.{part}"
        spec = importlib.machinery.PathFinder.find_spec(name, list(places))
        places = spec.submodule_search_locations if spec is not None else None
    return spec


def is_module(path: str) -> bool:
    """Whether there is a module of that name; nothing is imported."""
    return path == "jina" or _spec_of(path) is not None


@functools.cache
def exported(path: str) -> dict[str, str]:
    """Name -> the module that it was imported from, or the module itself: what a module's source defines."""
    import jina
    from jina.legacy.paths import names_of

    old = names_of(path)
    if old is not None:
        return {"__getattr__": path, **{name: home for name, (home, _) in old.items()}}
    file = jina.__file__ if path == "jina" else getattr(_spec_of(path), "origin", None)
    if file is None or not file.endswith(".py"):
        return {}
    with open(file, encoding="utf-8") as opened:
        tree = ast.parse(opened.read())
    found: dict[str, str] = {}
    for node in _at_top(tree.body):
        if isinstance(node, ast.ImportFrom):
            found |= {alias.asname or alias.name: node.module or path for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.asname or alias.name.partition(".")[0]: alias.name for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found[node.name] = path
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {name.id: path for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}
    if "__getattr__" in found:
        # The names that are made on first use stand in a table, as text.
        texts = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
        found |= {text: path for text in texts if isinstance(text, str) and text.isidentifier()}
    return found


def _at_top(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run when a module is imported, those inside of `if`, `try` and `with` too."""
    for node in body:
        yield node
        for inner in ("body", "orelse", "finalbody"):
            if isinstance(node, ast.If | ast.Try | ast.With):
                yield from _at_top(getattr(node, inner, []))
        for handler in getattr(node, "handlers", []):
            yield from _at_top(handler.body)


def is_served(path: str, name: str) -> bool:
    """Whether a module offers a name, as far as its source says it."""
    if not is_module(path):
        return False
    names = exported(path)
    if path == "docarray" and name in JINA_NAMES:
        return False  # docarray's source names it where it refuses it
    return not names or name in names or name in _OF_EVERY_MODULE or is_module(f"{path}.{name}")

"""What the code decides of the documentation, as Markdown: one function for each part that a page may ask for."""

from __future__ import annotations

import argparse
import inspect
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from scripts.reference_metrics import metrics

RECORDED = Path(__file__).resolve().parent.parent / "docs" / "explanation" / "performance.json"
"""What `python -m bench --out` wrote, where figures are recorded."""


# --- helpers ------------------------------------------------------------------------------------------------------


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines) + "\n"


def _code(text: str) -> str:
    return f"`{text}`"


def _summary(thing: Any) -> str:
    """The first paragraph of the docstring, in one line."""
    return " ".join((inspect.getdoc(thing) or "").partition("\n\n")[0].split())


def _prose(thing: Any) -> str:
    """The docstring as Markdown; a list gets the empty line that Markdown wants before it."""
    blocks = (inspect.getdoc(thing) or "").split("\n\n")
    return "\n\n".join(block if block.startswith("- ") else block.replace("\n- ", "\n\n- ", 1) for block in blocks)


def _call(name: str, function: Any, *, skip: Sequence[str] = ("self", "cls")) -> str:
    """A call with names and defaults: `post(on, inputs=None)`."""
    parts, starred = [], False
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name in skip:
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            parts.append("*")
            starred = True
        mark = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        starred = starred or mark == "*"
        default = "" if parameter.default is parameter.empty else f"={_default(parameter.default)}"
        parts.append(f"{mark}{parameter.name}{default}")
    return f"{name}({', '.join(parts)})"


def _default(value: Any) -> str:
    """As in the source; a sentinel, whose repr is an address, as an ellipsis."""
    return "..." if " at 0x" in repr(value) else repr(value)


def _methods(cls: type) -> Iterator[tuple[str, Any]]:
    """Public methods and properties that jina itself defines, nearest class first, by name."""
    found: dict[str, Any] = {}
    for base in cls.__mro__:
        if base.__module__.startswith("jina."):
            for name, member in vars(base).items():
                function = inspect.unwrap(getattr(member, "__func__", member))
                if not name.startswith("_") and (inspect.isfunction(function) or isinstance(member, property)):
                    found.setdefault(name, function)
    yield from sorted(found.items())


# --- what the code decides ----------------------------------------------------------------------------------------


def deployment_options() -> str:
    """Options of a Deployment."""
    from jina.config import DeploymentSpec
    from jina.config.markdown import option_sections

    return option_sections(DeploymentSpec)


def flow_options() -> str:
    """Options that only a Flow has."""
    from jina.config import ClientSpec, DeploymentSpec, FlowSpec, GatewaySpec
    from jina.config.markdown import option_sections

    return option_sections(FlowSpec, besides=(DeploymentSpec, GatewaySpec, ClientSpec))


def gateway_options() -> str:
    """Options of a gateway that Deployments do not have."""
    from jina.config import DeploymentSpec, GatewaySpec
    from jina.config.markdown import option_sections

    return option_sections(GatewaySpec, besides=(DeploymentSpec,))


def client_options() -> str:
    """Options of a client."""
    from jina.config import ClientSpec
    from jina.config.markdown import option_sections

    return option_sections(ClientSpec)


def executor_options() -> str:
    """Keys of an Executor's YAML."""
    from jina.config import ExecutorSpec
    from jina.config.markdown import option_sections

    return option_sections(ExecutorSpec)


def old_names() -> str:
    """Old names of options."""
    from jina.config.base import ALIASES

    return _table(("old name", "option"), [(_code(old), _code(new)) for old, new in ALIASES.items()])


def commands() -> str:
    """Every command with its arguments."""
    from jina.cli.main import COMMANDS, INTERNAL

    return "\n".join(_command(name, entry.summary) for name, entry in {**COMMANDS, **INTERNAL}.items())


def _command(name: str, summary: str) -> str:
    from jina.cli.main import command_parser
    from jina.config import ClientSpec, DeploymentSpec, FlowSpec, GatewaySpec
    from jina.config.options import ServiceOptions

    parser, _ = command_parser(name)
    actions = [one for one in parser._actions if one.dest != "help" and one.help != argparse.SUPPRESS]  # noqa: SLF001 - argparse has no public list
    text = f"## `jina {name}`\n\n{summary[0].upper()}{summary[1:]}.\n"
    for spec in (FlowSpec, DeploymentSpec, GatewaySpec, ClientSpec):
        kind = spec.__name__.removesuffix("Spec")
        shown = set(spec.model_fields) - set(ServiceOptions.INTERNAL.names) - spec.made_by_methods
        # `jina dev` decides one of them itself.
        if shown - {"reload"} <= {one.dest for one in actions}:
            actions = [one for one in actions if one.dest not in shown]
            text += f"\nTakes every [option of a {kind}](options.md#{kind.lower()}) as `--option VALUE`.\n"
    if actions:
        text += "\n" + _table(("argument", "meaning"), [_argument(one) for one in actions])
    return text


def _argument(action: argparse.Action) -> tuple[str, str]:
    metavar = str(action.metavar or (action.dest.upper() if not action.choices else "|".join(action.choices)))
    takes = action.nargs != 0
    names = [f"{name} {metavar}" if takes else name for name in action.option_strings] or [metavar]
    text = (action.help or "").replace("%%", "%")
    return ", ".join(map(_code, names)), text[:1].upper() + text[1:]


def errors() -> str:
    """Every class of the error tree."""
    from jina import errors as module

    classes = [
        cls for cls in vars(module).values() if isinstance(cls, type) and issubclass(cls, module.JinaError)
    ]  # in the order of their definition
    return "\n".join(map(_error, classes))


def _error(cls: Any) -> str:
    import grpc

    codes = {code.value[0]: code.name for code in grpc.StatusCode}
    bases = ", ".join(_code(base.__name__) for base in cls.__bases__)
    row = (
        f"{codes[cls.grpc_code]} ({cls.grpc_code})",
        str(cls.http_status),
        str(cls.exit_code),
        "yes" if cls.retryable else "no",
        bases,
    )
    head = ("gRPC code", "HTTP status", "exit code", "retryable", "is also")
    return f"## {cls.__name__}\n\n{_prose(cls)}\n\n{_table(head, [row])}"


def grpc_services() -> str:
    """The services that a worker answers, with their calls."""
    from jina.codec import pb
    from jina.server.grpc_probes import JINA_SERVICES

    rows = []
    for name in JINA_SERVICES:
        for method in pb.POOL.FindServiceByName(name).methods:
            sent = ("stream " if method.client_streaming else "") + method.input_type.full_name
            answered = ("stream " if method.server_streaming else "") + method.output_type.full_name
            rows.append((f"`{name}/{method.name}`", _code(sent), _code(answered)))
    return _table(("call", "request", "reply"), rows)


def grpc_messages() -> str:
    """The messages of those calls, and what they hold."""
    from jina.codec import pb
    from jina.server.grpc_probes import JINA_SERVICES

    seen: dict[str, Any] = {}
    for name in JINA_SERVICES:
        for method in pb.POOL.FindServiceByName(name).methods:
            _collect(method.input_type, seen)
            _collect(method.output_type, seen)
    head = ("no.", "field", "type")
    return "\n".join(
        f"### `{name}`\n\n{_table(head, [_field(field) for field in message.fields])}"
        for name, message in sorted(seen.items())
    )


def _collect(message: Any, seen: dict[str, Any]) -> None:
    name = message.full_name
    if name in seen or name.startswith("google.") or message.GetOptions().map_entry:
        return
    seen[name] = message
    for field in message.fields:
        kind = field.message_type
        if kind is not None:
            _collect(kind.fields_by_name["value"].message_type or kind if _is_map(field) else kind, seen)


def _is_map(field: Any) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _scalar(field: Any) -> str:
    if field.message_type is not None:
        return str(field.message_type.full_name)
    if field.enum_type is not None:
        return f"{field.enum_type.name}: " + ", ".join(
            f"{value.name}={value.number}" for value in field.enum_type.values
        )
    # Older versions of protobuf have numbers only; the names are those of FieldDescriptorProto.Type.
    from google.protobuf.descriptor_pb2 import FieldDescriptorProto

    return str(FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower())


def _field(field: Any) -> tuple[str, str, str]:
    kind = _scalar(field)
    if _is_map(field):
        key, value = (field.message_type.fields_by_name[part] for part in ("key", "value"))
        kind = f"map<{_scalar(key)}, {_scalar(value)}>"
    elif _is_repeated(field):
        kind = f"repeated {kind}"
    oneof = field.containing_oneof
    if oneof is not None:
        # proto3's `optional` is a oneof of its own whose name begins with an underscore.
        kind = f"optional {kind}" if oneof.name.startswith("_") else f"oneof {oneof.name}: {kind}"
    return str(field.number), _code(field.name), _code(kind)


def _is_repeated(field: Any) -> bool:
    label = getattr(type(field), "is_repeated", None)
    return bool(field.is_repeated if label is not None else field.label == field.LABEL_REPEATED)


def decorators() -> str:
    """The decorators of the contract."""
    from jina import executor

    names = ("requests", "write", "dynamic_batching", "continuous_batching", "monitor", "resource", "prompt")
    return "\n".join(
        f"### `@{name}`\n\n`{_call(name, getattr(executor, name))}`\n\n{_prose(getattr(executor, name))}\n"
        for name in names
    )


def executor_methods() -> str:
    """Methods and properties of Executor."""
    from jina import Executor

    return _members(Executor)


def slot() -> str:
    """Methods of a slot of continuous batching."""
    from jina import Slot

    return _members(Slot)


def client_methods() -> str:
    """Methods of the client for blocking code."""
    from jina.client.client import HTTPClient

    return _members(HTTPClient)


def deployment_methods() -> str:
    """Methods and properties of Deployment."""
    from jina.orchestration import Deployment

    return _members(Deployment)


def flow_methods() -> str:
    """Methods and properties of Flow."""
    from jina.orchestration import Flow

    return _members(Flow)


def gateway_methods() -> str:
    """Methods and properties of Gateway."""
    from jina.orchestration import Gateway

    return _members(Gateway)


def caller_methods() -> str:
    """Methods of what calls one Executor of a gateway."""
    from jina.gateway.streamer import ExecutorCaller

    return _members(ExecutorCaller)


def streamer_methods() -> str:
    """Methods of GatewayStreamer."""
    from jina.gateway.streamer import GatewayStreamer

    return _members(GatewayStreamer)


def _members(cls: type) -> str:
    texts = []
    for name, member in _methods(cls):
        is_property = isinstance(member, property)
        head = name if is_property else _call(name, member)
        texts.append(f"### `{name}`\n\n" + ("" if is_property else f"`{head}`\n\n") + _prose(member) + "\n")
    return "\n".join(texts)


def differences() -> str:
    """What the tests against Jina 3 found, by topic."""
    from tests.interop.differences import KNOWN

    topics: dict[str, list[tuple[str, str, str]]] = {}
    for one in KNOWN.values():
        topics.setdefault(one.topic, []).append((one.ours, one.jina3, one.reason))
    return "\n".join(
        f"### {topic[0].upper()}{topic[1:]}\n\n{_table(('here', 'Jina 3', 'why'), rows)}"
        for topic, rows in topics.items()
    )


def figures() -> str:
    """The results of `python -m bench --out docs/explanation/performance.json`, as that prints them."""
    if not RECORDED.exists():
        return "No figures are recorded yet."
    from bench.report import page

    return page(json.loads(RECORDED.read_text(encoding="utf-8")))


def document_methods() -> str:
    """What a schemaless Document can do."""
    return _member_table("Document")


def array_methods() -> str:
    """What a DocumentArray can do."""
    return _member_table("DocumentArray")


def _member_table(name: str) -> str:
    from jina import documents

    rows = [
        (_code(found if isinstance(member, property) else _call(found, member)), _summary(member))
        for found, member in _methods(getattr(documents, name))
    ]
    return _table(("member", "meaning"), rows)


GENERATED: dict[str, Callable[[], str]] = {
    function.__name__.replace("_", "-"): function
    for function in (
        deployment_options, flow_options, gateway_options, client_options, executor_options, old_names, commands,
        errors, metrics, grpc_services, grpc_messages, decorators, executor_methods, slot,
        client_methods,
        deployment_methods, flow_methods, gateway_methods, caller_methods, streamer_methods,
        document_methods, array_methods, differences, figures,
    )
}  # fmt: skip
"""Name in the comment -> what writes it."""

"""Argument parsers under their names of Jina 3, made of the options of the specs.

`set_pod_parser()` and its siblings give parsers whose namespaces have one attribute for each option: those of Jina 3
with the defaults and types that it gave them, and the options that are new. `Client`, `Deployment` and `Flow` take such
a namespace. A `mixin_*` adds the options of one group to a parser, those that the parser has already excepted.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

from jina.legacy import enums

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from jina.config.base import Spec

_ENUMS: Final[dict[str, type[enums.BetterEnum]]] = {
    "protocol": enums.ProtocolType,
    "provider": enums.ProviderType,
    "pod_role": enums.PodRoleType,
    "deployment_role": enums.DeploymentRoleType,
    "force_network_mode": enums.DockerNetworkMode,
    "inspect": enums.FlowInspectType,
}
_TEXTS: Final = frozenset({
    "connection_list", "deployments_addresses", "deployments_metadata", "deployments_no_reduce", "expose_endpoints",
    "gpus", "graph_conditions", "graph_description", "polling",
})  # fmt: skip
"""Options that stay the text that they were written as, mostly JSON."""
_SHOW_ALL_ARGS: Final = "JINA_FULL_CLI" in os.environ


# --- parts of parsers -------------------------------------------------------------------------------------


class KVAppendAction(argparse.Action):
    """Gathers `KEY: VALUE`, `KEY=VALUE` and JSON objects in one dictionary."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Add what was written to what was there."""
        del parser, option_string
        from jina.config.types import mapping_of

        try:
            found = mapping_of([values] if isinstance(values, str) else list(values))
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
        setattr(namespace, self.dest, {**(getattr(namespace, self.dest, None) or {}), **found})


class _Gather(argparse.Action):
    """Keeps a list of what the words say, each split at its commas."""

    @staticmethod
    def read(word: str) -> Any:
        """What one word says."""
        return word

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Put the list in the place of the default."""
        del parser, option_string
        words = [values] if isinstance(values, str) else values
        setattr(namespace, self.dest, [self.read(part) for word in words for part in str(word).split(",")])


class CastHostAction(_Gather):
    """Hosts, with spaces or commas between."""


class CastToIntAction(_Gather):
    """Ports, with spaces or commas between; what is no number stays text."""

    @staticmethod
    def read(word: str) -> Any:
        """The port."""
        return _port(word)


class CastPeerPorts(argparse.Action):
    """Ports of the replicas' consensus agents by shard: numbers, a JSON list, or a JSON object."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Put the dictionary in the place of the default."""
        del parser, option_string
        ports: dict[Any, list[Any]] = {0: []}
        for word in [values] if isinstance(values, str) else values:
            value = json.loads(word) if isinstance(word, str) else word
            if isinstance(value, dict):
                ports |= {shard: [_port(port) for port in listed] for shard, listed in value.items()}
            else:
                ports[0] += [_port(port) for port in (value if isinstance(value, list) else [value])]
        setattr(namespace, self.dest, ports)


def _port(value: Any) -> Any:
    return int(value) if str(value).strip().isdigit() else value


class _ColoredHelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Help with the default of each option, and with paragraphs kept apart."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        return [line for part in self._paragraphs(text) for line in textwrap.wrap(part, width) or [""]]

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        filled = (textwrap.fill(part, width, initial_indent=indent, subsequent_indent=indent)
                  for part in self._paragraphs(text))  # fmt: skip
        return "\n".join(filled)

    @staticmethod
    def _paragraphs(text: str) -> list[str]:
        return [" ".join(part.split()) for part in re.split(r"\n\s*\n", textwrap.dedent(text).strip())]


_chf = _ColoredHelpFormatter


def add_arg_group(parser: Any, title: str) -> Any:
    """A group of arguments of that title."""
    return parser.add_argument_group(f"{title} arguments")


# --- one option -------------------------------------------------------------------------------------------


def _add_options(target: Any, model: type[Spec], names: Iterable[str], *, one: bool = False) -> None:
    """Declare the options of `model` that the parser has not yet; with `one` there is one host, port and protocol."""
    from jina.config.base import aliases_of, descriptions
    from jina.config.command_line import _help
    from jina.config.options import ServiceOptions

    texts = descriptions(model)
    aliases = aliases_of(model.model_fields)
    there = {action.dest for action in target._actions}  # noqa: SLF001 - argparse has no public list
    for name in names:
        field = model.model_fields.get(name)
        if field is None or name in there or name in model.made_by_methods:
            continue
        flags = [f"--{spelled.replace('_', '-')}" for spelled in (name, *_other_names(name, aliases))]
        result = argparse.SUPPRESS if name in ServiceOptions.INTERNAL.names and not _SHOW_ALL_ARGS else None
        text = result or _help(name, texts.get(name, ""), field).partition(" [default:")[0]
        target.add_argument(*flags, dest=name, help=text, **_settings(name, field, one=one))


def _other_names(name: str, aliases: dict[str, str]) -> Iterator[str]:
    yield from (old for old, option in aliases.items() if option == name)
    if name == "deployments_no_reduce":
        yield "deployments_disable_reduce"
    if name == "force_update":
        yield "force"


def _settings(name: str, field: FieldInfo, *, one: bool) -> dict[str, Any]:
    """How argparse is to read an option."""
    from jina.config.command_line import form_of

    form = form_of(field)
    default = _random_identity() if name == "workspace_id" else _default(field)
    if name in _ENUMS:
        return _enum_settings(name, default, several=name == "protocol" and not one)
    if name in _TEXTS:
        return {"type": str, "default": default if default is None or isinstance(default, str) else json.dumps(default)}
    if form == "flag":
        return {"action": argparse.BooleanOptionalAction if default else "store_true", "default": default}
    if name == "peer_ports":
        return {"action": CastPeerPorts, "nargs": "+", "default": None}
    if name in {"port", "port_monitoring"}:
        return {"type": int, "default": None} if one else _random_port()
    if name == "host":
        return {"type": str, "default": default} if one else _hosts(default)
    if form == "mapping":
        return {"action": KVAppendAction, "nargs": "*", "metavar": "KEY: VALUE", "default": default}
    if form in {"list", "one_or_list"}:
        return {"type": str, "nargs": "*", "default": default}
    return {"type": _reader(name, field), "default": default}


def _random_identity() -> str:
    from jina.legacy.helper import random_identity

    return random_identity()


def _random_port() -> dict[str, Any]:
    from jina.legacy.helper import random_port

    return {"action": CastToIntAction, "nargs": "+", "default": [random_port()]}


def _hosts(default: Any) -> dict[str, Any]:
    return {"action": CastHostAction, "nargs": "+", "default": [default]}


def _enum_settings(name: str, default: Any, *, several: bool) -> dict[str, Any]:
    kind = _ENUMS[name]
    found = None if default is None else kind.from_string(str(default))
    settings: dict[str, Any] = {"type": kind.from_string, "choices": list(kind), "default": found}
    if several:
        settings |= {"nargs": "+", "default": [found]}
    elif name == "provider":
        settings["default"] = [found]
    return settings


def _default(field: FieldInfo) -> Any:
    from jina.config.base import default_of

    value = default_of(field)
    return _adapter(field).validate_python(value) if field.validate_default else value


def _adapter(field: FieldInfo) -> Any:
    from pydantic import TypeAdapter

    kind: Any = field.annotation
    if field.metadata:
        annotated: Any = Annotated
        kind = annotated[(kind, *field.metadata)]
    return TypeAdapter(kind)


def _reader(name: str, field: FieldInfo) -> Callable[[str], Any]:
    """What turns the text of an option into its value, or tells argparse what is wrong with it."""
    from pydantic import ValidationError

    def read(text: str) -> Any:
        try:
            return _adapter(field).validate_python(text)
        except ValidationError as error:
            first = error.errors()[0]
            raise argparse.ArgumentTypeError(str(first.get("ctx", {}).get("error", first["msg"]))) from None

    read.__name__ = name
    return read


# --- the groups of Jina 3 ---------------------------------------------------------------------------------


class _Mixin:
    """Adds the options of one group of Jina 3 to a parser, or to a group of its arguments."""

    def __init__(
        self, title: str, names: str, *, model: str = "", one: bool = False, also: Sequence[_Mixin] = ()
    ) -> None:
        self.title = title
        self.names = names.split()
        self.model = model
        self.one = one
        self.also = also

    def __call__(
        self, parser: Any = None, title: str | None = None, default_name: str | None = None, pod_type: str = "worker"
    ) -> Any:
        """Add the options; gives the group. `pod_type` says whose options they are: `worker` or `gateway`."""
        parser = set_base_parser() if parser is None else parser
        is_group = isinstance(parser, argparse._ArgumentGroup)  # noqa: SLF001 - argparse has no public name
        target = parser if is_group else add_arg_group(parser, title or self.title)
        model = _model(self.model or ("GatewaySpec" if pod_type == "gateway" else "StepSpec"))
        _add_options(target, model, self.names, one=self.one)
        for mixin in self.also:
            mixin(parser, default_name=default_name, pod_type=pod_type)
        if "name" in self.names:
            parser.set_defaults(name=default_name)
        return target


def _model(name: str) -> type[Spec]:
    import jina.config
    from jina.config.models import StepSpec

    return StepSpec if name == "StepSpec" else getattr(jina.config, name)


_EXPORTERS = "tracing traces_exporter_host traces_exporter_port metrics metrics_exporter_host metrics_exporter_port"
_HTTP = "title description cors uvicorn_kwargs ssl_certfile ssl_keyfile"
_STREAMER = "graph_description graph_conditions deployments_addresses deployments_metadata deployments_no_reduce"

mixin_essential_parser = _Mixin("Essential", "name workspace log_config quiet quiet_error workspace_id")
mixin_base_deployment_parser = _Mixin(
    "Base Deployment", "extra_search_paths timeout_ctrl k8s_namespace", also=[mixin_essential_parser]
)
mixin_scalable_deployment_parser = _Mixin(
    "Scalable Deployment", "polling shards replicas native", also=[mixin_base_deployment_parser]
)
mixin_base_runtime_parser = _Mixin("Runtime", "grpc_server_options")
mixin_raft_parser = _Mixin("Raft", "raft_configuration")
mixin_grpc_channel_options_parser = _Mixin("gRPC channel", "grpc_channel_options")
mixin_worker_runtime_parser = _Mixin(
    "WorkerRuntime",
    "uses uses_with uses_metas uses_requests uses_dynamic_batching py_modules output_array_type exit_on_exceptions"
    " no_reduce allow_concurrent grpc_server_options raft_configuration grpc_channel_options",
)
mixin_container_runtime_parser = _Mixin(
    "ContainerRuntime", "entrypoint docker_kwargs volumes gpus disable_auto_volume force_network_mode"
)
mixin_remote_runtime_parser = _Mixin("RemoteRuntime", "host")
mixin_stateful_parser = _Mixin("Stateful Executor", "stateful peer_ports")
mixin_pod_runtime_args_parser = _Mixin(
    "Pod runtime", f"port protocol provider provider_endpoint monitoring port_monitoring retries {_EXPORTERS}"
)
mixin_pod_parser = _Mixin(
    "Pod",
    "runtime_cls timeout_ready env env_from_secret image_pull_secrets shard_id pod_role noblock_on_start floating"
    " replica_id reload install_requirements",
    also=[mixin_pod_runtime_args_parser, mixin_stateful_parser],
)
mixin_hub_pull_options_parser = _Mixin("Pull", "force_update prefer_platform")
mixin_head_parser = _Mixin("Head", "compression uses_before_address uses_after_address connection_list timeout_send")
mixin_prefetch_parser = _Mixin("Prefetch", "prefetch", model="GatewaySpec")
mixin_graphql_parser = _Mixin("GraphQL", "expose_graphql_endpoint", model="GatewaySpec")
mixin_http_gateway_parser = _Mixin(
    "HTTP Gateway", f"{_HTTP} no_debug_endpoints no_crud_endpoints expose_endpoints", model="GatewaySpec"
)
mixin_gateway_streamer_parser = _Mixin("Gateway streamer", f"{_STREAMER} compression timeout_send", model="GatewaySpec")
mixin_gateway_parser = _Mixin(
    "Gateway",
    "host proxy uses uses_with py_modules replicas grpc_server_options grpc_channel_options",
    model="GatewaySpec",
    one=True,
    also=[mixin_gateway_streamer_parser],
)
mixin_client_gateway_parser = _Mixin("ClientGateway", "proxy host port tls", model="ClientSpec", one=True)
mixin_client_features_parser = _Mixin(
    "Client features", f"asyncio {_EXPORTERS} log_config reuse_session", model="ClientSpec"
)
mixin_client_protocol_parser = _Mixin("Client protocol", "protocol", model="ClientSpec", one=True)
mixin_suppress_root_logging_parser = _Mixin("Logging", "suppress_root_logging", model="ClientSpec")
mixin_flow_features_parser = _Mixin("Flow Feature", "uses reload env inspect", model="FlowSpec")
_mixin_deployment_only = _Mixin(
    "Deployment", f"uses_before uses_after when external grpc_metadata deployment_role tls {_HTTP}"
)


# --- the parsers of Jina 3 --------------------------------------------------------------------------------


def set_base_parser() -> argparse.ArgumentParser:
    """A parser with `--version` and `--version-full` alone."""
    from jina import __version__
    from jina.legacy.helper import get_full_version

    parser = argparse.ArgumentParser(formatter_class=_ColoredHelpFormatter)
    parser.add_argument("-v", "--version", action="version", version=__version__, help="the version")
    result = {name: value for part in get_full_version() for name, value in part.items()}
    versions = "\n".join(f"- {name}: {value}" for name, value in result.items()).replace("%", "%%")
    parser.add_argument(
        "-vf", "--version-full", action="version", version=versions, help="versions of everything involved"
    )
    return parser


def set_pod_parser(parser: Any = None, default_name: str | None = None) -> Any:
    """The options of one process of an Executor."""
    parser = set_base_parser() if parser is None else parser
    mixin_scalable_deployment_parser(parser, default_name=default_name)
    for mixin in (
        mixin_worker_runtime_parser, mixin_container_runtime_parser, mixin_remote_runtime_parser, mixin_pod_parser,
        mixin_hub_pull_options_parser, mixin_head_parser,
    ):  # fmt: skip
        mixin(parser)
    return parser


def set_deployment_parser(parser: Any = None) -> Any:
    """The options of a Deployment."""
    parser = set_pod_parser(parser, default_name="executor")
    _mixin_deployment_only(parser)
    return _with_the_rest(parser, "StepSpec")


def set_gateway_parser(parser: Any = None) -> Any:
    """The options of a gateway."""
    parser = set_base_parser() if parser is None else parser
    mixin_base_deployment_parser(parser, pod_type="gateway")
    _add_options(add_arg_group(parser, "ContainerRuntime"), _model("GatewaySpec"), ["entrypoint", "docker_kwargs"])
    for mixin in (mixin_prefetch_parser, mixin_http_gateway_parser, mixin_graphql_parser, mixin_gateway_parser):
        mixin(parser)
    mixin_pod_parser(parser, pod_type="gateway")
    _with_the_rest(parser, "GatewaySpec")
    parser.set_defaults(
        name="gateway", runtime_cls="GatewayRuntime", deployment_role=enums.DeploymentRoleType.GATEWAY, floating=False,
        stateful=False, peer_ports=None,
    )  # fmt: skip
    return parser


def set_gateway_runtime_args_parser(parser: Any = None) -> Any:
    """The options of a gateway that its runtime reads."""
    parser = set_base_parser() if parser is None else parser
    mixin_gateway_streamer_parser(parser)
    mixin_pod_runtime_args_parser(parser, pod_type="gateway")
    mixin_prefetch_parser(parser)
    _add_options(parser, _model("GatewaySpec"), ["host"], one=True)
    return parser


def set_client_cli_parser(parser: Any = None) -> Any:
    """The options of a client."""
    parser = set_base_parser() if parser is None else parser
    for mixin in (mixin_client_gateway_parser, mixin_client_features_parser, mixin_client_protocol_parser):
        mixin(parser)
    return _with_the_rest(parser, "ClientSpec", one=True)


def set_flow_parser(parser: Any = None) -> Any:
    """The options of a Flow on the command line."""
    parser = set_base_parser() if parser is None else parser
    mixin_essential_parser(parser)
    mixin_suppress_root_logging_parser(parser)
    mixin_flow_features_parser(parser)
    return parser


def _with_the_rest(parser: Any, model: str, *, one: bool = False) -> Any:
    """The parser with the options that Jina 3 had not."""
    spec = _model(model)
    _add_options(add_arg_group(parser, "Further"), spec, spec.model_fields, one=one)
    return parser


def get_deprecated_replacement(dep_arg: str) -> str | None:
    """What an old option is called now, dashed and prefixed as it was; None where it is no old one."""
    from jina.config.base import ALIASES

    new = ALIASES.get(dep_arg.lstrip("-").replace("-", "_"))
    if new is None:
        return None
    prefix = dep_arg[: len(dep_arg) - len(dep_arg.lstrip("-"))]
    return prefix + (new.replace("_", "-") if "-" in dep_arg else new)


def set_help_parser(parser: Any = None) -> Any:
    """What `jina help` is to explain."""
    parser = set_base_parser() if parser is None else parser
    parser.add_argument("query", help="a command or an option")
    return parser


def set_ping_parser(parser: Any = None) -> Any:
    """Whom `jina ping` asks."""
    parser = set_base_parser() if parser is None else parser
    parser.add_argument("target", choices=["flow", "executor", "gateway"], help="what is asked")
    parser.add_argument("host", help="its address, such as grpc://127.0.0.1:8080")
    parser.add_argument("--timeout", type=int, default=3000, help="milliseconds to wait for each answer")
    parser.add_argument("--attempts", type=int, default=1, help="number of attempts, one second apart")
    parser.add_argument("--min-successful-attempts", type=int, default=1, help="answers needed for exit code 0")
    return parser


def set_new_project_parser(parser: Any = None) -> Any:
    """What `jina new` writes."""
    parser = set_base_parser() if parser is None else parser
    parser.add_argument("name", help="folder of the project")
    parser.add_argument("--type", default="flow", help="what it serves: flow or deployment")
    return parser


def set_export_flowchart_parser(parser: Any = None) -> Any:
    """What `jina export flowchart` draws."""
    parser = set_base_parser() if parser is None else parser
    parser.add_argument("config_path", metavar="INPUT", help="YAML of a Flow or a Deployment")
    parser.add_argument("outpath", metavar="OUTPUT", help="file of the picture")
    parser.add_argument("--vertical-layout", action="store_true", help="from top to bottom")
    return parser


def set_export_schema_parser(parser: Any = None) -> Any:
    """Where `jina export schema` writes."""
    parser = set_base_parser() if parser is None else parser
    for kind in ("yaml", "json", "schema"):
        parser.add_argument(f"--{kind}-path", nargs="*", metavar="PATH", help=f"file of the {kind}")
    return parser


def set_export_parser(parser: Any = None) -> Any:
    """What `jina export` can write."""
    parser = set_base_parser() if parser is None else parser
    parts = parser.add_subparsers(dest="export", required=True)
    for name, set_parser in {"flowchart": set_export_flowchart_parser, "schema": set_export_schema_parser}.items():
        set_parser(parts.add_parser(name, formatter_class=_ColoredHelpFormatter))
    return parser


def get_main_parser() -> argparse.ArgumentParser:
    """The parser of Jina 3's command line: the command is in `cli`, its options beside it."""
    parser = set_base_parser()
    parts = parser.add_subparsers(dest="cli", required=True)
    commands: dict[str, tuple[str, Callable[..., Any]]] = {
        "executor": ("Start an Executor", set_pod_parser),
        "flow": ("Start a Flow", set_flow_parser),
        "ping": ("Check whether a service answers", set_ping_parser),
        "export": ("Export a Flow", set_export_parser),
        "new": ("Write a project that is ready to run", set_new_project_parser),
        "gateway": ("Start a gateway", set_gateway_parser),
        "help": ("Explain a command or an option", set_help_parser),
        "pod": ("Start one process of an Executor", set_pod_parser),
        "deployment": ("Start a Deployment", set_deployment_parser),
        "client": ("Start a client", set_client_cli_parser),
    }
    for name, (summary, set_parser) in commands.items():
        set_parser(parts.add_parser(name, help=summary, description=summary, formatter_class=_ColoredHelpFormatter))
    return parser

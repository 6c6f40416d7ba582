"""The base of every options model: frozen, no unknown options, aliases of options, texts on demand."""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import sys
from collections.abc import Container
from typing import Any, ClassVar, Final, Self, TypeVar

from pydantic import BaseModel, ConfigDict, PrivateAttr
from pydantic.fields import FieldInfo

ALIASES: Final[dict[str, str]] = {
    "ports": "port",
    "port_expose": "port",
    "port_in": "port",
    "protocols": "protocol",
    "host_in": "host",
    "https": "tls",
    "disable_reduce": "no_reduce",
    "parallel": "replicas",
    "override_with": "uses_with",
    "override_metas": "uses_metas",
    "override_requests": "uses_requests",
    "deployments_disable_reduce": "deployments_no_reduce",
    "input_condition": "when",
}
"""Old name -> the option. An alias counts for a spec that has the option and no field of the old name."""
CLOUD: Final = "jcloud"
"""Keys of YAML files for Jina AI Cloud, without effect here."""
FORMER: Final = frozenset({
    "allow_spawn", "array_in_pb", "batch_size", "callback_on_body", "check_version", "compress", "compress_hwm",
    "compress_lwm", "compress_min_bytes", "compress_min_ratio", "connect_to_predecessor", "continue_on_error",
    "ctrl_with_ipc", "daemon", "default_swagger_ui", "disable_remote", "dump_interval", "dump_path",
    "dynamic_routing", "dynamic_routing_in", "dynamic_routing_out", "exit_no_dump", "expose_public", "filter_by",
    "first_doc_id", "first_request_id", "force", "grpc_data_requests", "grpc_server_kwargs", "hide_exc_info",
    "host_out", "hosts_in_connect", "identity", "in_proto", "infrastructure", "input_type",
    "k8s_custom_resource_dir", "k8s_disable_connection_pool", "k8s_init_container_command", "k8s_mount_path",
    "k8s_uses_init", "load_interval", "log_id", "log_profile", "log_remote", "log_sse", "log_with_own_name",
    "logserver", "logserver_config", "max_idle_time", "max_socket_retries", "memory_hwm", "mime_type", "mode",
    "no_dynamic_routing", "no_graphql_endpoint", "num_part", "on_error_strategy", "optimize_level", "output_path",
    "output_type", "override_exec_log", "pea_id", "pea_role", "peas_hosts", "port_ctrl", "port_grpc",
    "port_jinad", "port_out", "port_rest", "prefetch_on_recv", "pull_latest", "quiet_remote_logs",
    "random_doc_id", "read_only", "remote_access", "remote_type", "request_size", "rest_api", "restful",
    "results_as_docarray", "return_responses", "return_results", "routing_table", "runs_in_docker", "runtime",
    "runtime_backend", "scheduling", "send_routing_table", "separated_workspace", "show_exc_info",
    "shutdown_idle", "silent_remote_logs", "skip_dry_run", "skip_on_error", "socket_in", "socket_out",
    "sse_logger", "ssh_keyfile", "ssh_password", "ssh_server", "static_routing_table", "upload_files",
    "zmq_identity",
})  # fmt: skip
"""Options of Flows, Executors, gateways and clients that a release of Jina between 0.1 and 3.34 had and that do
nothing here: YAML files may still have them. Those that said what runs (`yaml_path`, `image`) are not among them."""


def canonical(name: str, fields: Container[str]) -> str:
    """The option that `name` stands for among `fields`; `name` itself when it is no alias."""
    target = ALIASES.get(name)
    return target if target is not None and name not in fields and target in fields else name


def aliases_of(fields: Container[str]) -> dict[str, str]:
    """The aliases that count for a spec with these fields."""
    return {old: new for old, new in ALIASES.items() if new in fields and old not in fields}


class Group:
    """A heading for the options that a class declares below it, up to the next one: help and documentation show it."""

    def __init__(self, heading: str) -> None:
        self.heading = heading

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self._owner = owner
        self._mark = name

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """Its options, in the order of their declaration."""
        following = itertools.dropwhile(lambda name: name != self._mark, inspect.get_annotations(self._owner))
        next(following)
        return tuple(itertools.takewhile(lambda name: not isinstance(vars(self._owner).get(name), Group), following))


S = TypeVar("S", bound="Spec")


class Spec(BaseModel):  # noqa: PLW1641 - frozen models have pydantic's hash
    """What a user asked for: validated, frozen, serialisable.

    Build one with `jina.config.parse`, which also applies old names, cross-field rules and our own error texts.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        defer_build=True,
        validate_by_alias=True,
        validate_by_name=True,
    )

    made_by_methods: ClassVar[frozenset[str]] = frozenset()
    """Fields that are no options: methods fill them."""

    groups: ClassVar[tuple[Group, ...]] = ()
    """The groups of its options, of its bases' as well, in the order in which they are listed; the others follow."""

    _folder: str | None = PrivateAttr(default=None)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        fields = cls.__pydantic_fields__
        first = {name: fields[name] for group in cls.groups for name in group.names}
        others = {name: field for name, field in fields.items() if name not in first}
        fields.clear()
        fields.update(first | others)

    def __eq__(self, other: object) -> bool:
        """Whether it asks for the same; where it was written down is no part of it, the folder is."""
        same = isinstance(other, Spec) and type(self) is type(other)
        return same and self.__dict__ == other.__dict__ and self._folder == other._folder  # type: ignore[attr-defined]

    @property
    def folder(self) -> str | None:
        """Folder of the file that the spec was read from; relative paths in it start there."""
        return self._folder

    def in_folder(self, folder: str | None) -> Self:
        """The same spec, read from a file in `folder`."""
        copy = self.model_copy()
        copy._folder = folder  # noqa: SLF001 - a copy of ourselves
        return copy

    def non_defaults(self) -> dict[str, Any]:
        """The options whose values differ from their defaults, by name."""
        # Not `default_of`: pydantic's copies and looks at signatures cost more than all the rest of building a Flow.
        return {
            name: value
            for name, field in type(self).model_fields.items()
            if (value := getattr(self, name)) != (make() if (make := field.default_factory) else field.default)  # type: ignore[call-arg]
        }


def default_of(field: FieldInfo) -> Any:
    """The default of an option; those that the environment decides are read now."""
    return field.get_default(call_default_factory=True, validated_data={})


def descriptions(model: type[BaseModel]) -> dict[str, str]:
    """Option -> its text: the string literal below the attribute, whitespace folded.

    Read from the source on demand: pydantic's `use_attribute_docstrings` would parse it at every import.
    """
    texts: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        if issubclass(cls, Spec) and cls is not Spec:
            texts |= _docstrings_of(cls)
    return texts


@functools.cache
def _docstrings_of(cls: type[BaseModel]) -> dict[str, str]:
    tree = ast.parse(inspect.getsource(sys.modules[cls.__module__]))
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == cls.__name__)
    texts: dict[str, str] = {}
    for statement, following in itertools.pairwise(body):
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
            and isinstance(following.value.value, str)
        ):
            texts[statement.target.id] = " ".join(following.value.value.split())
    return texts

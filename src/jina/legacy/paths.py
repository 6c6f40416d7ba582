"""Module paths of Jina 3 (`jina.serve.executors`, ...): a table of where their names live here, and its finder.

`import jina` appends one entry to `jina.__path__`, for which `sys.path_importer_cache` holds the finder. Python asks it
for modules below `jina.` that the package has no file for, and for nothing else: `sys.meta_path` and `sys.path_hooks`
stay as they are.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

TABLE: dict[str, dict[str, str]] = {
    "_docarray": {"documents": "Document, DocumentArray", "legacy.constants": "docarray_v2, is_pydantic_v2"},
    "checker": {"legacy.later": "NetworkChecker"},
    "clients": {"client": "Client"},
    "clients.base": {
        "client.client": "BaseClient",
        "legacy.requests": "CallbackFnType, InputType",
    },
    "clients.grpc": {"client.client": "AsyncGRPCClient, GRPCClient"},
    "clients.http": {"client.client": "AsyncHTTPClient, HTTPClient"},
    "clients.websocket": {"client.client": "AsyncWebSocketClient, WebSocketClient"},
    "clients.request": {"legacy.services": "request_generator"},
    "constants": {
        "legacy.constants": "RAFT_TO_EXECUTOR_PORT, __args_executor_func__, __args_executor_init__, __cache_path__,"
        " __default_composite_gateway__, __default_endpoint__, __default_executor__, __default_grpc_gateway__,"
        " __default_host__, __default_http_gateway__, __default_websocket_gateway__, __docker_host__,"
        " __dry_run_endpoint__, __jina_env__, __proto_version__, __ready_msg__, __resources_path__, __stop_msg__,"
        " __unset_msg__, __uptime__, __version__, __windows__"
    },
    "enums": {
        "legacy.enums": "BetterEnum, DataInputType, DeploymentRoleType, DockerNetworkMode, FlowBuildLevel,"
        " FlowInspectType, GatewayProtocolType, LogVerbosity, PodRoleType, PollingType, ProtocolType, ProviderType,"
        " WebsocketSubProtocols"
    },
    "excepts": {
        "legacy.excepts": "BadClient, BadClientCallback, BadClientInput, BadConfigSource, BadDocType,"
        " BadImageNameError, BadRequestType, BadServer, BadServerFlow, BadYAMLVersion, BaseJinaException,"
        " DockerVersionError, EstablishGrpcConnectionError, ExecutorError, ExecutorFailToLoad, FlowBuildLevelError,"
        " FlowMissingDeploymentError, FlowTopologyError, InternalNetworkError, NoAvailablePortError,"
        " NoContainerizedError, NotSupportedError, PortAlreadyUsed,"
        " RuntimeFailToStart, RuntimeRunForeverEarlyError, RuntimeTerminated"
    },
    "exporter": {
        "legacy.jaml": "export_docker_compose, export_flowchart, export_kubernetes",
        "legacy.later": "export_schema",
    },
    "helper": {
        "legacy.constants": "GATEWAY_NAME",
        "legacy.helper": "ArgNamespace, batch_iterator, cached_property, change_cwd, change_env, colored,"
        " deprecated_alias, deprecated_method, dunder_get, extend_rest_interface, get_ci_vendor, get_full_version,"
        " get_internal_ip, get_or_reuse_loop, get_public_ip, get_readable_size, get_readable_time, is_generator,"
        " is_jupyter, is_port_free, is_yaml_filepath, iscoroutinefunction, parse_arg, parse_host_scheme,"
        " random_identity, random_name, random_port, random_ports, random_uuid, retry, run_async,"
        " send_telemetry_event, typename",
    },
    "importer": {"legacy.importer": "ImportExtensions, PathImporter"},
    "jaml": {"legacy.jaml": "JAML, JAMLCompatible"},
    "logging": {},
    "logging.logger": {"legacy.logger": "JinaLogger"},
    "logging.predefined": {"legacy.logger": "default_logger"},
    "logging.profile": {"legacy.profile": "ProgressBar, TimeContext"},
    "orchestrate": {},
    "orchestrate.deployments": {"orchestration": "Deployment"},
    "orchestrate.flow": {},
    "orchestrate.flow.asyncio": {"orchestration": "AsyncFlow"},
    "orchestrate.flow.base": {"orchestration": "Flow"},
    "parsers": {
        "legacy.parsers": "get_main_parser, set_client_cli_parser, set_deployment_parser, set_gateway_parser,"
        " set_gateway_runtime_args_parser, set_help_parser, set_pod_parser"
    },
    "parsers.base": {"legacy.parsers": "set_base_parser"},
    "parsers.client": {"legacy.parsers": "mixin_client_features_parser, mixin_client_protocol_parser"},
    "parsers.create": {"legacy.parsers": "set_new_project_parser"},
    "parsers.deprecated": {"legacy.parsers": "get_deprecated_replacement"},
    "parsers.export": {
        "legacy.parsers": "set_export_flowchart_parser, set_export_parser, set_export_schema_parser",
    },
    "parsers.flow": {"legacy.parsers": "mixin_flow_features_parser, set_flow_parser"},
    "parsers.helper": {
        "legacy.parsers": "CastHostAction, CastPeerPorts, CastToIntAction, KVAppendAction, _ColoredHelpFormatter,"
        " _SHOW_ALL_ARGS, _chf, add_arg_group"
    },
    "parsers.logging": {"legacy.parsers": "mixin_suppress_root_logging_parser"},
    "parsers.orchestrate": {},
    "parsers.orchestrate.base": {
        "legacy.parsers": "mixin_base_deployment_parser, mixin_essential_parser, mixin_scalable_deployment_parser"
    },
    "parsers.orchestrate.deployment": {"legacy.parsers": "_mixin_deployment_only as mixin_base_deployment_parser"},
    "parsers.orchestrate.pod": {
        "legacy.parsers": "mixin_pod_parser, mixin_pod_runtime_args_parser, mixin_stateful_parser",
    },
    "parsers.orchestrate.runtimes": {},
    "parsers.orchestrate.runtimes.container": {"legacy.parsers": "mixin_container_runtime_parser"},
    "parsers.orchestrate.runtimes.grpc_channel": {"legacy.parsers": "mixin_grpc_channel_options_parser"},
    "parsers.orchestrate.runtimes.head": {"legacy.parsers": "mixin_head_parser"},
    "parsers.orchestrate.runtimes.remote": {
        "legacy.parsers": "mixin_client_gateway_parser, mixin_gateway_parser, mixin_gateway_streamer_parser,"
        " mixin_graphql_parser, mixin_http_gateway_parser, mixin_prefetch_parser, mixin_remote_runtime_parser"
    },
    "parsers.orchestrate.runtimes.runtime": {"legacy.parsers": "mixin_base_runtime_parser, mixin_raft_parser"},
    "parsers.orchestrate.runtimes.worker": {"legacy.parsers": "mixin_worker_runtime_parser"},
    "parsers.ping": {"legacy.parsers": "set_ping_parser"},
    "proto": {},
    "proto.jina_pb2": {
        "codec.pb": "DESCRIPTOR, DataRequestListProto, DataRequestProto, DataRequestProtoWoData, DocListProto, "
        "DocProto, EndpointsProto, HeaderProto, JinaInfoProto, RelatedEntity, RestoreId, "
        "RestoreSnapshotCommand, RestoreSnapshotStatusProto, RouteProto, SingleDocumentRequestProto, "
        "SnapshotId, SnapshotStatusProto, StatusProto",
    },
    "proto.jina_pb2_grpc": {
        "legacy.services": "JinaDataRequestRPCServicer, JinaDataRequestRPCStub, JinaDiscoverEndpointsRPCServicer, "
        "JinaDiscoverEndpointsRPCStub, JinaExecutorRestoreProgressServicer, "
        "JinaExecutorRestoreProgressStub, JinaExecutorRestoreServicer, JinaExecutorRestoreStub, "
        "JinaExecutorSnapshotProgressServicer, JinaExecutorSnapshotProgressStub, "
        "JinaExecutorSnapshotServicer, JinaExecutorSnapshotStub, JinaGatewayDryRunRPCServicer, "
        "JinaGatewayDryRunRPCStub, JinaInfoRPCServicer, JinaInfoRPCStub, JinaRPCServicer, "
        "JinaRPCStub, JinaSingleDataRequestRPCServicer, JinaSingleDataRequestRPCStub, "
        "JinaSingleDocumentRequestRPCServicer, JinaSingleDocumentRequestRPCStub, "
        "add_JinaDataRequestRPCServicer_to_server, add_JinaDiscoverEndpointsRPCServicer_to_server, "
        "add_JinaExecutorRestoreProgressServicer_to_server, "
        "add_JinaExecutorRestoreServicer_to_server, "
        "add_JinaExecutorSnapshotProgressServicer_to_server, "
        "add_JinaExecutorSnapshotServicer_to_server, add_JinaGatewayDryRunRPCServicer_to_server, "
        "add_JinaInfoRPCServicer_to_server, add_JinaRPCServicer_to_server, "
        "add_JinaSingleDataRequestRPCServicer_to_server, "
        "add_JinaSingleDocumentRequestRPCServicer_to_server",
    },
    "proto.serializer": {
        "codec.pb": "DataRequestListProto, DataRequestProto, EndpointsProto, JinaInfoProto, RestoreId, "
        "RestoreSnapshotCommand, RestoreSnapshotStatusProto, SingleDocumentRequestProto, SnapshotId, "
        "SnapshotStatusProto, StatusProto",
    },
    "schemas": {"legacy.jaml": "get_full_schema"},
    "serve": {},
    "serve.executors": {
        "executor": "ExecutorType",
        "executor_serve": "BaseExecutor, Executor",
        "executor.endpoints": "FunctionWithSchema as _FunctionWithSchema",
        "legacy.constants": "__dry_run_endpoint__",
    },
    "serve.executors.decorators": {
        "executor": "dynamic_batching, monitor, requests, write",
    },
    "serve.helper": {"legacy.services": "get_default_grpc_options, get_server_side_grpc_options"},
    "serve.runtimes": {},
    "serve.runtimes.gateway": {"gateway.custom": "BaseGateway, CompositeGateway"},
    "serve.runtimes.gateway.composite": {"gateway.custom": "CompositeGateway"},
    "serve.runtimes.gateway.gateway": {"gateway.custom": "BaseGateway, Gateway"},
    "serve.runtimes.gateway.grpc": {"gateway.custom": "GRPCGateway"},
    "serve.runtimes.gateway.http": {"gateway.custom": "FastAPIBaseGateway, HTTPGateway"},
    "serve.runtimes.gateway.http.fastapi": {"gateway.custom": "FastAPIBaseGateway"},
    "serve.runtimes.gateway.load_balancer": {"legacy.later": "LoadBalancerGateway"},
    "serve.runtimes.gateway.streamer": {"gateway.streamer": "GatewayStreamer"},
    "serve.runtimes.gateway.websocket": {"gateway.custom": "WebSocketGateway"},
    "serve.runtimes.servers": {"gateway.custom": "Gateway as BaseServer"},
    "serve.runtimes.servers.composite": {"gateway.custom": "CompositeServer"},
    "serve.runtimes.servers.grpc": {"gateway.custom": "GRPCGateway as GRPCServer"},
    "serve.runtimes.servers.http": {
        "gateway.custom": "FastAPIBaseGateway as FastAPIBaseServer, HTTPGateway as HTTPServer",
    },
    "serve.runtimes.servers.websocket": {"gateway.custom": "WebSocketGateway as WebSocketServer"},
    "serve.streamer": {"gateway.streamer": "GatewayStreamer"},
    "types": {},
    "types.mixin": {"legacy.requests": "ProtoMessage as ProtoTypeMixin"},
    "types.request": {"client.post": "Response", "legacy.requests": "Request"},
    "types.request.data": {
        "client.post": "Response",
        "legacy.requests": "DataRequest, SingleDocumentRequest",
    },
    "types.request.status": {"legacy.requests": "StatusMessage"},
}
"""Path below `jina.` -> module of ours below `jina.` -> names, `name` or `name as other`."""

_PACKAGES = {path.rpartition(".")[0] for path in TABLE}
_FOLDER = os.path.splitext(__file__)[0]  # there is no such folder; entries of `__path__` need names


def names_of(path: str) -> dict[str, tuple[str, str]] | None:
    """Name -> the module of ours that has it and its name there, for a module path of Jina 3; None for any other."""
    homes = TABLE.get(path[5:]) if path.startswith("jina.") else None
    if homes is None:
        return None
    entries = [(f"jina.{home}", *entry.strip().partition(" as ")) for home in homes for entry in homes[home].split(",")]
    return {alias or name: (home, name) for home, name, _, alias in entries}


class PathsFinder:
    """Finds and loads the modules directly below one package, by the table."""

    def __init__(self, package: str) -> None:
        self.package = package
        self.entry = os.path.join(_FOLDER, *package.split(".")[1:])
        sys.path_importer_cache[self.entry] = self

    def find_spec(self, fullname: str, target: ModuleType | None = None) -> ModuleSpec | None:
        """As `importlib.abc.PathEntryFinder`."""
        del target
        path = fullname.removeprefix("jina.")
        if fullname.rpartition(".")[0] != self.package or path not in TABLE:
            return None
        loader: Any = self  # without importlib.abc, which `import jina` would have to load
        spec = ModuleSpec(fullname, loader, origin=__file__, is_package=path in _PACKAGES)
        spec.has_location = True
        if spec.submodule_search_locations is not None:
            spec.submodule_search_locations.append(PathsFinder(fullname).entry)
        return spec

    def iter_modules(self, prefix: str = "") -> Iterator[tuple[str, bool]]:
        """Names and whether they are packages, for `pkgutil`."""
        for path in TABLE:
            package, _, name = f"jina.{path}".rpartition(".")
            if package == self.package:
                yield prefix + name, path in _PACKAGES

    def create_module(self, spec: ModuleSpec) -> None:
        """As `importlib.abc.Loader`: the usual module."""

    def exec_module(self, module: ModuleType) -> None:
        """As `importlib.abc.Loader`."""
        names = names_of(module.__name__) or {}
        module.__doc__ = f"`{module.__name__}` of Jina 3."
        for name, (home, original) in names.items():
            setattr(module, name, getattr(importlib.import_module(home), original))
        if names:
            module.__all__ = sorted(names)  # type: ignore[attr-defined]
        if hasattr(module, "__path__"):
            module.__getattr__ = _submodules(module.__name__)  # type: ignore[method-assign]


def _submodules(package: str) -> Callable[[str], ModuleType]:
    """The `__getattr__` of a package: modules are imported when they are first asked for.

    `import jina` loads every module of Jina 3 there, so that its programs write `jina.serve.executors.BaseExecutor`
    after that import alone.
    """

    def find(name: str) -> ModuleType:
        if names_of(f"{package}.{name}") is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return importlib.import_module(f"{package}.{name}")

    return find

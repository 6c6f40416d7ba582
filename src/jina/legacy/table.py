"""Module paths of Jina 3 and where their names live here; `scripts/gen_legacy.py` writes the modules from it.

Path below `jina.` -> module of ours -> names, `name` or `name as other`. Modules of ours are named below `jina.`.
"""

from __future__ import annotations

TABLE: dict[str, dict[str, str]] = {
    "_docarray": {"documents": "Document, DocumentArray", "legacy.versions": "docarray_v2, is_pydantic_v2"},
    "checker": {"legacy.later": "NetworkChecker"},
    "clients": {"client": "Client"},
    "clients.base": {
        "client.base": "BaseClient",
        "legacy.requests": "CallbackFnType, InputType",
    },
    "clients.grpc": {"client.async_client": "AsyncGRPCClient", "client.sync_client": "GRPCClient"},
    "clients.http": {"client.async_client": "AsyncHTTPClient", "client.sync_client": "HTTPClient"},
    "clients.websocket": {"client.async_client": "AsyncWebSocketClient", "client.sync_client": "WebSocketClient"},
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
        "legacy.exporter": "export_flowchart",
        "legacy.later": "export_docker_compose, export_kubernetes, export_schema",
    },
    "helper": {
        "legacy.network": "get_internal_ip, get_public_ip, is_port_free, parse_host_scheme, random_port, random_ports",
        "legacy.namespaces": "ArgNamespace",
        "legacy.running": "cached_property, change_cwd, change_env, deprecated_alias, deprecated_method,"
        " extend_rest_interface, get_ci_vendor, get_or_reuse_loop, is_generator, is_jupyter, iscoroutinefunction,"
        " retry, run_async, send_telemetry_event",
        "legacy.constants": "GATEWAY_NAME",
        "legacy.text": "batch_iterator, colored, dunder_get, get_full_version, get_readable_size, get_readable_time,"
        " is_yaml_filepath, parse_arg, random_identity, random_name, random_uuid, typename",
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
    "schemas": {"legacy.schemas": "get_full_schema"},
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

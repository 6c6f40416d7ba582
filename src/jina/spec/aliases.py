"""Every old or second name of an option, in one table."""

from __future__ import annotations

from collections.abc import Container
from typing import Final

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
"""Name of old -> the option. An alias counts for a spec that has the option and no field of the old name."""

CLOUD: Final = "jcloud"
"""What YAML files say to Jina AI Cloud; it has no meaning anywhere else."""

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

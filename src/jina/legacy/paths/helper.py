# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.helper` of Jina 3."""

from jina.legacy.constants import (
    GATEWAY_NAME as GATEWAY_NAME,
)

from jina.legacy.namespaces import (
    ArgNamespace as ArgNamespace,
)

from jina.legacy.network import (
    get_internal_ip as get_internal_ip,
    get_public_ip as get_public_ip,
    is_port_free as is_port_free,
    parse_host_scheme as parse_host_scheme,
    random_port as random_port,
    random_ports as random_ports,
)

from jina.legacy.running import (
    cached_property as cached_property,
    change_cwd as change_cwd,
    change_env as change_env,
    deprecated_alias as deprecated_alias,
    deprecated_method as deprecated_method,
    extend_rest_interface as extend_rest_interface,
    get_ci_vendor as get_ci_vendor,
    get_or_reuse_loop as get_or_reuse_loop,
    is_generator as is_generator,
    is_jupyter as is_jupyter,
    iscoroutinefunction as iscoroutinefunction,
    retry as retry,
    run_async as run_async,
    send_telemetry_event as send_telemetry_event,
)

from jina.legacy.text import (
    batch_iterator as batch_iterator,
    colored as colored,
    dunder_get as dunder_get,
    get_full_version as get_full_version,
    get_readable_size as get_readable_size,
    get_readable_time as get_readable_time,
    is_yaml_filepath as is_yaml_filepath,
    parse_arg as parse_arg,
    random_identity as random_identity,
    random_name as random_name,
    random_uuid as random_uuid,
    typename as typename,
)

__all__ = [
    "ArgNamespace",
    "GATEWAY_NAME",
    "batch_iterator",
    "cached_property",
    "change_cwd",
    "change_env",
    "colored",
    "deprecated_alias",
    "deprecated_method",
    "dunder_get",
    "extend_rest_interface",
    "get_ci_vendor",
    "get_full_version",
    "get_internal_ip",
    "get_or_reuse_loop",
    "get_public_ip",
    "get_readable_size",
    "get_readable_time",
    "is_generator",
    "is_jupyter",
    "is_port_free",
    "is_yaml_filepath",
    "iscoroutinefunction",
    "parse_arg",
    "parse_host_scheme",
    "random_identity",
    "random_name",
    "random_port",
    "random_ports",
    "random_uuid",
    "retry",
    "run_async",
    "send_telemetry_event",
    "typename",
]

"""Constants of `jina.constants`."""

from __future__ import annotations

import datetime as dt
import os
import sys

import jina
from jina.config.paths import user_cache

__version__ = jina.__version__
__proto_version__ = jina.__proto_version__
__windows__ = sys.platform == "win32"
__uptime__ = dt.datetime.now(tz=dt.UTC).strftime("%Y%m%d%H%M%S")
__default_host__ = os.environ.get("JINA_DEFAULT_HOST", "127.0.0.1" if __windows__ else "0.0.0.0")  # noqa: S104 - the default of Jina 3
__docker_host__ = "host.docker.internal"
__cache_path__ = user_cache()
__ready_msg__ = "ready and listening"
__stop_msg__ = "terminated"
__unset_msg__ = "(unset)"
GATEWAY_NAME = "gateway"
__default_executor__ = "BaseExecutor"
__default_endpoint__ = "/default"
__dry_run_endpoint__ = "_jina_dry_run_"
__default_grpc_gateway__ = "GRPCGateway"
__default_http_gateway__ = "HTTPGateway"
__default_websocket_gateway__ = "WebSocketGateway"
__default_composite_gateway__ = "CompositeGateway"
__args_executor_init__ = {"metas", "requests", "runtime_args"}
__args_executor_func__ = {"docs", "parameters", "docs_matrix"}
__resources_path__ = os.path.join(os.path.dirname(jina.__file__), "resources")
__jina_env__ = (
    "JINA_AUTH_TOKEN", "JINA_DEFAULT_HOST", "JINA_DEFAULT_TIMEOUT_CTRL", "JINA_DEPLOYMENT_NAME",
    "JINA_DISABLE_UVLOOP", "JINA_EARLY_STOP", "JINA_FULL_CLI", "JINA_GATEWAY_IMAGE", "JINA_GRPC_RECV_BYTES",
    "JINA_GRPC_SEND_BYTES", "JINA_HUB_NO_IMAGE_REBUILD", "JINA_LOCKS_ROOT", "JINA_LOG_CONFIG", "JINA_LOG_LEVEL",
    "JINA_LOG_NO_COLOR", "JINA_MP_START_METHOD", "JINA_OPTOUT_TELEMETRY", "JINA_RANDOM_PORT_MAX",
    "JINA_RANDOM_PORT_MIN",
)  # fmt: skip
RAFT_TO_EXECUTOR_PORT = 100
docarray_v2 = True  # which docarray and pydantic are in use, as `jina._docarray` says it
is_pydantic_v2 = True

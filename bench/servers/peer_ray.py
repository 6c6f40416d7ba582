"""Ray Serve: one text, upper case; HAProxy in front and the settings for throughput, as its documentation advises."""

import os
import signal
import sys

os.environ |= {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "60",
}

import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import JSONResponse


@serve.deployment(max_ongoing_requests=100)
class Upper:
    async def __call__(self, request: Request) -> JSONResponse:
        message = await request.json()
        return JSONResponse({"data": [{"text": doc["text"].upper()} for doc in message["data"]]})


if __name__ == "__main__":
    ray.init(include_dashboard=False, num_cpus=2, _node_ip_address="127.0.0.1", logging_level="error")
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[-1])})
    serve.run(Upper.bind(), route_prefix="/upper")
    signal.sigwait([signal.SIGTERM, signal.SIGINT])
    serve.shutdown()
    ray.shutdown()

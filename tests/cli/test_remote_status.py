"""`jina status` of addresses: what anybody may ask of a service that runs anywhere."""

import http.server
import json
import os
import signal
import threading

import pytest
from tests.acceptance.flow_asking import until

from jina import Deployment, Executor, requests
from jina.cli.main import main

KEY = "a-long-random-key"


class Unwell(Executor):
    well = True

    @requests(on="/ail")
    def ail(self, **kwargs):
        self.well = False

    async def health(self):
        return self.well


def asked(capsys, *words):
    code = main(["status", *words])
    return code, capsys.readouterr().out


@pytest.mark.slow
def test_services_on_either_protocol_and_with_keys(capsys):
    with Deployment(
        uses=Unwell,
        replicas=2,
        protocol=["grpc", "http"],
        api_keys=[KEY],
        restart_limit=0,
        host="127.0.0.1",
        quiet=True,
    ) as served:
        addresses = [f"grpc://127.0.0.1:{served.ports[0]}", f"http://127.0.0.1:{served.ports[1]}"]
        for address in addresses:
            code, text = asked(capsys, address)
            assert (code, text.splitlines()[0]) == (0, f"{address}: ready")
            code, text = asked(capsys, address, "--api-key", KEY)
            assert text.startswith(f"{address}: ready (jina ")
            assert "  executor/rep-1  ok" in text
        os.kill(served.status().processes[0].pid, signal.SIGKILL)
        for address in addresses:
            until(lambda address=address: "  executor/rep-0  no" in asked(capsys, address)[1])
            assert asked(capsys, address)[0] == 0, "one replica is left"
        served.post("/ail")
        for address in addresses:
            until(lambda address=address: asked(capsys, address)[0] == 1)
        code, text = asked(capsys, *addresses, "--json")
        assert [one["state"] for one in json.loads(text)] == ["not ready"] * 2
        assert [one["checks"]["executor/rep-1"] for one in json.loads(text)] == [False] * 2
    for address in addresses:
        code, text = asked(capsys, address)
        assert (code, text.split(": ")[1]) == (1, "down")


def test_what_is_no_address_and_what_is_no_service(capsys):
    assert main(["status", "grpc://nowhere"]) == 2
    assert main(["status", "ftp://localhost:21"]) == 2
    assert main(["status", "http://localhost:99999"]) == 2
    assert main(["status", "http://localhost:1", "name"]) == 2
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as other:
        thread = threading.Thread(target=other.serve_forever)
        thread.start()
        code, text = asked(capsys, f"http://127.0.0.1:{other.server_port}")
        assert (code, "down: GET /readyz answered 501" in text) == (1, True)
        other.shutdown()
        thread.join()

"""Foreign clients against our server: h2spec for HTTP/2, gRPC's own interoperability client, and grpcurl."""

import os
import re
import subprocess
import xml.etree.ElementTree as ET

import pytest

from tests.certificates import certificate
from tests.http2.programs import BUILT, ROOT, program, serving

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]
ENGINES = ["ngh2", "h2"]
CASES = [
    "empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong", "empty_stream",
    "timeout_on_sleeping_server", "cancel_after_begin", "cancel_after_first_response", "status_code_and_message",
    "special_status_message", "custom_metadata", "unimplemented_method", "unimplemented_service",
]  # fmt: skip
"""All that the client has and that ask for no account of a cloud, no balancer, and no second server."""


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("engine", ENGINES)
def test_the_client_of_grpc(engine, tls, tmp_path):
    client = program("interop_client")
    files = certificate(tmp_path) if tls else None
    with serving(engine, "testing", files) as server:
        port = server.port
        words = [client, "-server_host=127.0.0.1", f"-server_port={port}"]
        if files:
            words += ["-use_tls", "-use_test_ca", f"-ca_file={files.authority}", "-server_host_override=localhost"]
        failed = {}
        for case in CASES:
            done = subprocess.run(
                [*words, f"-test_case={case}"], capture_output=True, text=True, timeout=60, check=False
            )
            if done.returncode:
                failed[case] = done.stdout[-500:] + done.stderr[-500:]
    assert not failed


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("engine", ENGINES)
def test_the_specification_of_http2(engine, tls, tmp_path):
    """A case fails where it fails each time: requests that are not gRPC's are answered when their head is there, and
    what h2spec sends after the answer is rightly ignored.
    """
    spec, report = program("h2spec"), tmp_path / "report.xml"
    failed = None
    with serving(engine, "notes", certificate(tmp_path) if tls else None) as server:
        port = server.port
        words = [spec, "-S", "-h", "127.0.0.1", "-p", str(port), "-o", "2", "-j", str(report), *(["-t", "-k"] * tls)]
        for _ in range(6):
            done = subprocess.run(words, capture_output=True, text=True, timeout=240, check=False)
            assert report.exists(), done.stdout[-2000:] + done.stderr[-2000:]
            cases = list(ET.parse(report).getroot().iter("testcase"))
            report.unlink()
            assert len(cases) > 140
            again = {
                f"{case.get('package')}: {case.get('classname')}"
                for case in cases
                if case.find("failure") is not None or case.find("error") is not None
            }
            failed = again if failed is None else failed & again
            if not failed:
                break
    assert not failed


GRPCURL = {
    "grpcurl -plaintext localhost:54321 list": "jina.JinaSingleDataRequestRPC",
    "describe jina.DataRequestProto": "message DataRequestProto {",
    "process_single_data": '"text": "HELLO"',
    "endpoint_discovery": '"/upper"',
    "grpc.health.v1.Health/Check": '"status": "SERVING"',
}
"""Parts of the commands that the page shows, and of what they print."""


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("engine", ENGINES)
def test_the_commands_of_the_page(engine, tls, tmp_path):
    program("grpcurl")
    page = (ROOT / "docs/how-to/grpc-from-anywhere.md").read_text(encoding="utf-8")
    section = page.partition("## grpcurl")[2].partition("\n## ")[0]
    commands = re.findall(r"^grpcurl .*?(?=^grpcurl |^```)", section, re.MULTILINE | re.DOTALL)
    assert len(commands) == len(GRPCURL)
    files = certificate(tmp_path) if tls else None
    with serving(engine, "notes", files) as server:
        for command, (part, printed) in zip(commands, GRPCURL.items(), strict=True):
            assert part in command
            asked = command.replace("localhost:54321", f"localhost:{server.port}")
            if files:
                asked = asked.replace("-plaintext", f"-cacert '{files.authority}'")
            environment = os.environ | {"PATH": f"{BUILT}:{os.environ['PATH']}"}
            done = subprocess.run(
                ["bash", "-c", asked], capture_output=True, text=True, timeout=60, check=False, env=environment
            )
            assert done.returncode == 0, done.stderr
            assert printed in done.stdout

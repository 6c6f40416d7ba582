"""Two services that want the same port at the same time: one gets it, the other one says at once that it is taken."""

import contextlib
import json
import os
import random
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.acceptance.flow_asking import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

RACES = int(os.environ.get("JINA_RACES", "2"))
PROGRAM = Path(__file__).with_name("racing.py")


class Racer:
    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, str(PROGRAM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def say(self, line):
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def answer(self):
        line = self._process.stdout.readline()
        assert line, "the racer ended"
        return json.loads(line)

    def close(self):
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(60)


@pytest.fixture(scope="module")
def racers():
    made = [Racer(), Racer()]
    yield made
    for racer in made:
        racer.close()


KINDS = [
    "grpc", "http", "websocket", "several", "replicas", "flow", "gateway", "probes", "monitoring", "peers",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_one_of_two_gets_the_port(kind, racers, tmp_path):
    for number in range(RACES):
        port = consecutive_ports()
        for each, racer in enumerate(racers):
            racer.say(f"{kind} {port} {tmp_path / str(each)}")
        assert [racer.answer() for racer in racers] == ["armed", "armed"]
        for racer in racers:
            racer.say("go")
        answers = [racer.answer() for racer in racers]
        for racer in racers:
            racer.say("end")
        ends = [racer.answer() for racer in racers]
        assert answers.count("won") == 1, (number, answers)
        (lost,) = (answer for answer in answers if answer != "won")
        assert lost["error"] == "PortAlreadyUsed", lost
        assert re.search(rf"{port} is taken", lost["says"])
        assert "give another port, or none" in lost["says"]
        assert ends == [["ended", 0], ["ended", 0]]


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_one_of_two_commands_gets_the_port(protocol, tmp_path):
    source = tmp_path / "executor.yml"
    source.write_text("jtype: BaseExecutor\n")
    command = [sys.executable, "-m", "jina", "executor", "--uses", str(source), "--protocol", protocol]
    for _ in range(RACES):
        port = consecutive_ports()
        said = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        both = [subprocess.Popen([*command, "--port", str(port)], **said) for _ in range(2)]
        ended = until(lambda both=both: [one for one in both if one.poll() is not None], 120)
        assert len(ended) == 1
        output = ended[0].stdout.read()
        assert ended[0].returncode not in {0, -9}
        assert f"port: {port} is taken" in output
        assert "Traceback" not in output
        (left,) = (one for one in both if one is not ended[0])
        until(lambda port=port: _accepts(port), 120)
        left.terminate()
        assert left.wait(60) == 0
        for one in both:
            one.stdout.close()


def _accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except OSError:
        return False
    return True


def consecutive_ports():
    """The first of two that are free now, below those that the system chooses for connections."""
    while True:
        port = random.randrange(20_000, 32_000)
        with (
            contextlib.suppress(OSError),
            socket.create_server(("127.0.0.1", port)),
            socket.create_server(("127.0.0.1", port + 1)),
        ):
            return port

"""The commands that serve and those that call: real processes, signals and exit codes."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys

import pytest
from tests.cli.running import JINA, WITHIN, call, serving

from jina.cli.main import main

EXECUTOR = """
from jina import DocumentArray, Executor, requests

class Shout(Executor):
    @requests(on='/shout')
    def shout(self, docs: DocumentArray, parameters: dict, **kwargs):
        for doc in docs:
            doc.text = doc.text.upper() + '!' * parameters.get('marks', 1)

    def close(self):
        print('closed', flush=True)
"""


@pytest.fixture
def package(tmp_path):
    (tmp_path / "executor.py").write_text(EXECUTOR)
    (tmp_path / "config.yml").write_text("jtype: Shout\npy_modules: [executor.py]\n")
    return tmp_path


@pytest.mark.slow
def test_executor_serves_and_sigterm_closes_it(package, capsys):
    with serving("executor", "--uses", "config.yml", "--protocol", "grpc", "http", cwd=package) as service:
        address = service.address("grpc")
        done = call("client", "--host", address, "--on", "/shout", "--text", "hi", "--text", "you",
                    "--parameters", '{"marks": 2}')  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert [json.loads(line)["text"] for line in done.stdout.splitlines()] == ["HI!!", "YOU!!"]
        assert call("ping", "executor", address).returncode == 0
        assert call("ping", "executor", service.address("http")).returncode == 0
        main(["status", "executor"])
        assert f"executor: ready (process {service.process.pid}" in capsys.readouterr().out
        for documents in (["--text", "x"], []):  # without documents a request is sent, too
            missing = call("client", "--host", address, "--on", "/shot", *documents)
            assert missing.returncode == 2
            assert "/shout" in missing.stderr
        assert service.end() == 0
    assert "closed" in service.output


@pytest.mark.slow
def test_a_class_of_the_working_folder_can_be_named(package):
    with serving("executor", "--uses", "executor.Shout", cwd=package) as service:
        done = call("client", "--host", service.address("grpc"), "--on", "/shout", "--text", "hi")
        (line,) = done.stdout.splitlines()
        found = json.loads(line)
        assert found.pop("id")
        assert found == {"text": "HI!"}
        assert service.end() == 0


@pytest.mark.slow
def test_ctrl_c_closes_too(package):
    with serving("executor", "--uses", "config.yml", cwd=package) as service:
        service.address("grpc")
        assert service.end(signal.SIGINT) in {0, 130}
    assert "closed" in service.output


@pytest.mark.slow
def test_a_failing_start_is_exit_code_1_with_the_place(package):
    (package / "executor.py").write_text(EXECUTOR.replace("class Shout(Executor):", (
        "class Shout(Executor):\n    def __init__(self, **kwargs):\n        super().__init__(**kwargs)\n"
        "        raise RuntimeError('no such file model.bin')\n"
    )))  # fmt: skip
    with serving("executor", "--uses", "config.yml", cwd=package) as service:
        assert service.process.wait(WITHIN) == 1
        service.reader.join(WITHIN)
    assert re.search(r"Shout|executor", service.output)
    assert "executor.py:7" in service.output
    assert "RuntimeError: no such file model.bin" in service.output


@pytest.mark.slow
def test_a_generated_package_starts_as_it_is(tmp_path):
    assert subprocess.run([JINA, "hub", "new", "--name", "MyExecutor", "--path", "x"], cwd=tmp_path, timeout=WITHIN,
                          check=False, capture_output=True).returncode == 0  # fmt: skip
    with serving("executor", "--uses", "config.yml", cwd=tmp_path / "x") as service:
        done = call("client", "--host", service.address("grpc"), "--text", "kept")
        assert [json.loads(line)["text"] for line in done.stdout.splitlines()] == ["kept"]
        assert service.end() == 0


@pytest.mark.slow
def test_a_new_project_starts_as_it_is(tmp_path):
    assert subprocess.run([JINA, "new", "hello", "--type", "deployment"], cwd=tmp_path, timeout=WITHIN, check=False,
                          capture_output=True).returncode == 0  # fmt: skip
    project = tmp_path / "hello"
    # The project's own ports may be taken here: let them be chosen.
    config = project / "deployment.yml"
    config.write_text("\n".join(line for line in config.read_text().splitlines() if "port:" not in line) + "\n")
    with serving("deployment", "--uses", "deployment.yml", cwd=project) as service:
        client = project / "client.py"
        client.write_text(client.read_text().replace("grpc://localhost:54321", service.address("grpc")))
        done = subprocess.run(
            [sys.executable, str(client)], capture_output=True, text=True, timeout=WITHIN, check=False
        )
        assert done.stdout.strip() == "['hello, world!', 'goodbye, world!']", done.stderr
        assert service.end() == 0


def test_ping_says_no_with_exit_code_1():
    done = call("ping", "executor", "grpc://127.0.0.1:9", "--timeout", "300", "--attempts", "1")
    assert done.returncode == 1
    assert "no answer (1/1)" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        # Both are in files that Jina 3 exports.
        (["executor", "grpc://127.0.0.1:9", "--timeout 300"], 1, "grpc://127.0.0.1:9: no answer (1/1)"),
        (["executor", "127.0.0.1:9 - --timeout 300"], 1, "127.0.0.1:9: no answer (1/1)"),
        (["executor", "grpc://127.0.0.1:9", "--timeout soon"], 2, "--timeout: no number of milliseconds follows"),
        (["--timeout 300"], 2, "ping: there is no HOST"),
    ],
)
def test_ping_takes_the_words_of_probes(words, code, said):
    done = call("ping", *words)
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr

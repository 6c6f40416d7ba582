"""Images as `uses`: in a Deployment and a Flow, ended in every way, and of Jina 3 as well as for it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from scripts.base_image import VERSION

from jina import Deployment, Document, DocumentArray, Flow, __version__
from jina.errors import ConfigError, ExecutorError, RuntimeFailToStart
from tests.containers.engine import Engine
from tests.containers.packages import IMAGE, JINA, PROBE, WAIT, containers, tool, until

ROOT = Path(__file__).parents[2]
JINA3 = ROOT / ".cache/env-jina3/bin/python"
OF_JINA3 = "probe:jina3"
GONE_WITHIN = 5.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.containers,
    pytest.mark.timeout(1200),
    pytest.mark.xdist_group("containers"),
]

CONFIG = "jtype: Probe\nmetas:\n  name: Probe\npy_modules:\n  - executor.py\n"


@pytest.fixture(scope="module")
def of_jina3(engine_with_image, tmp_path_factory) -> str:
    """The image of the same Executor for Jina 3.34, whose libraries come from the environment of the interop tests."""
    if not JINA3.exists() or VERSION != "3.11":
        pytest.skip("needs the environment of Jina 3 (scripts/env.sh jina3) and Python 3.11")
    context = tmp_path_factory.mktemp("jina3")
    (context / "workdir").mkdir()
    imports = (
        "from docarray import DocList\nfrom docarray.documents import TextDoc\nfrom jina import Executor, requests"
    )
    text = PROBE.format(imports=imports, stateful="").replace("docs: DocumentArray", "docs: DocList[TextDoc]")
    (context / "workdir/executor.py").write_text(text)
    (context / "workdir/config.yml").write_text(CONFIG)
    shutil.copytree(
        ROOT / ".cache/env-jina3/lib/python3.11/site-packages",
        context / "site-packages",
        ignore=shutil.ignore_patterns("__pycache__", "*.pyc"),
    )
    (context / "jina").write_text("#!/usr/local/bin/python3\nfrom jina_cli import main\nmain()\n")
    (context / "jina").chmod(0o755)
    (context / "Dockerfile").write_text(
        f"FROM {IMAGE}\nUSER root\n"
        'RUN ["python3", "-c", "import shutil; shutil.rmtree(\'/usr/local/lib/python3.11/site-packages\')"]\n'
        "COPY site-packages /usr/local/lib/python3.11/site-packages\nCOPY jina /usr/local/bin/jina\n"
        "COPY workdir /workdir\n"
        'WORKDIR /workdir\nENTRYPOINT ["jina", "executor", "--uses", "config.yml"]\nCMD []\n'
    )
    engine_with_image.docker("build", "--network", "host", "-t", OF_JINA3, context)
    return OF_JINA3


def texts(*given: str) -> DocumentArray:
    return DocumentArray([Document(text=text) for text in given])


def counted(port: int, name: str) -> list[tuple[str, float]]:
    """Process and value of the samples of a metric that come from containers, as a gateway shows them."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=WAIT) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    samples = [sample for family in families for sample in family.samples if sample.name == name]
    found = [(one.labels["runtime_name"], one.value) for one in samples]
    return [(process, value) for process, value in found if process.startswith("probe/")]


def about(service: Deployment | Flow) -> dict:
    return json.loads(service.post("/about", texts("?")).texts[0])


def test_a_deployment_answers(running, tmp_path, capfd):
    secrets = tmp_path / "secrets/vault"
    secrets.mkdir(parents=True)
    (secrets / "token").write_text("hidden\n")
    volume = tmp_path / "Bücher, und mehr"
    options = {
        "uses_with": {"suffix": "!"},
        "env": {"COLOUR": "blue", "PATH_OF": "a b"},
        "env_from_secret": {"TOKEN": {"name": "vault", "key": "token"}},
        "volumes": [f"{volume}:/data"],
        "workspace": "/data",
        "log_dir": str(tmp_path / "logs"),
        "docker_kwargs": {"labels": {"team": "search"}, "environment": {"SHAPE": "round"}, "mem_limit": "1g"},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JINA_SECRETS", str(tmp_path / "secrets"))
        deployment = Deployment(uses=f"docker://{IMAGE}", name="probe", protocol=["grpc", "http"], **options)
    with deployment:
        assert deployment.post("/upper", texts("a", "b")).texts == ["A!", "B!"]
        found = about(deployment)
        assert {name: found["env"][name] for name in ("COLOUR", "PATH_OF", "TOKEN", "SHAPE")} == {
            "COLOUR": "blue", "PATH_OF": "a b", "TOKEN": "hidden", "SHAPE": "round",
        }  # fmt: skip
        assert found["uid"] == 10001
        (name,) = containers(running, "--filter", "label=team=search", "--filter", "label=jina.worker=probe/rep-0")
        told = json.loads(running.docker("container", "inspect", name))[0]
        assert told["HostConfig"]["Memory"] == 1 << 30
        assert "hidden" not in json.dumps(told["Args"])
        assert deployment.post("/keep", texts("x")).texts == ["x"]
        (sample,) = counted(deployment.ports[1], "jina_successful_requests_total")
        assert sample == ("probe/rep-0", 3)
    assert containers(running) == []
    written = capfd.readouterr()
    assert "Probe is made\n" in written.out
    assert "Probe is closed\n" in written.out
    assert "Probe was asked\n" in written.err
    kept = (tmp_path / "logs/probe-rep-0.log").read_text().splitlines()
    assert {"Probe is made", "Probe was asked", "Probe is closed"} <= set(kept)
    # What it kept is there for the next one.
    assert [path.read_text() for path in volume.rglob("kept")] == ["x"]
    with Deployment(uses=f"docker://{IMAGE}", volumes=[f"{volume}:/data"], workspace="/data", name="probe") as again:
        assert again.post("/keep", texts("y")).texts == ["xy"]


def test_the_console_sees_into_a_container(running):
    """What its Executor counts, takes and logs; the process that stands for it would tell none of it."""
    with Deployment(uses=f"docker://{IMAGE}", name="probe", protocol=["grpc", "http"]) as deployment:
        status = deployment.status().processes[0]
        assert (status.version, status.image) == (__version__, IMAGE)

        def seen() -> dict[str, Any]:
            """What the feed says of it now."""
            deployment.post("/upper", texts("a"))
            with contextlib.suppress(ExecutorError):
                deployment.post("/upper", texts("a"), parameters={"seconds": "none"})
            address = f"http://127.0.0.1:{deployment.ports[1]}/console/feed"
            with urllib.request.urlopen(address, timeout=WAIT) as answer:
                found = next(line for line in answer if line.startswith(b"data:"))
            return json.loads(found[5:])["processes"]["probe/rep-0"]

        until(lambda: seen().get("place", {}).get("kind") == "container", "what the container tells")
        found = seen()
        assert found["executor"] == "Probe"
        numbers = found["endpoints"]["/upper"]
        assert numbers["count"] > numbers["failed"] > 0
        assert found["rss"] > 10_000_000
        with urllib.request.urlopen(f"http://127.0.0.1:{deployment.ports[1]}/console/logs", timeout=WAIT) as answer:
            line = next(line for line in answer if b"'none'" in line)  # it goes on until it is closed
        assert json.loads(line[5:])["process"] == "probe/rep-0"


def test_a_killed_container_is_started_again(running):
    with Deployment(uses=f"docker://{IMAGE}", name="probe", restart_backoff=0.1) as deployment:
        (first,) = containers(running)
        running.docker("kill", first)
        until(lambda: containers(running) not in ([], [first]), "a new container")
        until(lambda: _answers(deployment), "an answer of the new container")
        assert deployment.post("/upper", texts("a")).texts == ["A"]
        worker = next(one for one in deployment.status().to_dict()["processes"] if one["name"] == "probe/rep-0")
        assert worker["restarts"] == 1
        # The process that watches it is killed: its container ends, and another pair is started.
        (second,) = containers(running)
        os.kill(worker["pid"], signal.SIGKILL)
        until(lambda: second not in containers(running), "the end of the container", GONE_WITHIN)
        until(lambda: _answers(deployment), "an answer of the third container")


def _answers(service: Deployment | Flow) -> bool:
    try:
        return service.post("/upper", texts("a")).texts == ["A"]
    except Exception:
        return False


def test_replicas_are_scaled_and_replaced_under_load(running):
    failures: list[BaseException] = []
    answers: list[str] = []
    over = threading.Event()
    with Deployment(uses=f"docker://{IMAGE}", name="probe", replicas=2) as deployment:

        def ask() -> None:
            while not over.is_set():
                try:
                    answers.extend(deployment.post("/upper", texts("a"), parameters={"seconds": 0.05}).texts)
                except Exception as error:
                    failures.append(error)

        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            before = set(containers(running))
            assert len(before) == 2
            deployment.scale(1)
            until(lambda: len(containers(running)) == 1, "the end of one container")
            deployment.roll_out(uses_with={"suffix": "!"})
            until(lambda: not before & set(containers(running)), "the end of the containers that were replaced")
            until(lambda: "A!" in answers, "an answer of the new one")
        finally:
            over.set()
            for thread in threads:
                thread.join(WAIT)
    assert failures == []
    assert set(answers) == {"A", "A!"}


PROGRAM = """
import sys
from jina import Deployment, DocumentArray, Executor, Flow, requests


class Twice(Executor):
    @requests
    def twice(self, docs: DocumentArray, **kwargs):
        for doc in docs:
            doc.text = doc.text * 2


if __name__ == "__main__":
    flow = Flow(port={port}).add(uses="docker://{image}", name="probe").add(uses=Twice, name="twice")
    with flow:
        print("serving", flush=True)
        flow.block()
"""


class Program:
    """A Flow of an image and a class, in a process of its own."""

    def __init__(self, folder: Path, image: str) -> None:
        from jina.supervisor.container import free_port

        self.port = free_port()
        script = folder / "program.py"
        script.write_text(PROGRAM.format(port=self.port, image=image))
        self.process = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
        self.wait_for("serving")

    def wait_for(self, wanted: str) -> None:
        """Until the program, or a container of it, has written that line."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.strip() == wanted:
                return
        raise AssertionError(f"the program ended with exit code {self.process.wait()} before {wanted!r}")

    def post(self, text: str, **parameters: float) -> list[str]:
        from jina import Client

        with Client(port=self.port) as client:
            return client.post("/upper", texts(text), parameters=parameters).texts

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(WAIT)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.mark.parametrize("which", ["ours", "jina3"])
def test_no_container_is_left_when_the_program_is_killed(running, tmp_path, request, which):
    image = IMAGE if which == "ours" else request.getfixturevalue("of_jina3")
    with Program(tmp_path, image) as program:
        assert program.post("ab") == ["ABAB"]
        assert len(containers(running)) == 1
        program.process.kill()
        until(lambda: containers(running) == [], "the end of the container", GONE_WITHIN)


def test_requests_in_work_are_answered_when_the_program_is_told_to_stop(running, tmp_path):
    with Program(tmp_path, IMAGE) as program:
        answers: list[list[str]] = []
        threads = [threading.Thread(target=lambda: answers.append(program.post("a", seconds=2))) for _ in range(3)]
        for thread in threads:
            thread.start()
        program.wait_for("Probe works")  # the first of them, for two seconds; the others wait for it
        program.process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join(WAIT)
        assert program.process.wait(WAIT) == 0
        assert answers == [["AA"]] * 3
        assert containers(running) == []


def test_a_flow_of_an_image_of_jina_3(running, of_jina3):
    with (
        Flow()
        .add(uses=f"docker://{of_jina3}", name="old", uses_with={"suffix": "?"})
        .add(uses=f"docker://{IMAGE}", name="new", uses_with={"suffix": "!"}) as flow
    ):
        assert flow.post("/upper", texts("a")).texts == ["A?!"]
    assert containers(running) == []


@pytest.mark.parametrize("command", ["deployment", "executor"])
def test_the_command_line_and_yaml(running, tmp_path, command):
    from jina.supervisor.container import free_port

    (tmp_path / "deployment.yml").write_text(
        "jtype: Deployment\nwith:\n"
        f"  uses: docker://{IMAGE}\n  uses_with:\n    suffix: '!'\n  force_network_mode: HOST\n"
    )
    words = ["--uses", f"docker://{IMAGE}", "--uses-with", "suffix:!", "--disable-auto-volume"]
    if command == "deployment":
        words = ["--uses", str(tmp_path / "deployment.yml")]
    port = free_port()
    line = [JINA, command, *words, "--port", str(port)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            assert any("is ready" in line for line in process.stdout), "it ended before it was ready"
            asked = [JINA, "client", "--port", str(port), "--on", "/upper", "--text", "a"]
            done = subprocess.run(asked, capture_output=True, text=True, timeout=WAIT, check=True)
            assert "A!" in done.stdout
        finally:
            process.send_signal(signal.SIGTERM)
            rest = process.stdout.read() if process.stdout else ""
    assert process.returncode == 0, rest
    assert containers(running) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"uses": "docker://127.0.0.1:1/none"}, "is neither an image that the engine has nor one that it can pull"),
        ({"uses": "docker://127.0.0.1:1/none", "offline": True}, "offline none is pulled"),
        ({"uses": f"docker://{IMAGE}", "entrypoint": "jina executor --uses none.yml"}, "none.yml"),
        ({"uses": f"docker://{IMAGE}", "entrypoint": "no-such-program"}, "no-such-program"),
        (
            {"uses": f"docker://{IMAGE}", "env_from_secret": {"A": {"name": "no", "key": "such"}}},
            "no/such cannot be read",
        ),
    ],
)
def test_what_cannot_be_started(running, options, words):
    with pytest.raises(RuntimeFailToStart) as caught:
        Deployment(name="probe", **options).start()
    assert words in str(caught.value)
    assert containers(running) == []


def test_a_stateful_image_keeps_its_state(running, tmp_path):
    """Its replicas agree, and go on from their folders after a container was killed and after a new start."""
    options = {"uses": f"docker://{IMAGE}", "name": "probe", "stateful": True, "workspace": str(tmp_path / "state")}
    with Deployment(**options, replicas=3, restart_backoff=0.1) as deployment:
        assert deployment.post("/add", texts("a")).texts == ["a"]
        victim = containers(running)[0]
        running.docker("kill", victim)
        assert deployment.post("/add", texts("b")).texts == ["ab"]
        until(lambda: len(containers(running)) == 3 and victim not in containers(running), "a new container")
    assert containers(running) == []
    with Deployment(**options, replicas=3) as deployment:
        assert deployment.post("/add", texts("c")).texts == ["abc"]
        with pytest.raises(ConfigError, match="are not changed while they run"):
            deployment.scale(5)


@pytest.fixture(params=["tcp", "ssh"])
def remote(elsewhere, request) -> Iterator[dict[str, str]]:
    """The environment of programs that reach the engine as one on another machine."""
    if request.param == "tcp":
        yield {**elsewhere.environment, "DOCKER_HOST": "tcp://127.0.0.1:2375"}
        return
    # pytest's own folder may be in one with blanks, which the files of OpenSSH take for two words.
    with (
        tempfile.TemporaryDirectory(prefix="jina-ssh-") as folder,
        ssh_server(elsewhere, Path(folder) / "ssh") as (address, programs),
    ):
        path = f"{programs}{os.pathsep}{os.environ['PATH']}"
        yield {**elsewhere.environment, "DOCKER_HOST": address, "PATH": path}


@contextlib.contextmanager
def ssh_server(made: Engine, folder: Path) -> Iterator[tuple[str, Path]]:
    """Debian's sshd in the network namespace of an engine; gives its address and the folder of an `ssh` for it."""
    server, client = tool("sshd", "openssh-server"), tool("ssh", "openssh-client")
    folder.mkdir()
    for name in ("host", "user"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True, timeout=60
        )  # fmt: skip
    host_key = (folder / "host.pub").read_text()
    (folder / "known").write_text(f"[127.0.0.1]:2222 {host_key}")
    (folder / "sshd.conf").write_text(
        f"ListenAddress 127.0.0.1:2222\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\nPidFile none\n"
        "StrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\n"
        f"SetEnv DOCKER_HOST=unix://{made.home}/docker.sock\n"
    )
    (folder / "ssh.conf").write_text(
        f"IdentityFile {folder}/user\nIdentitiesOnly yes\nUserKnownHostsFile {folder}/known\n"
    )
    # ssh takes its settings from the home that the system says, whatever HOME says.
    (folder / "bin").mkdir()
    (folder / "bin/ssh").write_text(f'#!/bin/sh\nexec {client} -F {folder}/ssh.conf "$@"\n')
    (folder / "bin/ssh").chmod(0o755)
    Path("/run/sshd").mkdir(exist_ok=True)
    with (folder / "log").open("w+") as log:
        command = [*made.inside, server, "-D", "-e", "-f", folder / "sshd.conf"]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log) as process:
            try:
                until(lambda: "Server listening" in (folder / "log").read_text() or process.poll() is not None, "sshd")
                assert process.poll() is None, (folder / "log").read_text()
                yield "ssh://root@127.0.0.1:2222", folder / "bin"
            finally:
                process.terminate()


def test_an_engine_on_another_machine_has_a_network_of_its_own(elsewhere, remote, tmp_path):
    """The port is published there, and reached at the address that DOCKER_HOST names."""
    script = tmp_path / "program.py"
    script.write_text(
        textwrap.dedent(f"""
        import json
        from jina import Deployment, Document, DocumentArray

        if __name__ == "__main__":
            with Deployment(uses="docker://{IMAGE}", name="probe", uses_with={{"suffix": "!"}}) as deployment:
                docs = deployment.post("/upper", DocumentArray([Document(text="a")]))
                told = json.loads(deployment.post("/about", docs).texts[0])
                print("answer:", docs.texts, told["env"]["HOSTNAME"][:2] != "")
    """)
    )
    done = subprocess.run(
        [*elsewhere.inside, sys.executable, script],
        env=remote, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert "answer: ['A!'] True" in done.stdout, done.stdout + done.stderr
    assert containers(elsewhere) == []


OF_JINA_3 = f"""
import sys
from docarray import DocList
from docarray.documents import TextDoc
from jina import Deployment, Flow

if __name__ == "__main__":
    options = {{"uses": "docker://{IMAGE}", "name": "probe", "uses_with": {{"suffix": "!"}}}}
    with Flow().add(**options) if sys.argv[1] == "flow" else Deployment(**options) as service:
        docs = service.post("/upper", DocList[TextDoc]([TextDoc(text="a")]), return_type=DocList[TextDoc])
        print("answer:", docs.text)
"""


@pytest.mark.parametrize("kind", ["flow", "deployment"])
def test_jina_3_serves_an_image_of_ours(elsewhere, tmp_path, kind):
    """It asks the engine's bridge whether the container is ready, which lies in a network namespace here.

    Its gateway takes this machine for a container where there is a file /.dockerenv, and then has to know the name
    that a container has for the host.
    """
    if not JINA3.exists():
        pytest.skip("needs the environment of Jina 3 (scripts/env.sh jina3)")
    (tmp_path / "program.py").write_text(OF_JINA_3)
    (tmp_path / "hosts").write_text("127.0.0.1 localhost\n198.18.0.1 host.docker.internal\n")
    named = ["unshare", "--mount", "--", "sh", "-c", 'mount --bind "$1" /etc/hosts; shift; exec "$@"', "sh"]
    with (tmp_path / "output").open("w+") as output:
        process = subprocess.Popen(
            [*elsewhere.inside, *named, tmp_path / "hosts", JINA3, tmp_path / "program.py", kind],
            env=elsewhere.environment, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
        try:
            code = process.wait(WAIT)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # where it does not answer, processes of its own stay
            for name in containers(elsewhere):
                elsewhere.docker("rm", "--force", name)
        output.seek(0)
        assert (code, "answer: ['A!']" in (said := output.read())) == (0, True), said[-4000:]

"""With `reload` a service follows the file that describes it; what runs goes on until the new one is ready."""

import re
import threading
import time

import pytest
from tests.cli.running import serving

from jina import Client, Deployment, Document, Flow

WITHIN = 60.0
MODULE = """
from jina import DocumentArray, Executor, requests


class Word(Executor):
    def __init__(self, word='', **kwargs):
        super().__init__(**kwargs)
        self.word = word

    @requests
    def tell(self, docs: DocumentArray, **kwargs):
        for doc in docs:
            doc.text += self.word
"""
FLOW = """
jtype: Flow
with: {{host: 127.0.0.1}}
executors:
  - {{uses: Word, name: first, py_modules: [word.py], uses_with: {{word: "{word}"}}}}
"""
DEPLOYMENT = """
jtype: Deployment
with: {{host: 127.0.0.1, uses: Word, name: word, py_modules: [word.py], uses_with: {{word: "{word}"}}}}
"""
EXECUTOR = """
jtype: Word
py_modules: [word.py]
with: {{word: "{word}"}}
"""
MORE = '  - {{uses: Word, name: second, py_modules: [word.py], uses_with: {{word: "!"}}}}\n'


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "word.py").write_text(MODULE)
    return tmp_path


def until_answered(post, wanted):
    """Ask until `wanted` is the answer; none may be missing meanwhile, or another one than those that were there."""
    deadline, seen = time.monotonic() + WITHIN, []
    while not seen or seen[-1] != wanted:
        assert time.monotonic() < deadline, f"never {wanted!r}, only {seen[-1:]}"
        said = post("/", Document(text="")).texts[0]
        if said not in seen:
            seen.append(said)
    return seen


@pytest.mark.parametrize("make", [Deployment, lambda **options: Flow().add(**options)], ids=["deployment", "flow"])
def test_a_service_becomes_another_in_place(make):
    """Changes that wait for their turn have hold of what it is, so that stays the same object."""
    one, other = make(name="word"), make(name="word", timeout_ready=7000)
    held = one._state
    assert one.spec != other.spec
    one._become(other)
    assert one._state is held
    assert one.spec == other.spec


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("flow", FLOW),
        pytest.param("deployment", DEPLOYMENT, marks=pytest.mark.slow),
        pytest.param("deployment", EXECUTOR, marks=pytest.mark.slow),
        ("executor", DEPLOYMENT),
        pytest.param("executor", EXECUTOR, marks=pytest.mark.slow),
    ],
    ids=["flow", "deployment", "deployment of an executor's", "executor of a deployment's", "executor"],
)
def test_commands_follow_the_yaml_that_they_serve(folder, command, text):
    file = folder / "it.yml"
    file.write_text(text.format(word="one"))
    with serving(command, "--uses", "it.yml", "--reload", cwd=folder) as service:
        address = service.address("grpc")
        with Client(host=address) as client:
            assert until_answered(client.post, "one") == ["one"]
            file.write_text(text.format(word="two"))
            assert until_answered(client.post, "two") == ["one", "two"]
        assert service.end() == 0
        assert len(set(re.findall(r"is ready: (\S+)", service.output))) == 1  # the ports stay


@pytest.mark.slow
def test_a_flow_that_blocks_follows_its_file_through_mistakes(folder, caplog):
    file = folder / "flow.yml"
    file.write_text(FLOW.format(word="one"))
    flow, stop = Flow.load_config(str(file), reload=True), threading.Event()
    with flow:
        blocking = threading.Thread(target=flow.block, args=(stop,))
        blocking.start()
        ports = flow.port
        assert until_answered(flow.post, "one") == ["one"]
        file.write_text(FLOW.format(word="two") + "  - {uses: NoSuchExecutor}\n")
        deadline = time.monotonic() + WITHIN
        while "waiting for the next change" not in caplog.text:
            assert time.monotonic() < deadline, caplog.text
            time.sleep(0.01)
        assert "NoSuchExecutor" in caplog.text
        assert flow.post("/", Document(text="")).texts == ["one"]
        file.write_text(FLOW.format(word="three") + MORE.format())
        assert until_answered(flow.post, "three!") == ["one", "three!"]
        assert (flow.port, len(flow.spec.steps)) == (ports, 2)
        (folder / "word.py").write_text(MODULE.replace("+= self.word", "+= self.word.upper()"))
        assert until_answered(flow.post, "THREE!")[-1] == "THREE!"
        stop.set()
        blocking.join(WITHIN)
        assert not blocking.is_alive()
    with pytest.raises(Exception, match="not started"):
        flow.post("/", Document())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["deployment", "flow"])
def test_new_code_answers_within_two_seconds(folder, kind):
    """On a machine that is busy, sooner than a start takes there: what all processes import is there already."""
    file = folder / "word.py"
    options = {"uses": "Word", "py_modules": [str(file)], "reload": True}
    began = time.monotonic()
    service = Deployment(host="127.0.0.1", **options) if kind == "deployment" else Flow(host="127.0.0.1").add(**options)
    with service:
        bound = max(2.0, time.monotonic() - began)
        took = []
        for number in range(4):
            file.write_text(MODULE.replace("+= self.word", f"+= '{number}'"))
            began = time.monotonic()
            until_answered(service.post, str(number))
            took.append(time.monotonic() - began)
            if took[-1] < bound:
                break
    assert min(took) < bound, f"{took} s, and {bound:.1f} s were allowed"


@pytest.mark.slow
def test_one_that_can_only_run_alone_makes_way(folder):
    """A stateful Deployment owns its folders: the old one ends first, and comes back where the new one fails."""
    pytest.importorskip("jina_raft", reason="the consensus agent is not built: make agent")
    file = folder / "it.yml"
    text = DEPLOYMENT.replace("name: word", f"name: word, stateful: true, workspace: '{folder}'")
    file.write_text(text.format(word="one"))
    with Deployment.load_config(str(file), reload=True) as deployment:
        assert deployment.post("/", Document(text="")).texts == ["one"]
        file.write_text(text.format(word="two"))
        deadline = time.monotonic() + WITHIN
        said = ""
        while said != "two":
            assert time.monotonic() < deadline
            try:
                said = deployment.post("/", Document(text="")).texts[0]
            except ConnectionError:
                said = "nobody"

"""Small projects: for each rule one in which it fires, and one in which it does not.

A file `program.py` is run, `flow.yml` and `deployment.yml` are served, `config.yml` is the Executor of a Deployment.
"""

from __future__ import annotations

from typing import NamedTuple

EXECUTOR = """\
from jina import DocumentArray, Executor, requests


class Shelf(Executor):
    @requests(on='/put')
    def put(self, docs: DocumentArray, **kwargs):
        return docs
"""
CONFIG = "jtype: Shelf\npy_modules: [shelf.py]\n"
FLOW = "jtype: Flow\nexecutors:\n  - name: shelf\n    uses: config.yml\n"


class Case(NamedTuple):
    """`fires` and `holds` are files; the finding stands at `line` of `path`, with `instead` in what is to be written."""

    rule: str
    path: str
    line: int
    fires: dict[str, str]
    holds: dict[str, str]
    instead: str = ""
    severity: str = "error"
    runs: bool = True
    """Whether both can be started here: an error must not start, all else must."""


def shelf(before: str, after: str) -> dict[str, str]:
    """The Executor with other text in it."""
    assert before in EXECUTOR
    return {"config.yml": CONFIG, "shelf.py": EXECUTOR.replace(before, after)}


def flow(more: str) -> dict[str, str]:
    return {"flow.yml": FLOW + more, "config.yml": CONFIG, "shelf.py": EXECUTOR}


PLAIN = {"config.yml": CONFIG, "shelf.py": EXECUTOR}
SIGNATURE = "def put(self, docs: DocumentArray, **kwargs):"
CASES = [
    Case("python-syntax", "shelf.py", 5, shelf("    @requests(", "    @@requests("), PLAIN),
    Case("yaml-syntax", "flow.yml", 5, flow("    uses: config.yml\n"), flow("")),
    Case("yaml-syntax", "flow.yml", 5, {**flow(""), "flow.yml": FLOW.replace("config.yml", "[config.yml")}, flow("")),
    Case(
        "jina-import", "shelf.py", 1, shelf("from jina import", "from jina.executors import Crafter\nfrom jina import"),
        shelf("from jina import", "from jina.serve.executors.decorators import write\nfrom jina import"),
        "from jina import Executor, requests",
    ),
    Case(
        "jina-import", "program.py", 1, {"program.py": "from jina.types.document import Document\n"},
        {"program.py": "try:\n    from jina.types.document import Document\nexcept ImportError:\n    pass\n"},
        "from jina import Document",
    ),
    Case(
        "docarray-import", "shelf.py", 1,
        shelf("from jina import DocumentArray, Executor", "from docarray import DocumentArray\nfrom jina import Executor"),
        shelf("from jina import DocumentArray", "from docarray import BaseDoc, DocList\nfrom jina import DocumentArray"),
        "from jina import DocumentArray",
    ),
    Case(
        "docarray-import", "program.py", 2, {"program.py": "import docarray\nprint(docarray.DocumentArray())\n"},
        {"program.py": "import docarray\nprint(docarray.DocList())\n"}, "from jina import DocumentArray",
    ),
    Case(
        "docarray-api", "program.py", 5,
        {"program.py": "from jina import DocumentArray\n\n\ndef show(paths):\n    return DocumentArray.from_files(paths)\n"},
        {"program.py": "from jina import DocumentArray\n\nprint(DocumentArray.empty(2))\n"}, severity="warning",
    ),
    Case(
        "not-available", "deployment.yml", 4,
        {**PLAIN, "deployment.yml": "jtype: Deployment\nwith:\n  uses: config.yml\n  docker_kwargs: {tty: true}\n"},
        {**PLAIN, "deployment.yml": "jtype: Deployment\nwith:\n  uses: config.yml\n  replicas: 2\n"},
    ),
    Case(
        "hub-uses", "flow.yml", 4, {"flow.yml": FLOW.replace("config.yml", "jinahub://Shelf/latest")}, flow(""),
        "py_modules",
    ),
    Case(
        "hub-uses", "program.py", 3,
        {"program.py": "from jina import Flow\n\nFlow().add(uses='jinahub+docker://Shelf').start()\n"},
        {"program.py": "from jina import Flow\n\nFlow().add(uses='docker://registry.example.org/shelf')\n"},
        "jina hub build",
    ),
    Case(
        "hub-uses", "program.py", 3,
        {"program.py": "from jina import Flow\n\nFlow().add(uses='jinaai+sandbox://ada/Shelf')\n"},
        {"program.py": "from jina import Flow\n\nFlow().add(uses='BaseExecutor')\n"},
    ),
    Case("executor-class", "shelf.py", 6, shelf(SIGNATURE, "def put(self, docs: DocumentArray):"), PLAIN, "**kwargs"),
    Case(
        "executor-class", "shelf.py", 6, shelf("on='/put'", "on='/metrics'"), shelf("on='/put'", "on='/measure'"),
        "choose another",
    ),
    Case(
        "executor-class", "shelf.py", 6, shelf("        return docs", "        yield from docs"),
        {"config.yml": CONFIG, "shelf.py": EXECUTOR.replace(SIGNATURE, "def put(self, doc, **kwargs):").replace("return docs", "yield doc")},
    ),
    Case("executor-class", "shelf.py", 6, shelf("docs: DocumentArray", "docs: list"), shelf("docs: DocumentArray", "docs")),
    Case(
        "executor-class", "shelf.py", 6, shelf("on='/put'", "where='/put'"), shelf("on='/put'", "on=['/put', '/add']"),
    ),
    Case(
        "executor-init", "shelf.py", 5,
        shelf("    @requests", "    def __init__(self, size=1):\n        super().__init__()\n\n    @requests"),
        shelf("    @requests", "    def __init__(self, size=1, **kwargs):\n        super().__init__(**kwargs)\n\n    @requests"),
        "def __init__(self, size=None, **kwargs)",
    ),
    Case(
        "executor-init", "shelf.py", 5,
        shelf("    @requests", "    def __init__(self, **kwargs):\n        self.size = 1\n\n    @requests"), PLAIN,
        "super().__init__(**kwargs)",
    ),
    Case(
        "type-checking-import", "shelf.py", 4,
        {"config.yml": CONFIG, "shelf.py": "from __future__ import annotations\nfrom typing import TYPE_CHECKING\n"
         "if TYPE_CHECKING:\n    from jina import DocumentArray\n" + EXECUTOR.replace("DocumentArray, ", "", 1)},
        {"config.yml": CONFIG, "shelf.py": "from __future__ import annotations\n" + EXECUTOR},
    ),
    Case("unknown-option", "flow.yml", 5, flow("    replicaz: 2\n"), flow("    replicas: 2\n"), "replicas"),
    Case(
        "unknown-option", "program.py", 3, {"program.py": "from jina import Flow\n\nFlow(protcol='http')\n"},
        {"program.py": "from jina import Flow\n\nFlow(protocol='http')\n"}, "protocol",
    ),
    Case("wrong-value", "flow.yml", 5, flow("    replicas: none\n"), flow("    replicas: '2'\n")),
    Case(
        "wrong-value", "program.py", 3,
        {"program.py": "from jina import Flow\n\nFlow(port=[1234, 1235], protocol='http')\n"},
        {"program.py": "from jina import Flow\n\nFlow(port=[1234, 1235], protocol=['http', 'grpc'])\n"},
    ),
    Case("old-option", "flow.yml", 5, flow("    parallel: 2\n"), flow("    replicas: 2\n"), "replicas", "note"),
    Case(
        "old-option", "program.py", 3, {"program.py": "from jina import Flow\n\nFlow(port_expose=1234)\n"},
        {"program.py": "from jina import Flow\n\nFlow(port=1234)\n"}, "port", "note",
    ),
    Case(
        "unknown-option", "program.py", 3, {"program.py": "from jina import Flow\n\nFlow(return_results=True, name='f')\n"},
        {"program.py": "from jina import Flow\n\nFlow(name='f')\n"}, "earlier versions",
    ),
    Case(
        "unknown-option", "program.py", 5,
        {"program.py": "from jina import Client\n\n\ndef ask():\n    return Client().post('/', requst_size=3)\n"},
        {"program.py": "from jina import Client\n\n\ndef ask():\n    return Client().post('/', request_size=3, timeout=2)\n"},
        "request_size", "warning",
    ),
    Case(
        "without-effect", "flow.yml", 5, flow("    jcloud: {resources: {cpu: 1}}\n"), flow(""), severity="note",
    ),
    Case("without-effect", "flow.yml", 5, flow("    read_only: true\n"), flow(""), severity="note"),
    Case(
        "unknown-method", "program.py", 6,
        {"program.py": "from jina import Flow\n\n\ndef ask():\n    flow = Flow().add()\n    flow.rolling_update('a')\n"},
        {"program.py": "from jina import Flow\n\nflow = Flow().add(name='a')\nflow.save_config('f.yml')\n"},
        severity="warning",
    ),
    Case(
        "docarray-api", "program.py", 5,
        {"program.py": "from jina import DocumentArray\n\n\ndef keep():\n    return DocumentArray(storage='sqlite')\n"},
        {"program.py": "from jina import Document, DocumentArray\n\nprint(DocumentArray([Document()]))\n"}, "docarray.index",
        severity="warning",
    ),
    Case("flow-graph", "flow.yml", 3, flow("    needs: [shelve]\n"), flow("    needs: [gateway]\n")),
    Case(
        "missing-file", "config.yml", 2, {**PLAIN, "config.yml": CONFIG.replace("shelf.py", "shelves.py")}, PLAIN
    ),
    Case(
        "missing-variable", "flow.yml", 5, flow("    env: {PLACE: '${{ ENV.JINA_TEST_UNSET }}'}\n"),
        flow("    env: {PLACE: '${{ ENV.PATH }}'}\n"), "export JINA_TEST_UNSET", "note", runs=False,
    ),
    Case(
        "unknown-endpoint", "program.py", 5,
        {"shelf.py": EXECUTOR, "program.py": "from jina import Flow\n\n\ndef ask(flow: Flow = Flow()):\n    Flow().post('/pud')\n"},
        {"shelf.py": EXECUTOR, "program.py": "from jina import Flow\n\n\ndef ask():\n    Flow().post('/put')\n"},
        "/put", "warning",
    ),
    Case(
        "unknown-command", "Dockerfile", 2, {"Dockerfile": 'FROM python:3.12\nENTRYPOINT ["jina", "pod", "--uses", "x"]\n'},
        {"Dockerfile": 'FROM python:3.12\nENTRYPOINT ["jina", "executor", "--uses", "config.yml"]\n'}, "jina executor",
        runs=False,
    ),
    Case(
        "jina-requirement", "requirements.txt", 2, {"requirements.txt": "rich\njina[standard]==3.14.1  # serving\n"},
        {"requirements.txt": "rich\nrejina\njinads\n"}, "rejina", runs=False,
    ),
    Case(
        "jina-requirement", "Dockerfile", 1, {"Dockerfile": "FROM jinaai/jina:3-py38\n"},
        {"Dockerfile": "FROM python:3.12-slim\n"}, runs=False,
    ),
    Case(
        "other-requirement", "requirements.txt", 1, {"requirements.txt": "docarray[common]<0.30\n"},
        {"requirements.txt": "docarray[common]>=0.30\n"}, "docarray[common]>=0.41", runs=False,
    ),
    Case(
        "python-version", "Dockerfile", 1, {"Dockerfile": "FROM python:3.7-slim\n"},
        {"Dockerfile": "FROM python:3.11-slim\n"}, "python:3.12", runs=False,
    ),
    Case(
        "not-read", "shelf.py", 1, {**PLAIN, "shelf.py": EXECUTOR + "# " + "x" * (1 << 20)}, PLAIN, severity="note",
        runs=False,
    ),
]  # fmt: skip
FIXES = [
    ("a.py", "from jina import Flow\nFlow(read_only=1, sse_logger=2, name='a', output_type=3)\n",
     "from jina import Flow\nFlow(name='a')\n"),
    ("a.py", "from jina import Flow\nFlow(\n    read_only=1,\n    name='a',\n    log_sse=2,  # why\n)\n",
     "from jina import Flow\nFlow(\n    name='a',\n    # why\n)\n"),
    ("a.py", "from jina import Flow\nFlow(read_only=True)\n", "from jina import Flow\nFlow()\n"),
    ("a.py", "from jina import Flow\nFlow(read_only=len('x'))\n", "from jina import Flow\nFlow(read_only=len('x'))\n"),
    ("Dockerfile", "RUN pip install -U docarray==0.21 jina~=3.0\n", "RUN pip install -U 'docarray>=0.41' rejina\n"),
    ("Dockerfile", 'RUN ["pip", "install", "docarray==0.21"]\n', 'RUN ["pip", "install", "docarray>=0.41"]\n'),
    ("run.sh", "pip install 'docarray<0.30' \"jina<4\"\n", "pip install 'docarray>=0.41' \"rejina\"\n"),
    ("setup.py", "install_requires=['jina>=3', 'docarray==0.2']\n", "install_requires=['rejina', 'docarray>=0.41']\n"),
    ("flow.yml", "jtype: Flow\npods:\n  - name: a\n    parallel: 2\n", "jtype: Flow\nexecutors:\n  - name: a\n    replicas: 2\n"),
    ("a.py", "try:\n    from docarray import DocumentArray\nexcept ImportError:\n    from jina import DocumentArray\n", ""),
]  # fmt: skip
"""Name, text before, text after `--fix`; empty where nothing changes."""

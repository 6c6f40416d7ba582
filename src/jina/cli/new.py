"""`jina new`: a project that starts as it is."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from jina.errors import ConfigError

EXECUTOR = '''\
from docarray import DocList
from docarray.documents import TextDoc

from jina import Executor, requests


class MyExecutor(Executor):
    """Fills in the texts of two documents."""

    @requests
    def foo(self, docs: DocList[TextDoc], **kwargs) -> DocList[TextDoc]:
        docs[0].text = 'hello, world!'
        docs[1].text = 'goodbye, world!'
        return docs
'''
CONFIG = "jtype: MyExecutor\npy_modules:\n  - executor.py\n"
DEPLOYMENT = """\
jtype: Deployment
with:
  name: toyExecutor
  uses: executor1/config.yml
  protocol: [grpc, http]
  port: [54321, 54322]
"""
FLOW = """\
jtype: Flow
version: '1'
gateway:
  protocol: [grpc, http, websocket]
  port: [54321, 54322, 54323]
executors:
  - name: toyExecutor
    uses: executor1/config.yml
"""
CLIENT = """\
from docarray import DocList
from docarray.documents import TextDoc

from jina import Client

if __name__ == '__main__':
    client = Client(host='grpc://localhost:54321')
    docs = client.post('/', DocList[TextDoc]([TextDoc(), TextDoc()]), return_type=DocList[TextDoc])
    print([doc.text for doc in docs])
"""
SHARED = {
    "client.py": CLIENT,
    "executor1/config.yml": CONFIG,
    "executor1/executor.py": EXECUTOR,
    "executor1/requirements.txt": "",
}
PROJECTS = {
    "flow": {"flow.yml": FLOW, **SHARED},
    "deployment": {"deployment.yml": DEPLOYMENT, **SHARED},
}
"""The files of each kind of project."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Name and kind of the project."""
    parser.add_argument("name", nargs="?", default="hello-jina", help="folder to create [default: hello-jina]")
    parser.add_argument("--type", choices=tuple(PROJECTS), default="flow", help="kind of the project [default: flow]")


def run(options: argparse.Namespace) -> int:
    """Write the project into a folder that does not exist yet."""
    folder = Path(options.name)
    if folder.exists():
        raise ConfigError(f"{folder} exists already", help="choose another name")
    for name, text in PROJECTS[options.type].items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        print(file)
    start = f"jina {options.type} --uses {options.type}.yml"
    print(f"\ncd {folder}; {start}   # then, elsewhere: python client.py", file=sys.stderr)
    return 0

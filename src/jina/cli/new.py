"""`jina new`: a project that starts as it is."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from jina.errors import ConfigError, NotSupportedError

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
CLIENT = """\
from docarray import DocList
from docarray.documents import TextDoc

from jina import Client

if __name__ == '__main__':
    client = Client(host='grpc://localhost:54321')
    docs = client.post('/', DocList[TextDoc]([TextDoc(), TextDoc()]), return_type=DocList[TextDoc])
    print([doc.text for doc in docs])
"""
FILES = {
    "deployment.yml": DEPLOYMENT,
    "client.py": CLIENT,
    "executor1/config.yml": CONFIG,
    "executor1/executor.py": EXECUTOR,
    "executor1/requirements.txt": "",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Name and kind of the project."""
    parser.add_argument("name", nargs="?", default="hello-jina", help="folder to create [default: hello-jina]")
    parser.add_argument("--type", choices=("deployment", "flow"), default="deployment", help="kind of the project")


def run(options: argparse.Namespace) -> int:
    """Write the project into a folder that does not exist yet."""
    if options.type == "flow":
        raise NotSupportedError("new: projects with a Flow are not available yet", help="jina new --type deployment")
    folder = Path(options.name)
    if folder.exists():
        raise ConfigError(f"{folder} exists already", help="choose another name")
    for name, text in FILES.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        print(file)
    print(
        f"\ncd {folder}; jina deployment --uses deployment.yml   # then, elsewhere: python client.py", file=sys.stderr
    )
    return 0

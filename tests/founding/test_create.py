"""Creating an Executor with `jina hub new`."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from jina import Client, Deployment, Document, Executor
from tests.founding.marks import sentence
from tests.founding.programs import JINA, serving
from tests.founding.users import Undecorated

DOCS = Path(__file__).parents[2] / "docs"

BOILERPLATE = """
from jina import DocumentArray, Executor, requests

class MyExecutor(Executor):
    @requests
    def foo(self, docs: DocumentArray, **kwargs):
        pass
"""


def hub_new(folder, answers, *options):
    done = subprocess.run(
        [JINA, "hub", "new", *options],
        cwd=folder,
        input=answers,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """What the wizard writes for a person who gives a name, takes the folder, and wants nothing advanced."""
    folder = tmp_path_factory.mktemp("hub")
    tree = hub_new(folder, "MyExecutor\n\nn\n")
    assert "├── config.yml" in tree
    assert "└── requirements.txt" in tree
    return folder / "MyExecutor"


@sentence(14, 15, 16, 17, 18, 19, 75)
def test_the_command_writes_the_structure(package):
    assert sorted(file.name for file in package.iterdir()) == [
        "README.md",
        "config.yml",
        "executor.py",
        "requirements.txt",
    ]


@sentence(20, 21, 22)
def test_the_boilerplate(package):
    code = (package / "executor.py").read_text()
    assert ast.dump(ast.parse(code)) == ast.dump(ast.parse(BOILERPLATE))


@sentence(22)
def test_the_boilerplate_without_a_decorated_function_passes_documents_through():
    with Deployment(uses=Undecorated, protocol=["grpc", "http", "websocket"], host="127.0.0.1", quiet=True) as served:
        for protocol, port in zip(served.protocols, served.ports, strict=True):
            with Client(host="127.0.0.1", port=port, protocol=protocol) as client:
                (doc,) = client.post("/anything", Document(id="1", text="as it is", tags={"a": [1, None]}))
                assert (doc.id, doc.text, doc.tags) == ("1", "as it is", {"a": [1, None]})


@sentence(23, 33)
def test_arguments_of_the_constructor_go_under_with(package, tmp_path):
    code = BOILERPLATE.replace(
        "    @requests",
        "    def __init__(self, foo: str = 'none', **kwargs):\n"
        "        super().__init__(**kwargs)\n"
        "        self.foo = foo\n\n"
        "    @requests",
    )
    (tmp_path / "executor.py").write_text(code)
    config = yaml.safe_load((package / "config.yml").read_text())
    (tmp_path / "config.yml").write_text(yaml.safe_dump({**config, "with": {"foo": "from YAML"}}))
    made = Executor.load_config(str(tmp_path / "config.yml"))
    assert (type(made).__name__, made.foo) == ("MyExecutor", "from YAML")
    again = Executor.load_config(str(tmp_path / "config.yml"), uses_with={"foo": "overridden"})
    assert again.foo == "overridden"


@pytest.mark.slow
@sentence(24, 76)
def test_the_dockerfile_is_generated_from_the_package(tmp_path):
    hub_new(tmp_path, "", "--name", "MyExecutor")
    package = tmp_path / "MyExecutor"
    assert (package / "requirements.txt").read_text() == ""
    (package / "requirements.txt").write_text("thing @ git+https://example.org/thing.git\n")
    done = subprocess.run([JINA, "hub", "build", "--dockerfile-only", str(package)], timeout=50, check=False)
    assert done.returncode == 0
    dockerfile = (package / "Dockerfile").read_text()
    assert re.search(r"pip install .*-r requirements\.txt", dockerfile)
    assert re.search(r"apt-get install .*\bgit\b", dockerfile)  # the requirements need it
    assert (
        dockerfile.index("COPY requirements.txt")
        < dockerfile.index("pip install")
        < dockerfile.index("COPY --from=package --chown")
    )


@pytest.mark.slow
@sentence(3, 25, 74)
def test_the_readme_tells_how_to_use_it(package, tmp_path):
    """Its command starts the package, and its program calls it."""
    readme = (package / "README.md").read_text()
    (command,) = re.findall(r"```bash\n(jina .*)\n```", readme)
    (program,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    words = [word for word in command.split()[1:] if word not in {"--port", "54321"}]
    with serving(*words, "--host", "127.0.0.1", cwd=package, home=tmp_path) as service:
        port = service.address("grpc").rpartition(":")[2]
        done = subprocess.run(
            [sys.executable, "-c", program.replace("54321", port)],
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
            env={**os.environ, "HOME": str(tmp_path)},
        )
        assert (done.stdout, done.stderr) == ("['hello']\n", "")


@pytest.mark.slow
@sentence(77)
def test_four_dockerfile_templates_can_be_chosen(tmp_path):
    made = {}
    for number, template in enumerate(("cpu", "tf-gpu", "torch-gpu", "jax-gpu")):
        hub_new(tmp_path, f"Number{number}\n\ny\n{template}\n\n\n\n")
        made[template] = (tmp_path / f"Number{number}" / "Dockerfile").read_text()
    assert len(set(made.values())) == 4
    assert "tensorflow" in made["tf-gpu"]
    assert "torch" in made["torch-gpu"]
    assert "jax" in made["jax-gpu"]


@sentence(2, 10)
def test_the_pages_that_are_referred_to_exist():
    assert "## Endpoints" in (DOCS / "how-to" / "write-an-executor.md").read_text()
    assert "docarray.DocList" in (DOCS / "reference" / "documents.md").read_text()

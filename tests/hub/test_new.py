"""`jina hub new`: the package it writes, and the wizard that asks."""

from __future__ import annotations

import importlib.util
import io
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from jina.errors import ConfigError, UsageError
from jina.hub.dockerfiles import LOADED, TEMPLATES, Run, default_base, dockerfile, dockerignore, package_dockerfile
from jina.hub.wizard import Prompt, new_package


def answers(*lines: str) -> Prompt:
    return Prompt(io.StringIO("".join(line + "\n" for line in lines)), io.StringIO())


def test_flags_alone_ask_nothing(tmp_path):
    package = new_package(name="MyExec", path=str(tmp_path / "x"), prompt=answers())
    assert sorted(f.name for f in (tmp_path / "x").iterdir()) == [
        "README.md", "config.yml", "executor.py", "requirements.txt",
    ]  # fmt: skip
    assert package.dockerfile == ""


def test_the_boilerplate_of_the_founding_text(tmp_path):
    new_package(name="MyExecutor", path=str(tmp_path), prompt=answers())
    code = (tmp_path / "executor.py").read_text()
    assert code.startswith("from jina import DocumentArray, Executor, requests\n")
    assert "class MyExecutor(Executor):" in code
    assert "    def foo(self, docs: DocumentArray, **kwargs):" in code
    compile(code, "executor.py", "exec")


def test_the_wizard_asks_in_order(tmp_path):
    prompt = answers("Searcher", str(tmp_path / "s"), "y", "jax-gpu", 'Finds "things": fast', "a, b,", "http://u")
    package = new_package(prompt=prompt)
    config = yaml.safe_load((tmp_path / "s" / "config.yml").read_text())
    assert config == {
        "jtype": "Searcher",
        "py_modules": ["executor.py"],
        "metas": {
            "name": "Searcher", "description": 'Finds "things": fast', "url": "http://u", "keywords": ["a", "b"],
        },
    }  # fmt: skip
    assert package.dockerfile == "jax-gpu"
    compile((tmp_path / "s" / "executor.py").read_text(), "executor.py", "exec")


def test_an_empty_line_takes_the_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    package = new_package(prompt=answers("", "", ""))
    assert package.name == "MyExecutor"
    assert (tmp_path / "MyExecutor" / "executor.py").exists()
    assert not (tmp_path / "MyExecutor" / "Dockerfile").exists()


def test_the_end_of_input_is_one_clear_error():
    with pytest.raises(UsageError, match="no answer to 'Name of the Executor'"):
        new_package(prompt=answers())


@pytest.mark.parametrize("name", ["Executor", "requests", "DocumentArray"])
def test_a_name_must_not_be_one_that_the_module_imports(name, tmp_path):
    with pytest.raises(ConfigError, match=f"imports {name} from jina"):
        new_package(name=name, path=str(tmp_path / "x"), prompt=answers())


@pytest.mark.parametrize("text", ["two\nlines", "a\x85b\u2028c\x7f", 'quotes " and \\', "Größe 😀", "a: b # c"])
def test_any_description_is_kept(text, tmp_path):
    new_package(name="X", path=str(tmp_path), description=text, url=text, keywords="a,b", prompt=answers())
    metas = yaml.safe_load((tmp_path / "config.yml").read_text())["metas"]
    assert (metas["description"], metas["url"], metas["keywords"]) == (text, text, ["a", "b"])
    values: dict[str, object] = {}
    exec((tmp_path / "executor.py").read_text(), values)
    assert values["X"].__doc__ == text


def test_a_link_is_not_written_through_and_a_file_is_no_folder(tmp_path):
    (tmp_path / "config.yml").symlink_to(tmp_path / "elsewhere.yml")
    with pytest.raises(ConfigError, match=r"config\.yml exist already"):
        new_package(name="X", path=str(tmp_path), prompt=answers())
    assert not (tmp_path / "elsewhere.yml").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is a file, not a folder"):
        new_package(name="X", path=str(tmp_path / "file"), prompt=answers())
    with pytest.raises(ConfigError, match="Not a directory"):
        new_package(name="X", path=str(tmp_path / "file/x"), prompt=answers())


@pytest.mark.parametrize("name", ["my-exec", "1st", "class", ""])
def test_a_name_must_name_a_class(name, tmp_path):
    with pytest.raises(ConfigError, match="cannot name a Python class"):
        new_package(name=name, path=str(tmp_path / "x"), prompt=answers())
    assert not (tmp_path / "x").exists()


def test_an_unknown_template_names_the_nearest(tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'torch-gpu'"):
        new_package(name="X", path=str(tmp_path / "x"), dockerfile="torchgpu", advanced=False, prompt=answers())
    assert not (tmp_path / "x").exists()


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "executor.py").write_text("precious")
    with pytest.raises(ConfigError, match=r"executor\.py exist already"):
        new_package(name="X", path=str(tmp_path), prompt=answers())
    assert (tmp_path / "executor.py").read_text() == "precious"
    assert not (tmp_path / "config.yml").exists()


def test_the_four_templates_differ_in_their_base():
    bases = {name: [line for line in dockerfile(name).splitlines() if line.endswith(" AS base")] for name in TEMPLATES}
    assert set(TEMPLATES) == {"cpu", "torch-gpu", "tf-gpu", "jax-gpu"}
    assert all(len(lines) == 1 for lines in bases.values())
    assert len({lines[0] for lines in bases.values()}) == 4
    assert "jax[cuda12]" in dockerfile("jax-gpu")


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_promises_of_a_dockerfile(name):
    lines = dockerfile(name).splitlines()
    at = {key: next(i for i, line in enumerate(lines) if line.startswith(key)) for key in
          ("COPY requirements.txt", "COPY --from=package", "USER", "HEALTHCHECK", "ENTRYPOINT [")}  # fmt: skip
    assert at["COPY requirements.txt"] < at["COPY --from=package"] < at["USER"] < at["ENTRYPOINT ["]
    assert lines[at["USER"]] != "USER root"
    assert "${JINA_PACKAGE}" in dockerfile(name)
    assert lines[at["COPY requirements.txt"]] == "COPY requirements.txt wheels* ./"  # before they are installed
    assert next(i for i, line in enumerate(lines) if "pip install" in line) > at["COPY requirements.txt"]
    assert "wheels" not in dockerignore()
    assert "--port" not in lines[at["ENTRYPOINT ["]]  # one given to `docker run` would be a second one
    assert lines[-1] == 'CMD ["--port", "8080"]'
    final = len(lines) - lines[::-1].index("FROM base")
    assert "RUN rm -rf /workdir/wheels" in lines[:final]
    assert not [line for line in lines[final:] if line.startswith("COPY . ")]  # the wheels would be there twice


@pytest.mark.slow
@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("requirements", ["", "numpy\n", "thing @ git+https://example.org/thing.git\n"])
@pytest.mark.parametrize("buildkit", [False, True])
def test_hadolint_has_nothing_to_say(name, requirements, buildkit, tmp_path):
    hadolint = Path(sys.executable).with_name("hadolint")
    file = tmp_path / "Dockerfile"
    run = Run(protocols=["grpc", "http"]) if buildkit else Run()
    file.write_text(dockerfile(name, requirements=requirements, run=run, buildkit=buildkit))
    done = subprocess.run([hadolint, str(file)], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def packaged(folder: Path, files: dict[str, str]) -> Path:
    for name, text in {"config.yml": "jtype: X\n", **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


PROJECT = '[project]\nname = "x"\nversion = "1"\ndependencies = ["numpy"]\n'
FILES = {
    "pyproject": {"pyproject.toml": PROJECT},
    "locked": {"pyproject.toml": PROJECT, "uv.lock": "version = 1\n"},
    "included": {
        "requirements.txt": "-r requirements/base.txt\n-c limits.txt\n",
        "requirements/base.txt": "-r ../mehr-für-alle.txt\n",
        "mehr-für-alle.txt": "thing @ git+https://example.org/thing.git\n",
        "limits.txt": "numpy<3\n",
    },
}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("buildkit", [False, True])
@pytest.mark.parametrize("template", ["cpu", "jax-gpu"])
def test_whatever_says_what_a_package_requires_is_installed(kind, buildkit, template, tmp_path):
    text = package_dockerfile(packaged(tmp_path, FILES[kind]), template, buildkit=buildkit)
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, "-"], input=text, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    if kind == "included":
        assert "COPY requirements.txt mehr-für-alle.txt limits.txt wheels* ./" in text
        assert "COPY requirements/base.txt ./requirements/" in text
        assert " git " in text
    elif kind == "pyproject":
        assert "COPY requirements.txt pyproject.toml wheels* ./" in text
        assert "> project.txt" in text
        assert "-r requirements.txt -r project.txt" in text
    else:
        assert "COPY requirements.txt pyproject.toml uv.lock wheels* ./" in text
        assert "/tmp/uv/bin/uv export --quiet --frozen" in text
        assert "-r requirements.txt -r locked.txt" in text
        assert text.count("rm -rf /tmp/uv") == 1


def test_what_pip_is_told_of_a_project_are_its_dependencies(tmp_path):
    packaged(tmp_path, FILES["pyproject"])
    (program,) = re.findall(r'-c "(import tomllib.*?)" >', package_dockerfile(tmp_path))
    done = subprocess.run(
        ["sh", "-c", f'{shlex.quote(sys.executable)} -c "{program}"'],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout == "numpy\n"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("-e .", r"requirements\.txt:2: '-e \.' is a path"),
        ("./libs/thing", "is a path, which is not there when an image is built"),
        ("thing @ ./libs/thing", "is a path"),
        ("-r missing.txt", r"requirements\.txt:2: .*missing\.txt: No such file"),
        ("-r ../other.txt", "is not in the package"),
        ("--constraint=/etc/limits.txt", "is not in the package"),
    ],
)
def test_a_requirement_that_no_image_can_take_is_named(line, message, tmp_path):
    packaged(tmp_path, {"requirements.txt": f"numpy\n{line}\n"})
    with pytest.raises(ConfigError, match=message):
        package_dockerfile(tmp_path)


def test_files_that_include_each_other_end(tmp_path):
    packaged(tmp_path, {"requirements.txt": "-r a.txt\n", "a.txt": "-r requirements.txt\n-r a.txt\nnumpy\n"})
    assert "COPY requirements.txt a.txt wheels* ./" in package_dockerfile(tmp_path)


def test_the_modules_of_a_worker_are_there():
    assert all(importlib.util.find_spec(name) for name in LOADED)


def test_protocols_decide_ports_and_health_check(tmp_path):
    (tmp_path / "config.yaml").write_text("jtype: X\n")
    lines = package_dockerfile(tmp_path, protocols=["http"]).splitlines()
    assert '    CMD ["jina", "ping", "executor", "http://127.0.0.1:8080"]' in lines
    assert lines[-1] == 'CMD ["--protocol", "http", "--port", "8080"]'
    assert 'ENTRYPOINT ["jina", "executor", "--uses", "config.yaml"]' in lines
    lines = package_dockerfile(tmp_path, protocols=["grpc", "websocket"]).splitlines()
    assert "EXPOSE 8080 8081" in lines
    asked = "jina ping executor grpc://127.0.0.1:8080 && jina ping executor ws://127.0.0.1:8081"
    assert f'    CMD ["sh", "-c", "{asked}"]' in lines


def test_a_base_can_be_given_by_its_digest(tmp_path):
    (tmp_path / "config.yml").write_text("jtype: X\n")
    name = f"python:3.12-slim@sha256:{'a' * 64}"
    assert f"FROM {name} AS base" in package_dockerfile(tmp_path, base=name).splitlines()
    assert default_base("cpu") == "python:3.12-slim"
    assert default_base("torch-gpu").startswith("pytorch/pytorch:2")


def test_requirements_decide_the_system_packages(tmp_path):
    (tmp_path / "config.yml").write_text("jtype: X\n")
    (tmp_path / "requirements.txt").write_text("# git+ in a comment\nnumpy\n")
    assert "apt-get" not in package_dockerfile(tmp_path)
    (tmp_path / "requirements.txt").write_text("thing @ git+https://example.org/thing.git\n")
    assert "install -y --no-install-recommends git " in package_dockerfile(tmp_path)

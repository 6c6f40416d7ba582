"""The folder of an Executor package: executor.py, config.yml, README.md, requirements.txt, maybe a Dockerfile."""

from __future__ import annotations

import json
import keyword
from dataclasses import dataclass, field
from pathlib import Path

from jina.errors import ConfigError
from jina.hub.dockerfiles import dockerfile, dockerignore


@dataclass(frozen=True, kw_only=True)
class Package:
    """What the wizard asked for. `dockerfile` names a template, or is empty for none."""

    name: str
    path: Path
    description: str = ""
    keywords: tuple[str, ...] = ()
    url: str = ""
    dockerfile: str = ""
    files: dict[str, str] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        check_name(self.name)
        self.files.update(
            {
                "executor.py": _executor(self.name, self.description),
                "config.yml": _config(self),
                "README.md": _readme(self.name, self.description),
                "requirements.txt": "",
            }
        )
        if self.dockerfile:
            self.files["Dockerfile"] = dockerfile(self.dockerfile)
            self.files[".dockerignore"] = dockerignore()

    def write(self) -> list[Path]:
        """Write the files; raises `ConfigError` rather than overwrite one."""
        taken = [name for name in self.files if (self.path / name).exists()]
        if taken:
            raise ConfigError(
                f"{self.path}: {', '.join(taken)} exist already", help="choose another --path, or move the files away"
            )
        self.path.mkdir(parents=True, exist_ok=True)
        for name, text in self.files.items():
            (self.path / name).write_text(text, encoding="utf-8")
        return [self.path / name for name in self.files]


def check_name(name: str) -> str:
    """The name, if it can name a Python class; raises `ConfigError` otherwise."""
    if not name.isidentifier() or keyword.iskeyword(name):
        raise ConfigError(
            f"name: {name!r} cannot name a Python class", help="use letters, digits and _, such as MyExecutor"
        )
    return name


def _executor(name: str, description: str) -> str:
    docstring = f"    {json.dumps(description, ensure_ascii=False)}\n\n" if description else ""
    return (
        "from jina import DocumentArray, Executor, requests\n"
        "\n\n"
        f"class {name}(Executor):\n"
        f"{docstring}"
        "    @requests\n"
        "    def foo(self, docs: DocumentArray, **kwargs):\n"
        "        pass\n"
    )


def _config(package: Package) -> str:
    # JSON strings are YAML strings, whatever is in them.
    quoted = {key: json.dumps(value, ensure_ascii=False) for key, value in
              (("description", package.description), ("url", package.url))}  # fmt: skip
    keywords = json.dumps(list(package.keywords), ensure_ascii=False)
    return (
        f"jtype: {package.name}\n"
        "# Arguments of __init__ go under `with`:\n"
        "# with:\n"
        "#   foo: 1\n"
        "py_modules:\n"
        "  - executor.py\n"
        "metas:\n"
        f"  name: {package.name}\n"
        f"  description: {quoted['description']}\n"
        f"  url: {quoted['url']}\n"
        f"  keywords: {keywords}\n"
    )


def _readme(name: str, description: str) -> str:
    return (
        f"# {name}\n\n"
        + (f"{description}\n\n" if description else "")
        + "Start it:\n\n```bash\njina executor --uses config.yml --port 54321\n```\n\n"
        "Call it:\n\n```python\n"
        "from jina import Client, Document\n\n"
        "docs = Client(port=54321).post('/', Document(text='hello'))\n"
        "print(docs.texts)\n```\n"
    )

"""`jina hub new`: asks for what the command line did not say, then writes the package: executor.py, config.yml, ..."""

from __future__ import annotations

import json
import keyword
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from jina.errors import ConfigError, UsageError, nearest
from jina.hub.dockerfiles import TEMPLATES, dockerfile, dockerignore

Ask = Callable[[str, str], str]


@dataclass(frozen=True, kw_only=True)
class NewPackage:
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
        if self.path.exists() and not self.path.is_dir():
            raise ConfigError(f"{self.path} is a file, not a folder", help="choose another --path")
        taken = [name for name in self.files if os.path.lexists(self.path / name)]
        if taken:
            raise ConfigError(
                f"{self.path}: {', '.join(taken)} exist already", help="choose another --path, or move the files away"
            )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for name, text in self.files.items():
                (self.path / name).write_text(text, encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"{error.filename}: {error.strerror}", help="choose another --path") from error
        return [self.path / name for name in self.files]


def check_name(name: str) -> str:
    """The name, if it can name a Python class; raises `ConfigError` otherwise."""
    if not name.isidentifier() or keyword.iskeyword(name):
        raise ConfigError(
            f"name: {name!r} cannot name a Python class", help="use letters, digits and _, such as MyExecutor"
        )
    if name in _IMPORTED:
        raise ConfigError(f"name: executor.py imports {name} from jina", help="choose another, such as MyExecutor")
    return name


_IMPORTED = frozenset({"DocumentArray", "Executor", "requests"})


def _quoted(text: str) -> str:
    """A text in double quotes as JSON, Python and YAML read it, whatever is in it."""
    # YAML takes other line ends than JSON for such, and refuses control characters.
    return json.dumps(text, ensure_ascii=not text.isprintable())


def _executor(name: str, description: str) -> str:
    docstring = f"    {_quoted(description)}\n\n" if description else ""
    return (
        "from jina import DocumentArray, Executor, requests\n"
        "\n\n"
        f"class {name}(Executor):\n"
        f"{docstring}"
        "    @requests\n"
        "    def foo(self, docs: DocumentArray, **kwargs):\n"
        "        pass\n"
    )


def _config(package: NewPackage) -> str:
    quoted = {"description": _quoted(package.description), "url": _quoted(package.url)}
    keywords = f"[{', '.join(map(_quoted, package.keywords))}]"
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


class Prompt:
    """Reads answers, one line each; an empty line takes the default."""

    def __init__(self, source: TextIO | None = None, out: TextIO | None = None) -> None:
        self.source = source or sys.stdin
        self.out = out or sys.stderr

    def say(self, text: str = "") -> None:
        """Print a line for the person."""
        self.out.write(text + "\n")

    def ask(self, question: str, default: str = "", check: Callable[[str], str] = str) -> str:
        """One answer; asked again while `check` refuses it, where the input is a terminal."""
        while True:
            self.out.write(f"{question}{f' [{default}]' if default else ''}: ")
            self.out.flush()
            line = self.source.readline()
            if not line:
                raise UsageError(
                    f"no answer to {question!r}: the input ended",
                    help="give every answer as an option: jina hub new --name MyExecutor --path ./MyExecutor",
                )
            try:
                return check(line.strip() or default)
            except ConfigError as error:
                if not self.source.isatty():
                    raise
                self.say(str(error))

    def yes(self, question: str) -> bool:
        """True for y or yes."""
        return self.ask(f"{question} (y/n)", "n").lower() in {"y", "yes"}


def check_template(name: str) -> str:
    """The name of a Dockerfile template, or empty for `none`; raises `ConfigError`."""
    if name in {"", "none"}:
        return ""
    if name not in TEMPLATES:
        near = nearest(name, TEMPLATES)
        raise ConfigError(
            f"dockerfile: no template {name!r}{f', did you mean {near!r}?' if near else ''}",
            help=f"choose one of {', '.join(TEMPLATES)}, none",
        )
    return name


def new_package(
    *,
    name: str | None = None,
    path: str | None = None,
    advanced: bool | None = None,
    description: str | None = None,
    keywords: str | None = None,
    url: str | None = None,
    dockerfile: str | None = None,
    prompt: Prompt | None = None,
) -> NewPackage:
    """Ask for what is None and write the package.

    `advanced` None asks whether to go on to the advanced part, unless one of its answers was given.
    """
    prompt = prompt or Prompt()
    asked_name = name is None
    name = check_name(name) if name is not None else prompt.ask("Name of the Executor", "MyExecutor", check_name)
    if path is None:
        path = prompt.ask("Folder to write it to", f"./{name}") if asked_name else f"./{name}"
    given = any(value is not None for value in (description, keywords, url, dockerfile))
    if advanced is None:
        advanced = (
            asked_name
            and not given
            and prompt.yes("That is enough. Go on to the advanced configuration (Dockerfile, description)?")
        )
    if advanced:
        dockerfile = dockerfile if dockerfile is not None else _ask_template(prompt)
        description = description if description is not None else prompt.ask("Description, one line")
        keywords = keywords if keywords is not None else prompt.ask("Keywords, separated by commas")
        url = url if url is not None else prompt.ask("URL of its home page")
    package = NewPackage(
        name=name,
        path=Path(path).expanduser(),
        description=description or "",
        keywords=tuple(word.strip() for word in (keywords or "").split(",") if word.strip()),
        url=url or "",
        dockerfile=check_template(dockerfile or ""),
    )
    package.write()
    return package


def _ask_template(prompt: Prompt) -> str:
    width = max(map(len, TEMPLATES))
    for template, about in TEMPLATES.items():
        prompt.say(f"  {template:<{width}}  {about.explanation}")
    prompt.say(f"  {'none':<{width}}  no Dockerfile")
    return prompt.ask("Dockerfile", "cpu", check_template)

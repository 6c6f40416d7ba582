"""Dockerfiles of Executor packages: dependencies before code, no root, a health check, SIGTERM to the worker.

Beside the Dockerfile, what stands in the folder `wheels` for it: the jina that writes it, as wheels.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from jina.errors import DISTRIBUTION, ConfigError
from jina.hub.packages import WHEELS, config_of
from jina.hub.requirements import requirement_lines

PORT = 8080
"""The port that an Executor listens on inside its container."""

UID = 10001
"""The user that it runs as: a number, so that a host can check that it is not root."""


_SCHEMES: Final = {"grpc": "grpc", "http": "http", "websocket": "ws"}
_SECOND: Final = 1_000_000_000
_TIMES: Final = {"Interval": 10, "Timeout": 10, "StartPeriod": 120}
"""Of the health check, in seconds."""
_RETRIES: Final = 3


@dataclass(frozen=True)
class Run:
    """What a container of the image runs, and how an engine sees whether it is well."""

    config: str = "config.yml"
    protocols: Sequence[str] = ("grpc",)

    @property
    def ports(self) -> list[int]:
        """One for each protocol."""
        return [PORT + number for number in range(len(self.protocols))]

    @property
    def entrypoint(self) -> list[str]:
        """The worker itself is process 1."""
        return ["jina", "executor", "--uses", self.config]

    @property
    def command(self) -> list[str]:
        """Arguments that those of `docker run` replace."""
        protocols = [] if list(self.protocols) == ["grpc"] else ["--protocol", *self.protocols]
        return [*protocols, "--port", *map(str, self.ports)]

    @property
    def test(self) -> list[str]:
        """Asks every protocol; as Docker's API has it."""
        hosts = [f"{_SCHEMES[one]}://127.0.0.1:{port}" for one, port in zip(self.protocols, self.ports, strict=True)]
        if len(hosts) == 1:
            return ["CMD", "jina", "ping", "executor", hosts[0]]
        return ["CMD", "sh", "-c", " && ".join(f"jina ping executor {host}" for host in hosts)]

    @property
    def healthcheck(self) -> dict[str, Any]:
        """As the configuration of an image holds it, with durations in nanoseconds."""
        return {"Test": self.test, **{name: seconds * _SECOND for name, seconds in _TIMES.items()}, "Retries": _RETRIES}


@dataclass(frozen=True)
class Template:
    """What differs between the templates: the base image and how Python gets there."""

    explanation: str
    base: str
    packages: tuple[str, ...] = ()
    """Debian packages that the base lacks."""
    python: str = "python"
    """The interpreter that installs."""
    requirements: tuple[str, ...] = ()
    """Python packages that the template promises beside the user's own."""


TEMPLATES: dict[str, Template] = {
    "cpu": Template("Python only: the smallest image", 'ARG PYTHON_VERSION="3.12"\nFROM python:${PYTHON_VERSION}-slim'),
    "torch-gpu": Template(
        "PyTorch with CUDA",
        'ARG TORCH_TAG="2.7.1-cuda12.8-cudnn9-runtime"\nFROM pytorch/pytorch:${TORCH_TAG}',
    ),
    "tf-gpu": Template(
        "TensorFlow with CUDA", 'ARG TENSORFLOW_TAG="2.19.0-gpu"\nFROM tensorflow/tensorflow:${TENSORFLOW_TAG}'
    ),
    "jax-gpu": Template(
        "JAX with CUDA",
        'ARG CUDA_TAG="12.9.1-cudnn-runtime-ubuntu24.04"\nFROM nvidia/cuda:${CUDA_TAG}',
        packages=("python3", "python3-venv"),
        python="/opt/venv/bin/python",
        requirements=("jax[cuda12]",),
    ),
}
"""The four templates by name."""

_VCS = re.compile(r"^\s*[^#]*\b(git|hg|svn|bzr)\+", re.MULTILINE)


@dataclass(frozen=True)
class Required:
    """What says what a package requires."""

    text: str = ""
    """Lines of requirements.txt and of what it includes: what they need decides the system packages."""
    files: Sequence[str] = ()
    """Beside requirements.txt: what it includes, pyproject.toml and uv.lock; paths below the folder."""

    @classmethod
    def of(cls, folder: Path) -> Required:
        """Read a package; raises `ConfigError` for a requirement that no image can take from the folder."""
        lines, included = [], []
        file = folder / "requirements.txt"
        for line in requirement_lines(str(file), below=str(folder)) if file.is_file() else ():
            if _LOCAL.match(line.text):
                raise ConfigError(
                    f"{line.place}: {line.text!r} is a path, which is not there when an image is built",
                    help=f"put a wheel of it into the folder {WHEELS} and write its name",
                )
            lines.append(line.text)
            included += [Path(os.path.relpath(line.included, folder)).as_posix()] if line.included else []
        found = [name for name in ("pyproject.toml", "uv.lock") if (folder / name).is_file()]
        return cls("\n".join(lines), [*found, *included])


_LOCAL = re.compile(r"\s*(?:-e\b|--editable\b|\.{1,2}/|\.(?:\[|\s|$)|[^#;]*@\s*\.{0,2}/)")


def dockerfile(
    template: str = "cpu",
    *,
    requirements: str = "",
    files: Sequence[str] = (),
    run: Run | None = None,
    base: str = "",
    buildkit: bool = False,
) -> str:
    """The Dockerfile of an Executor package.

    `requirements` is the text of its requirements.txt, and `files` are those beside it: see `Required`. `base` takes
    the place of the template's base image. With `buildkit` it is for builders that have cache mounts: BuildKit, podman.
    """
    chosen, run = TEMPLATES[template], run or Run()
    packages = (*chosen.packages, *(("git",) if _VCS.search(requirements) else ()))
    arguments, _, image = chosen.base.rpartition("FROM ")
    blocks = [
        f"# {chosen.explanation}.",
        f"FROM {base} AS base" if base else f"{arguments}FROM {image} AS base",
        "# The package without its wheels, which the image has below already.",
        "FROM base AS package",
        "COPY . /workdir/",
        f"RUN rm -rf /workdir/{WHEELS}",
        "FROM base",
        f"# What to install of jina: a requirement such as {DISTRIBUTION}[stateful], the address of a wheel, or the",
        f"# path of a wheel or of a folder of sources below {WHEELS}/, such as ./jina.",
        f'ARG JINA_PACKAGE="{DISTRIBUTION}>=4"',
        _environment(chosen),
        *_system(packages),
        _user(chosen),
        f"WORKDIR /opt/{WHEELS}",
        "# Dependencies change less often than code: a layer of their own, kept while requirements.txt and wheels are.",
        *_copies(files),
        _install(chosen, files, buildkit=buildkit),
        "WORKDIR /workdir",
        f"COPY --from=package --chown={UID} /workdir/ ./",
        f"USER {UID}",
        f"EXPOSE {' '.join(map(str, run.ports))}",
        _healthcheck(run),
        "# The exec form makes the worker PID 1, so that `docker stop` reaches it and close() is called.",
        f"ENTRYPOINT {json.dumps(run.entrypoint)}",
        "# Arguments of `docker run` after the name of the image take the place of these.",
        f"CMD {json.dumps(run.command)}",
    ]
    return "\n".join(blocks) + "\n"


def default_base(template: str) -> str:
    """The name of a template's base image, with the defaults of its arguments."""
    arguments = dict(re.findall(r'^ARG (\w+)="(.*)"$', TEMPLATES[template].base, re.MULTILINE))
    image = TEMPLATES[template].base.rpartition("FROM ")[2]
    return re.sub(r"\$\{(\w+)\}", lambda match: arguments[match[1]], image)


def _healthcheck(run: Run) -> str:
    check = json.dumps(run.test[1:])
    times = f"--interval={_TIMES['Interval']}s --timeout={_TIMES['Timeout']}s --start-period={_TIMES['StartPeriod']}s"
    return f"HEALTHCHECK {times} --retries={_RETRIES} \\\n    CMD {check}"


def dockerignore() -> str:
    """What no image needs."""
    return "\n".join([".git", ".venv", "__pycache__", "*.pyc", ".pytest_cache", "Dockerfile", ".dockerignore"]) + "\n"


def package_dockerfile(
    folder: Path,
    template: str = "cpu",
    *,
    protocols: Sequence[str] = ("grpc",),
    base: str = "",
    buildkit: bool = False,
) -> str:
    """The Dockerfile of the package in `folder`, from its configuration and requirements."""
    run, required = Run(config_of(folder), protocols), Required.of(folder)
    return dockerfile(template, requirements=required.text, files=required.files, run=run, base=base, buildkit=buildkit)


def _environment(template: Template) -> str:
    lines = ["ENV PYTHONUNBUFFERED=1", "PIP_NO_CACHE_DIR=1", "PIP_DISABLE_PIP_VERSION_CHECK=1"]
    if template.python.startswith("/opt/venv"):
        lines.append('PATH="/opt/venv/bin:$PATH"')
    return " \\\n    ".join(lines)


def _system(packages: tuple[str, ...]) -> list[str]:
    if not packages:
        return []
    return [
        "# hadolint ignore=DL3008",
        (
            "RUN apt-get update \\\n"
            f"    && apt-get install -y --no-install-recommends {' '.join(sorted(packages))} \\\n"
            "    && rm -rf /var/lib/apt/lists/*"
        ),
    ]


def _user(template: Template) -> str:
    create = f"useradd --create-home --uid {UID} executor"
    return f"RUN {'python3 -m venv /opt/venv && ' if template.python.startswith('/opt/venv') else ''}{create}"


def _copies(files: Sequence[str]) -> list[str]:
    """What is installed from, each file at its place."""
    folders: dict[str, list[str]] = {"": ["requirements.txt"]}
    for path in files:
        folder, _, _ = path.rpartition("/")
        folders.setdefault(folder, []).append(path)
    copies = []
    for folder, paths in folders.items():
        words = [*paths, *([] if folder else [f"{WHEELS}*"]), f"./{folder}/" if folder else "./"]
        plain = all(re.fullmatch(r"[\w./*+-]+", word) for word in words)
        copies.append(f"COPY {' '.join(words) if plain else json.dumps(words, ensure_ascii=False)}")
    return copies


_DEPENDENCIES: Final = (
    "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb')).get('project', {}).get('dependencies', []),"
    " sep='\\n')"
)
"""Prints what pyproject.toml requires, for pip, which only installs the project itself."""
_EXPORT: Final = "/tmp/uv/bin/uv export --quiet --frozen --no-emit-project --no-dev --no-hashes -o locked.txt"  # noqa: S108 - in the image


LOADED: Final = (
    "jina.cli.serve", "jina.orchestration.foreground", "jina.worker.process", "jina.server.grpc", "jina.server.http",
)  # fmt: skip
"""Modules of a worker that bring the others. Imported once by root, they leave the bytecode of Python's own modules,
which official images lack, and which the image's user cannot write; a jina that has them elsewhere does without."""


def _install(template: Template, files: Sequence[str], *, buildkit: bool) -> str:
    python = template.python
    extra = "".join(f' "{package}"' for package in template.requirements)
    wanted = f'--find-links . "${{JINA_PACKAGE}}"{extra} -r requirements.txt'
    uv = f"{python} -m pip install {'--cache-dir /root/.cache/pip' if buildkit else '--no-cache-dir'}"
    needs_uv = buildkit or "uv.lock" in files
    steps = [f"{uv} --find-links . --target /tmp/uv uv"] if needs_uv else []
    if "uv.lock" in files:
        steps.append(_EXPORT)
        wanted += " -r locked.txt"
    elif "pyproject.toml" in files:
        steps.append(f'{python} -c "{_DEPENDENCIES}" > project.txt')
        wanted += " -r project.txt"
    by_uv = (
        f'UV_LINK_MODE=copy /tmp/uv/bin/uv pip install --python "$(command -v {python})" \\\n'
        "        --compile-bytecode --break-system-packages --cache-dir /root/.cache/uv \\\n"
        f"        ${{PIP_NO_INDEX:+--no-index}} {wanted}"
    )
    by_pip = f"{python} -m pip install --no-cache-dir {wanted}"
    steps += [by_uv if buildkit else by_pip, *(["rm -rf /tmp/uv"] if needs_uv else [])]
    steps.append(f'{{ {python} -c "import {", ".join(LOADED)}" || true; }}')
    install = " \\\n    && ".join(steps)
    if not buildkit:
        return f"# hadolint ignore=DL3013\nRUN {install}"
    return (
        "# What is downloaded stays in caches of the builder, and uv in neither of the image's layers.\n"
        "# uv reads none of pip's variables.\n"
        "# hadolint ignore=DL3013,DL3042\n"
        "RUN --mount=type=cache,target=/root/.cache/pip --mount=type=cache,target=/root/.cache/uv \\\n"
        f"    {install}"
    )


# --- wheels of the jina that runs ---------------------------------------------------------------------------------

_BUILD_TIME: Final = 300.0


def own_wheels(folder: Path) -> list[Path]:
    """Write wheels of the jina that runs into a folder that has none of them yet; gives those written.

    An installed one is packed again from its files, one that is a copy of the repository is built. Beside it an empty
    `jina` of the same version, for requirement lines that name it: `jina` on the package index is another distribution.
    """
    if any(folder.glob(f"{DISTRIBUTION}-*.whl")):
        return []
    folder.mkdir(parents=True, exist_ok=True)
    own = importlib.metadata.distribution(DISTRIBUTION)
    written = [_packed(own, folder) or wheel_of_sources(Path(__file__).parents[3], folder)]
    extras = own.metadata.get_all("Provides-Extra") or []
    try:
        agent = _packed(importlib.metadata.distribution(f"{DISTRIBUTION}-raft"), folder)
    except importlib.metadata.PackageNotFoundError:
        agent = None
    written += [agent] if agent else []
    meant = [extra for extra in ("standard", "stateful") if extra == "standard" or agent]
    metadata = [
        "Metadata-Version: 2.3",
        "Name: jina",
        f"Version: {own.version}",
        *(f"Provides-Extra: {extra}" for extra in extras),
        f"Requires-Dist: {DISTRIBUTION}[{','.join(meant)}]=={own.version}",
        *(f"Requires-Dist: {DISTRIBUTION}[{extra}]=={own.version} ; extra == '{extra}'" for extra in extras),
    ]
    tags = "Wheel-Version: 1.0\nGenerator: jina\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files = {"METADATA": "\n".join(metadata) + "\n", "WHEEL": tags}
    info = f"jina-{own.version}.dist-info"
    contents = {f"{info}/{name}": text.encode() for name, text in files.items()}
    return [*written, _wheel(folder / f"jina-{own.version}-py3-none-any.whl", info, contents)]


def _packed(own: importlib.metadata.Distribution, folder: Path) -> Path | None:
    """The wheel of an installed distribution, from its files; None where they are elsewhere (`pip install -e`)."""
    info = f"{own.name.replace('-', '_')}-{own.version}.dist-info"
    names = {str(file): Path(str(file.locate())) for file in own.files or ()}
    left_out = {f"{info}/{name}" for name in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json")}
    kept = {
        name: file
        for name, file in names.items()
        if not name.startswith((".", "/")) and not name.endswith(".pyc") and name not in left_out
    }
    if all(name.startswith(info) or name.endswith(".pth") for name in kept):
        return None
    tags = [
        line.removeprefix("Tag: ").split("-") for line in (own.read_text("WHEEL") or "").splitlines() if "Tag: " in line
    ]
    tag = "-".join(".".join(dict.fromkeys(parts)) for parts in zip(*tags, strict=True))
    contents = {name: file.read_bytes() for name, file in kept.items()}
    return _wheel(folder / f"{info.removesuffix('.dist-info')}-{tag}.whl", info, contents)


def _wheel(target: Path, info: str, contents: dict[str, bytes]) -> Path:
    record = "".join(f"{name},,\n" for name in sorted((*contents, f"{info}/RECORD")))
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        # The folder of metadata is last, as in other wheels.
        for name in (*sorted(contents, key=lambda name: (name.startswith(info), name)), f"{info}/RECORD"):
            about = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            about.compress_type, about.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(about, contents.get(name, record.encode()))
    return target


def wheel_of_sources(sources: Path, folder: Path) -> Path:
    """The wheel of a copy of the repository; raises `ConfigError` with what the builder said."""
    if not (sources / "pyproject.toml").exists():
        raise ConfigError(
            f"{sources}: no pyproject.toml, so this is no copy of jina's repository",
            help="give --jina-package a wheel, a requirement or an address",
        )
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.resolve()) as scratch:
        if importlib.util.find_spec("hatchling"):
            command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", scratch]
        else:
            command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", scratch, "."]
        try:
            done = subprocess.run(  # noqa: S603 - a list of words, no shell
                command,
                cwd=sources,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_BUILD_TIME,
                check=False,
            )
            said, failed = (done.stderr or done.stdout).strip(), done.returncode != 0
        except subprocess.TimeoutExpired:
            said, failed = f"not done within {_BUILD_TIME:g} s", True
        found = list(Path(scratch).glob(f"{DISTRIBUTION}-*.whl"))
        if failed or not found:
            raise ConfigError(
                f"no wheel of jina can be built from {sources}:\n{said}",
                help="give --jina-package a wheel or a requirement",
            )
        return found[0].replace(folder / found[0].name)

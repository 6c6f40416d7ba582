"""Dockerfiles of Executor packages: dependencies before code, no root, a health check, SIGTERM to the worker."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from jina.errors import DISTRIBUTION

PORT = 8080
"""The port that an Executor listens on inside its container."""

UID = 10001
"""The user that it runs as: a number, so that a host can check that it is not root."""


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

WHEELS = "wheels"
"""The folder of the package from which the build takes jina, and what else the user puts there."""

_VCS = re.compile(r"^\s*[^#]*\b(git|hg|svn|bzr)\+", re.MULTILINE)


def dockerfile(template: str = "cpu", *, requirements: str = "", config: str = "config.yml") -> str:
    """The Dockerfile of an Executor package.

    `requirements` is the text of its requirements.txt: what it needs decides the system packages.
    """
    chosen = TEMPLATES[template]
    packages = (*chosen.packages, *(("git",) if _VCS.search(requirements) else ()))
    base, _, image = chosen.base.rpartition("FROM ")
    blocks = [
        f"# {chosen.explanation}.",
        f"# Copy the wheels (`make wheels` in jina's repository) to {WHEELS}/, then: docker build -t my-executor .",
        f"{base}FROM {image} AS base",
        "# The package without its wheels, which the image has below already.",
        "FROM base AS package",
        "COPY . /workdir/",
        f"RUN rm -rf /workdir/{WHEELS}",
        "FROM base",
        "# What to install of jina: a requirement such as rejina[stateful], or the address of a wheel.",
        f'ARG JINA_PACKAGE="{DISTRIBUTION}>=4"',
        _environment(chosen),
        *_system(packages),
        _user(chosen),
        f"WORKDIR /opt/{WHEELS}",
        "# Dependencies change less often than code: a layer of their own, kept while requirements.txt and wheels are.",
        f"COPY requirements.txt {WHEELS}/*.whl ./",
        _install(chosen),
        "WORKDIR /workdir",
        f"COPY --from=package --chown={UID} /workdir/ ./",
        f"USER {UID}",
        f"EXPOSE {PORT}",
        (
            "HEALTHCHECK --interval=10s --timeout=10s --start-period=120s --retries=3 \\\n"
            f'    CMD ["jina", "ping", "executor", "grpc://127.0.0.1:{PORT}"]'
        ),
        "# The exec form makes the worker PID 1, so that `docker stop` reaches it and close() is called.",
        f'ENTRYPOINT ["jina", "executor", "--uses", "{config}"]',
        "# Arguments of `docker run` after the name of the image take the place of these.",
        f'CMD ["--port", "{PORT}"]',
    ]
    return "\n".join(blocks) + "\n"


def dockerignore() -> str:
    """What no image needs."""
    return "\n".join([".git", ".venv", "__pycache__", "*.pyc", ".pytest_cache", "Dockerfile", ".dockerignore"]) + "\n"


def package_dockerfile(folder: Path, template: str = "cpu") -> str:
    """The Dockerfile of the package in `folder`, from its configuration and requirements."""
    file = folder / "requirements.txt"
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    config = next((name for name in ("config.yml", "config.yaml") if (folder / name).exists()), "config.yml")
    return dockerfile(template, requirements=text, config=config)


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


def _install(template: Template) -> str:
    extra = "".join(f' "{package}"' for package in template.requirements)
    return (
        "# hadolint ignore=DL3013\n"
        f"RUN {template.python} -m pip install --no-cache-dir --find-links . "
        f'"${{JINA_PACKAGE}}"{extra} -r requirements.txt'
    )

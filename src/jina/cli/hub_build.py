"""`jina hub build`: write the Dockerfile of an Executor package."""

from __future__ import annotations

import argparse
from pathlib import Path

from jina.errors import BadConfigSource, ConfigError, NotSupportedError
from jina.spec.flags import add_options, from_namespace
from jina.spec.hub import HubBuildSpec


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The folder, and what to write."""
    parser.add_argument("path", metavar="PATH", help="folder of the Executor package")
    add_options(parser, HubBuildSpec)


def run(options: argparse.Namespace) -> int:
    """Write Dockerfile and .dockerignore into the folder."""
    from jina.hub.dockerfiles import dockerignore, package_dockerfile
    from jina.hub.wizard import check_template

    folder = Path(options.path)
    spec = from_namespace(HubBuildSpec, options)
    if not folder.is_dir():
        raise BadConfigSource(f"{folder}: no such folder")
    if not any((folder / name).exists() for name in ("config.yml", "config.yaml")):
        raise BadConfigSource(
            f"{folder}: no config.yml, so this is no Executor package", help="jina hub new writes one"
        )
    if not spec.dockerfile_only:
        raise NotSupportedError(
            "hub build: building the image is not available yet",
            help="jina hub build PATH --dockerfile-only, then: docker build PATH",
        )
    target = folder / "Dockerfile"
    if target.exists() and not spec.force:
        raise ConfigError(f"{target} exists already", help="--force overwrites it")
    target.write_text(package_dockerfile(folder, check_template(spec.dockerfile) or "cpu"), encoding="utf-8")
    ignore = folder / ".dockerignore"
    if not ignore.exists():
        ignore.write_text(dockerignore(), encoding="utf-8")
    print(target)
    return 0

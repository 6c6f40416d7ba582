"""`jina hub build`: the image of a package by a container engine or without any, or its Dockerfile alone."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from jina.config.models import HubBuildSpec
from jina.errors import DISTRIBUTION, BadConfigSource, ConfigError
from jina.hub import images
from jina.hub.dockerfiles import (
    TEMPLATES,
    Run,
    default_base,
    dockerignore,
    own_wheels,
    package_dockerfile,
    wheel_of_sources,
)
from jina.hub.engine import Engine
from jina.hub.fetch import open_registry
from jina.hub.images import Say
from jina.hub.oci import Layout, Reference, Store
from jina.hub.packages import WHEELS, Package, Progress, config_of, files_of, silent
from jina.hub.wizard import check_template

_NOT_IN_IMAGES: Final = frozenset({"Dockerfile", ".dockerignore", WHEELS})
_PLACES: Final = "-t HOST/NAME pushes it, --output oci:DIR or docker-archive:FILE:NAME writes it"
_MACHINES: Final = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True, slots=True)
class Built:
    """What `build` made."""

    files: Sequence[str] = ()
    """Those that were written into the package."""
    image: str = ""
    """The name or the place of the image; empty where only files were written."""
    digest: str = ""
    """Of the image, or the id that its engine gives it; empty where that keeps images elsewhere."""


def build(folder: Path, spec: HubBuildSpec, say: Say, progress: Progress = silent) -> Built:
    """Do what `spec` asks for. What happens meanwhile goes to `say`, and layers that are transferred to `progress`."""
    if not folder.is_dir():
        raise BadConfigSource(f"{folder}: no such folder")
    config_of(folder)
    if spec.output and not spec.daemonless:
        raise ConfigError(
            "--output: a container engine keeps the image itself", help="give --daemonless, or -t NAME instead"
        )
    if spec.dockerfile_only:
        return _dockerfile(folder, spec)
    with _ended_by_sigterm():
        return _daemonless(folder, spec, say, progress) if spec.daemonless else _by_engine(folder, spec, say)


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Take SIGTERM as Ctrl-C, so that what is half built is removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _dockerfile(folder: Path, spec: HubBuildSpec) -> Built:
    target = folder / "Dockerfile"
    if target.exists() and not spec.force:
        raise ConfigError(f"{target} exists already", help="--force overwrites it")
    text = package_dockerfile(
        folder, check_template(spec.dockerfile) or "cpu", protocols=_protocols(spec), base=spec.base or ""
    )
    target.write_text(text, encoding="utf-8")
    for name, content in ((".dockerignore", dockerignore()), ("requirements.txt", "")):
        if not (folder / name).exists():
            (folder / name).write_text(content, encoding="utf-8")
    return Built([str(target), *map(str, [] if spec.jina_package else own_wheels(folder / WHEELS))])


def _protocols(spec: HubBuildSpec) -> list[str]:
    return [spec.protocol] if isinstance(spec.protocol, str) else list(spec.protocol)


# --- by an engine -------------------------------------------------------------------------------------------------


def _by_engine(folder: Path, spec: HubBuildSpec, say: Say) -> Built:
    engine = Engine.find(spec.engine)
    tag = spec.tag or _name(folder)
    with tempfile.TemporaryDirectory(prefix="jina-build-") as scratch:
        context = Path(scratch)
        for name in files_of(folder):
            (context / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(folder / name, context / name)
        (context / "requirements.txt").touch()
        arguments = {}
        if (context / "Dockerfile").exists() and not spec.force:
            say(f"{engine.program}: {folder / 'Dockerfile'}")
        else:
            template = check_template(spec.dockerfile) or "cpu"
            text = package_dockerfile(
                context,
                template,
                protocols=_protocols(spec),
                base=spec.base or _pinned(engine, template),
                buildkit=engine.cache_mounts,
            )
            (context / "Dockerfile").write_text(text, encoding="utf-8")
            # What the package's own leaves out is not here; it must not leave out jina's wheels.
            (context / ".dockerignore").write_text(dockerignore(), encoding="utf-8")
            say(f"{engine.program}: the Dockerfile of the template {template}")
        if "ARG JINA_PACKAGE" in (context / "Dockerfile").read_text(encoding="utf-8", errors="replace"):
            arguments["JINA_PACKAGE"] = _for_dockerfile(spec, context / WHEELS)
        engine.build(context, tags=[tag], platform=spec.platform, arguments=arguments, network=spec.network)
    found: dict[str, Any] | None = engine.inspect(tag)
    if found is None:
        say(f"{engine.program} does not list {tag}: its builder keeps images elsewhere (docker: `buildx use default`)")
        found = {}
    return Built(image=tag, digest=str(found.get("Id", "")))


def _pinned(engine: Engine, template: str) -> str:
    """The template's base by its digest, where the engine has it; empty for the name that the template says."""
    name = default_base(template)
    pinned = engine.pinned(name)
    return "" if pinned == name else pinned


def _for_dockerfile(spec: HubBuildSpec, wheels: Path) -> str:
    """What `JINA_PACKAGE` says, with wheels put where the Dockerfile takes them from."""
    given = _given(spec)
    if isinstance(given, Path):
        return f"./{_wheel(given, wheels).name}{_extras(spec)}"
    if not given:
        own_wheels(wheels)
    return given or _requirement(spec)


def _given(spec: HubBuildSpec) -> Path | str:
    """The wheel or folder that `jina_package` names, else the text as it is: a requirement, an address, nothing."""
    text = spec.jina_package
    given = Path(text).expanduser()
    is_path = text.startswith((".", "/", "~")) or text.endswith(".whl") or os.sep in text.partition("[")[0]
    if not text or "://" in text or not (is_path or given.is_file()):
        return text
    if not given.exists():
        raise BadConfigSource(f"--jina-package: {text}: no such wheel or folder")
    return given


def _wheel(given: Path, wheels: Path) -> Path:
    """A wheel that was given, or one of the sources that were given, in the folder of wheels."""
    if given.is_dir():
        return wheel_of_sources(given, wheels)
    wheels.mkdir(parents=True, exist_ok=True)
    target = wheels / given.name
    return target if target.exists() and target.samefile(given) else Path(shutil.copy(given, target))


def _extras(spec: HubBuildSpec) -> str:
    return "[websockets]" if "websocket" in _protocols(spec) else ""


def _requirement(spec: HubBuildSpec) -> str:
    return f"{DISTRIBUTION}{_extras(spec)}>=4"


def _name(folder: Path) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-")
    if not name:
        raise ConfigError(f"{folder}: its name gives no name for the image", help="give -t NAME")
    return name


# --- without one --------------------------------------------------------------------------------------------------


def _daemonless(folder: Path, spec: HubBuildSpec, say: Say, progress: Progress) -> Built:
    output = spec.output or spec.tag
    if not output:
        raise ConfigError("--daemonless: no place for the image", help=_PLACES)
    if output == spec.tag and "/" not in output:
        raise ConfigError(f"--daemonless: {output!r} says no place for the image", help=_PLACES)
    images.needed_uv()  # before anything is fetched
    with tempfile.TemporaryDirectory(prefix="jina-build-") as scratch:
        made = Path(scratch)
        target = images.Place.parse(output, registry, made / "image")
        template = check_template(spec.dockerfile) or "cpu"
        base = images.open_base(spec.base or default_base(template), registry, made / "base")
        platforms = _platforms(spec)
        if target.archive and len(platforms) > 1:
            raise ConfigError("a docker archive holds one platform", help="give one --platform, or --output oci:DIR")
        (made / WHEELS).mkdir()
        package = Package.read(folder)
        code = [
            (name, folder / name, os.access(folder / name, os.X_OK))
            for name in package.files
            if name.partition("/")[0] not in _NOT_IN_IMAGES
        ]
        requirements = [*_find_links(folder, spec, made / WHEELS), *TEMPLATES[template].requirements]
        requirements += images.requirements_of(folder, made)
        run = Run(package.config, _protocols(spec))
        recipe = images.Build(code=code, requirements=requirements, run=run, labels=package.annotations)
        with _removed_if_incomplete(target):
            stored = images.build(recipe, base, target, platforms, made, say, progress)
        if target.archive:
            name = target.repository or spec.tag or _name(folder)
            images.write_archive(target.store, target.repository, stored.digest, target.archive, name)
    return Built(image=output, digest=stored.digest)


@contextlib.contextmanager
def _removed_if_incomplete(target: images.Place) -> Iterator[None]:
    """Remove a layout that was not there before if it gets no image; in one that was there, blobs are used again."""
    root = target.store.root if isinstance(target.store, Layout) else None
    new = root is not None and not root.exists()
    try:
        yield
    finally:
        if root is not None and new and not (root / "index.json").exists():
            shutil.rmtree(root, ignore_errors=True)


def registry(reference: Reference) -> Store:
    """The registry of a reference, reached with the credentials that there are for it."""
    return open_registry(reference.registry)


def _platforms(spec: HubBuildSpec) -> list[str]:
    if spec.platform:
        # Docker adds the variant of a processor that has only one.
        return list(dict.fromkeys(part.strip().replace("arm64/v8", "arm64") for part in spec.platform.split(",")))
    machine = platform.machine()
    return [f"linux/{_MACHINES.get(machine, machine)}"]


def _find_links(folder: Path, spec: HubBuildSpec, wheels: Path) -> list[str]:
    """What `uv pip install` is told of jina, and of the wheels that the package has."""
    words = ["--find-links", wheels.resolve().as_uri()]  # uv takes a comma in a path for a list
    own = folder / WHEELS
    words += ["--find-links", own.resolve().as_uri()] if own.is_dir() else []
    if not spec.jina_package:
        if not any(own.glob(f"{DISTRIBUTION}-*.whl")):
            own_wheels(wheels)
        return [*words, _requirement(spec)]
    given = _given(spec)
    return [*words, f"{_wheel(given, wheels)}{_extras(spec)}" if isinstance(given, Path) else given]

"""Images of Executor packages without an engine: the layers of a base, one of dependencies, one of code.

Sources: OCI Image Format Specification 1.1 (configuration, layers) and Docker's image specification 1.3, whose
`Healthcheck` engines read in an OCI image too. The same input gives the same digest: layers are sorted, with fixed
times and owners, and nothing in them says where or when they were made.
"""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import io
import json
import marshal
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final

from jina.errors import BadConfigSource, ConfigError, MissingExtra
from jina.hub.archives import UNREADABLE, Entry, pack
from jina.hub.dockerfiles import UID, Run
from jina.hub.oci import (
    IMAGE_CONFIG,
    IMAGE_LAYER,
    Damaged,
    Descriptor,
    Index,
    Layout,
    Manifest,
    Reference,
    Store,
    canonical,
    parse_json,
    parse_manifest,
)

PLATFORMS: Final = {"linux/amd64": "x86_64-manylinux_2_28", "linux/arm64": "aarch64-manylinux_2_28"}
"""Platforms of images, and what uv calls those whose wheels run there."""
WORKDIR: Final = "workdir"
HOME: Final = "home/executor"
_TAR: Final = "application/vnd.oci.image.layer.v1.tar"
_MEDIA: Final = {
    "application/vnd.docker.image.rootfs.diff.tar.gzip": IMAGE_LAYER,
    "application/vnd.docker.image.rootfs.diff.tar": _TAR,
}
"""Docker's names of what OCI calls otherwise."""
_CONFIG_BYTES: Final = 8 << 20
_INSTALL_TIME: Final = 1800.0
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

Say = Callable[[str], None]


# --- places of images ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Place:
    """Where an image is or goes to: a store, and what it is called there."""

    store: Store
    repository: str
    wanted: str
    archive: Path | None = None
    """The docker archive that is written from the store afterwards."""

    @classmethod
    def parse(cls, text: str, registries: Callable[[Reference], Store], scratch: Path) -> Place:
        """Take `oci:DIR[:TAG]`, `docker-archive:FILE[:NAME]` or a name in a registry; raises `ConfigError`."""
        kind, colon, rest = text.partition(":")
        if colon and kind in {"oci", "docker-archive"}:
            path, _, tag = rest.partition(":")
            if not path:
                raise ConfigError(f"{text!r} names no path", help=f"write {kind}:PATH")
            if kind == "oci":
                return cls(Layout(Path(path)), "image", tag or "latest")
            return cls(Layout(scratch), tag, "latest", Path(path))  # a layout has no use for the name
        reference = Reference.parse(text)
        return cls(registries(reference), reference.repository, reference.wanted)


def open_base(text: str, registries: Callable[[Reference], Store], scratch: Path) -> Place:
    """The place of a base image; one in a docker archive is unpacked into `scratch` first."""
    place = Place.parse(text, registries, scratch)
    if place.archive:
        read_archive(place.archive, place.store, place.repository)
    return place


def read_archive(file: Path, store: Store, repository: str) -> None:
    """Store the one image of a docker archive (`docker save`) as `latest`."""
    try:
        with tarfile.open(file, mode="r:") as archive:
            listed = json.loads(_content(archive, "manifest.json", _CONFIG_BYTES).read())
            if len(listed) != 1:
                raise ConfigError(f"{file} holds {len(listed)} images", help="write one with `docker save NAME`")
            data = _content(archive, listed[0]["Config"], _CONFIG_BYTES).read()
            config = Descriptor.of(IMAGE_CONFIG, data)
            store.write_blob(repository, config, io.BytesIO(data))
            layers = []
            for name in listed[0]["Layers"]:
                with _content(archive, name) as layer:
                    layers.append(_stored(layer, store, repository))
    except FileNotFoundError:
        raise BadConfigSource(f"{file}: no such file") from None
    except (*UNREADABLE, OSError, LookupError, TypeError, AttributeError) as error:
        if isinstance(error, ConfigError):
            raise
        raise Damaged(f"{file} is not a docker archive: {error}", help="`docker save` writes one") from error
    store.write_manifest(repository, Manifest(config, tuple(layers)).to_bytes(), ["latest"])


def _content(archive: tarfile.TarFile, name: str, most: int = 1 << 50) -> IO[bytes]:
    member = archive.getmember(name)
    content = archive.extractfile(member)
    if content is None or member.size > most:
        raise KeyError(f"{name} is no file of at most {most} bytes")
    return content


def _stored(layer: IO[bytes], store: Store, repository: str) -> Descriptor:
    packed = layer.read(2) == b"\x1f\x8b"
    layer.seek(0)
    blob = _described(IMAGE_LAYER if packed else _TAR, layer)
    store.write_blob(repository, blob, layer)
    return blob


def _described(media_type: str, file: IO[bytes]) -> Descriptor:
    """The descriptor of a file's content; leaves it at its beginning."""
    digest = hashlib.sha256()
    size = 0
    while data := file.read(1 << 20):
        digest.update(data)
        size += len(data)
    file.seek(0)
    return Descriptor(media_type, f"sha256:{digest.hexdigest()}", size)


def write_archive(store: Store, repository: str, wanted: str, file: Path, name: str) -> None:
    """Write an image as a docker archive, for `docker load`; it is an OCI layout in a tar as well."""
    entry, data = store.manifest(repository, wanted)
    parsed = parse_manifest(data, entry.media_type)
    if isinstance(parsed, Index):
        raise ConfigError("a docker archive holds one platform", help="give one --platform, or --output oci:DIR")
    blobs = {one.digest: one for one in (parsed.config, *parsed.layers)}
    paths = {digest: f"blobs/sha256/{digest.partition(':')[2]}" for digest in (*blobs, entry.digest)}
    listed = {
        "Config": paths[parsed.config.digest],
        "RepoTags": [name if ":" in name.rpartition("/")[2] else f"{name}:latest"] if name else [],
        "Layers": [paths[layer.digest] for layer in parsed.layers],
    }
    texts = {
        paths[entry.digest]: data,
        "index.json": Index((entry,)).to_bytes(),
        "manifest.json": canonical([listed]),
        "oci-layout": canonical({"imageLayoutVersion": "1.0.0"}),
    }
    part = file.with_name(f".{file.name}.part")
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(part, mode="w:", format=tarfile.PAX_FORMAT) as archive:
            for path in sorted({*texts, *(paths[digest] for digest in blobs)}):
                about = tarfile.TarInfo(path)
                about.mode = 0o644
                if path in texts:
                    about.size = len(texts[path])
                    archive.addfile(about, io.BytesIO(texts[path]))
                    continue
                blob = blobs[f"sha256:{path.rpartition('/')[2]}"]
                about.size = blob.size
                with store.read_blob(repository, blob) as content:
                    archive.addfile(about, content)
                    content.read(1)  # the digest is compared at the end
        part.rename(file)
    finally:
        part.unlink(missing_ok=True)


# --- the base -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Python:
    """Where an image has its Python."""

    version: str
    """Such as `3.12`."""
    prefix: str

    @property
    def program(self) -> str:
        """The path of the interpreter."""
        return f"{self.prefix}/bin/python{self.version}"

    @property
    def packages(self) -> str:
        """The folder that packages are installed in, without a leading `/`."""
        # The Python of Debian leaves its own folder to apt.
        place = "/usr/local" if self.prefix == "/usr" else self.prefix
        name = "dist-packages" if self.prefix == "/usr" else "site-packages"
        return f"{place}/lib/python{self.version}/{name}".lstrip("/")

    @property
    def programs(self) -> str:
        """The folder that programs are installed in, without a leading `/`."""
        return ("/usr/local" if self.prefix == "/usr" else self.prefix).lstrip("/") + "/bin"


@dataclass(frozen=True)
class Base:
    """One platform of a base image."""

    place: Place
    platform: str
    manifest: Manifest
    config: dict[str, Any]

    @classmethod
    def read(cls, place: Place, platform: str) -> Base:
        """Find the platform; raises `ConfigError` where the base has others."""
        entry, data = place.store.manifest(place.repository, place.wanted)
        parsed = parse_manifest(data, entry.media_type)
        if isinstance(parsed, Index):
            named = {_platform(one.platform): one for one in parsed.manifests}
            if platform not in named:
                raise ConfigError(f"the base image has no {platform}", help=f"it has: {', '.join(sorted(named))}")
            entry, data = place.store.manifest(place.repository, named[platform].digest)
            parsed = parse_manifest(data, entry.media_type)
        if not isinstance(parsed, Manifest):
            raise Damaged("the base image is an index of indexes")
        config = _json(place, parsed.config)
        if (found := _platform(config)) != platform:
            raise ConfigError(f"the base image is for {found}, not {platform}", help=f"give --platform {found}")
        if len(_diff_ids(config)) != len(parsed.layers):
            raise Damaged("the configuration of the base image does not list its layers")
        return cls(place, platform, parsed, config)

    @property
    def environment(self) -> dict[str, str]:
        """What the base sets."""
        return dict(line.split("=", 1) for line in (self.config.get("config") or {}).get("Env") or [] if "=" in line)

    def python(self) -> Python:
        """The Python of the base: what official images say, else the first on PATH; raises `ConfigError`."""
        said = re.match(r"3\.\d+", self.environment.get("PYTHON_VERSION", ""))
        if said:
            return Python(said.group(), "/usr/local")
        found: dict[str, str] = {}
        for layer in self.manifest.layers:
            with self.place.store.read_blob(self.place.repository, layer) as content:
                found.update(_pythons(content))
        for folder in self.environment.get("PATH", _PATH).split(":"):
            if folder.endswith("/bin") and folder in found:
                return Python(found[folder], folder.removesuffix("/bin"))
        raise ConfigError("the base image has no Python on its PATH", help="such as --base python:3.12-slim")


def _platform(value: Any) -> str:
    return "/".join(str(value[key]) for key in ("os", "architecture") if value.get(key))


def _json(place: Place, blob: Descriptor) -> dict[str, Any]:
    if blob.size > _CONFIG_BYTES:
        raise Damaged(f"the configuration of an image has {blob.size} bytes")
    with place.store.read_blob(place.repository, blob) as content:
        data = content.read()
    value = parse_json(data, "the configuration of an image")
    if not isinstance(value, dict) or not all(isinstance(value.get(key) or {}, dict) for key in ("config", "rootfs")):
        raise Damaged("the configuration of an image is not a JSON object of objects")
    set_by = value.get("config") or {}
    lists = (set_by.get("Env") or [], (value.get("rootfs") or {}).get("diff_ids") or [])
    texts = all(isinstance(listed, list) and all(isinstance(one, str) for one in listed) for listed in lists)
    if (
        not texts
        or not isinstance(value.get("history") or [], list)
        or not isinstance(set_by.get("Labels") or {}, dict)
    ):
        raise Damaged("the configuration of an image has lists that are none")
    return value


def _diff_ids(config: dict[str, Any]) -> list[str]:
    listed = (config.get("rootfs") or {}).get("diff_ids")
    if not isinstance(listed, list):
        raise Damaged("the configuration of an image has no diff_ids")
    return listed


def _pythons(layer: Any) -> Iterator[tuple[str, str]]:
    """The folders of a layer that hold a Python, and its version."""
    try:
        with tarfile.open(fileobj=layer, mode="r|*") as archive:
            for member in archive:
                match = re.fullmatch(r"(?:\./|/)?((?:.+/)?bin)/python(3\.\d+)", member.name)
                if match and member.isreg():
                    yield f"/{match[1]}", match[2]
    except UNREADABLE as error:
        if isinstance(error, ConfigError):
            raise
        raise Damaged(f"a layer of the base image cannot be read: {error or type(error).__name__}") from error
    while layer.read(1 << 20):  # the digest is compared at the end
        pass


# --- dependencies -------------------------------------------------------------------------------------------------


def uv() -> str:
    """The path of uv; raises `MissingExtra`."""
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    if found is None:
        raise MissingExtra("an image without an engine needs uv, which is not installed", help="pip install uv")
    return found


def install(arguments: Sequence[str], python: Python, platform: str, target: Path) -> None:
    """Resolve and install for a platform with uv, into a folder; raises `ConfigError` with what uv said."""
    command = [uv(), "pip", "install", "--quiet", "--no-progress", "--python", sys.executable]
    command += ["--target", str(target), "--python-version", python.version, "--python-platform", PLATFORMS[platform]]
    # What is built here would be built for this machine.
    command += ["--no-build", "--link-mode", "copy", "--no-compile-bytecode", *arguments]
    # uv reads none of pip's variables, and has none of its own for this.
    command += ["--no-index"] if os.environ.get("PIP_NO_INDEX", "0") not in {"", "0"} else []
    done = subprocess.run(  # noqa: S603 - a list of words, no shell
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_INSTALL_TIME, check=False
    )
    if done.returncode:
        raise ConfigError(
            f"dependencies for {platform} with Python {python.version} cannot be installed:\n{done.stderr.strip()}",
            help="all of them need wheels for that platform; the folder `wheels` of the package may hold some",
        )


def requirements_of(folder: Path, scratch: Path) -> list[str]:
    """What a package requires, as arguments for `install`: its lock, else its pyproject.toml; and requirements.txt."""
    found = []
    if (folder / "uv.lock").exists():
        locked = scratch / "locked.txt"
        command = [uv(), "export", "--quiet", "--frozen", "--no-emit-project", "--no-dev", "--no-hashes"]
        command += ["--directory", str(folder), "--output-file", str(locked)]
        done = subprocess.run(  # noqa: S603 - a list of words, no shell
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_INSTALL_TIME, check=False
        )
        if done.returncode:
            raise ConfigError(
                f"{folder / 'uv.lock'} cannot be used:\n{done.stderr.strip()}", help="`uv lock` writes it"
            )
        found += ["-r", str(locked)]
    elif (folder / "pyproject.toml").exists():
        found += ["-r", str(folder / "pyproject.toml")]
    if (folder / "requirements.txt").exists():
        found += ["-r", str(folder / "requirements.txt")]
    return found


_LEFT_OUT: Final = frozenset({"direct_url.json", "uv_cache.json", "INSTALLER", "REQUESTED"})
"""Files of a .dist-info that say where and how it was installed."""


def installed(folder: Path, python: Python) -> Iterator[Entry]:
    """What stands in a folder that `install` filled, at its places in the image; bytecode is added where it can be."""
    compiles = python.version == f"{sys.version_info[0]}.{sys.version_info[1]}"
    for file in sorted(folder.rglob("*")):
        path = file.relative_to(folder)
        if file.is_dir() or path.parts[0] == ".lock" or path.suffix == ".pyc":
            continue
        if path.parts[0] == "bin":
            yield f"{python.programs}/{path.name}", _program(file.read_bytes(), python), True
            continue
        name = f"{python.packages}/{path.as_posix()}"
        if len(path.parts) == 2 and path.parts[0].endswith(".dist-info"):
            if path.name not in _LEFT_OUT:
                yield name, _record(file.read_bytes()) if path.name == "RECORD" else file, False
            continue
        yield name, file, bool(file.stat().st_mode & 0o100)
        if compiles and path.suffix == ".py" and (code := _bytecode(file.read_bytes(), f"/{name}")):
            tag = sys.implementation.cache_tag
            yield f"{python.packages}/{(path.parent / '__pycache__' / path.stem).as_posix()}.{tag}.pyc", code, False


def _program(data: bytes, python: Python) -> bytes:
    """A program of a package: its first lines name the Python that runs uv."""
    first, _, rest = data.partition(b"\n")
    if not first.startswith(b"#!"):
        return data
    if first == b"#!/bin/sh" and rest.startswith(b"'''exec'"):  # the path has blanks or is long
        rest = rest.split(b"\n", 2)[2]
    elif b"python" not in first:
        return data
    return f"#!{python.program}\n".encode() + rest


def _record(data: bytes) -> bytes:
    """The list of a distribution's files without those that are left out, and without digests of programs."""
    rows = []
    for row in csv.reader(io.StringIO(data.decode())):
        name = row[0].rpartition("/")[2] if ".dist-info/" in row[0] else ""
        if name not in _LEFT_OUT:
            rows.append([row[0], "", ""] if row[0].startswith("bin/") else row)
    target = io.StringIO()
    csv.writer(target, lineterminator="\n").writerows(sorted(rows))
    return target.getvalue().encode()


def _bytecode(source: bytes, name: str) -> bytes | None:
    """A module as Python caches it, found by the digest of its source and never compared with it; None where it has
    no such form. The user of an image cannot write it, and would compile all of it at every start.
    """
    try:
        # Version 2 has no references, which depend on what else the process does.
        with warnings.catch_warnings(action="ignore"):
            code = marshal.dumps(compile(source, name, "exec", dont_inherit=True, optimize=0), 2)
    except (SyntaxError, ValueError):
        return None
    flags = (1).to_bytes(4, "little")  # PEP 552: by hash, unchecked
    return importlib.util.MAGIC_NUMBER + flags + importlib.util.source_hash(source) + code


# --- the image ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Build:
    """What an image is made of."""

    code: Sequence[Entry]
    """The files of the package, by their paths in it."""
    requirements: Sequence[str]
    """Arguments for `uv pip install`."""
    run: Run
    labels: dict[str, str] = field(default_factory=dict)


def build(made: Build, base: Place, target: Place, platforms: Sequence[str], scratch: Path, say: Say) -> Descriptor:
    """Build for each platform and store it; more than one give an index. Gives what was stored."""
    for platform in platforms:
        if platform not in PLATFORMS:
            raise ConfigError(f"--platform: {platform!r} is not one of {', '.join(PLATFORMS)}")
    bases = [Base.read(base, platform) for platform in platforms]
    tags = () if target.wanted.startswith("sha256:") else (target.wanted,)
    stored = [_one(made, one, target, scratch, () if len(bases) > 1 else tags, say) for one in bases]
    if len(stored) == 1:
        return stored[0]
    entries = []
    for entry, one in zip(stored, bases, strict=True):
        system, _, architecture = one.platform.partition("/")
        about = {"os": system, "architecture": architecture}
        entries.append(Descriptor(entry.media_type, entry.digest, entry.size, platform=about))
    return target.store.write_manifest(target.repository, Index(tuple(entries)).to_bytes(), tags)


def _one(made: Build, base: Base, target: Place, scratch: Path, tags: Iterable[str], say: Say) -> Descriptor:
    python = base.python()
    say(f"{base.platform}: Python {python.version} in {python.prefix}")
    if python.version != f"{sys.version_info[0]}.{sys.version_info[1]}":
        say("this is another Python than that of the image: modules are compiled at each start of a container")
    layers = list(base.manifest.layers)
    for number, layer in enumerate(layers):
        if not target.store.has_blob(target.repository, layer.digest):
            with base.place.store.read_blob(base.place.repository, layer) as content:
                target.store.write_blob(target.repository, layer, content)
        layers[number] = Descriptor(_MEDIA.get(layer.media_type, layer.media_type), layer.digest, layer.size)
    contents = []
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        install(made.requirements, python, base.platform, Path(folder))
        parts = (("dependencies", list(installed(Path(folder), python)), 0), ("code", _code(made.code, scratch), UID))
        for name, entries, owner in parts:
            with tempfile.TemporaryFile(dir=scratch) as file:
                contents.append(pack(entries, file, owner=owner))
                file.seek(0)
                blob = _described(IMAGE_LAYER, file)
                target.store.write_blob(target.repository, blob, file)
            layers.append(blob)
            say(f"{base.platform}: {name}: {blob.digest}, {blob.size / 1e6:.1f} MB")
    data = canonical(_config(base, made, contents))
    config = Descriptor.of(IMAGE_CONFIG, data)
    target.store.write_blob(target.repository, config, io.BytesIO(data))
    manifest = Manifest(config, tuple(layers), made.labels)
    return target.store.write_manifest(target.repository, manifest.to_bytes(), tags)


def _code(files: Iterable[Entry], folder: Path) -> list[Entry]:
    """The package below its folder in the image, with the folders themselves, and a home for its user."""
    entries = [(f"{WORKDIR}/{name}", content, program) for name, content, program in files]
    parents = {WORKDIR, HOME}
    for name, _, _ in entries:
        parts = name.split("/")[:-1]
        parents |= {"/".join(parts[:count]) for count in range(1, len(parts) + 1)}
    return [*entries, *((name, folder, False) for name in parents)]


def _config(base: Base, made: Build, contents: list[str]) -> dict[str, Any]:
    created = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    old: dict[str, Any] = base.config.get("config") or {}
    environment = {**base.environment, "PYTHONUNBUFFERED": "1", "HOME": f"/{HOME}"}
    run = made.run
    steps = ("dependencies", "code")
    return {
        **{key: value for key, value in base.config.items() if key in {"variant", "os.version", "os.features"}},
        "architecture": base.config["architecture"],
        "os": base.config["os"],
        "created": created,
        "config": {
            **{key: value for key, value in old.items() if key in {"Volumes", "Shell"}},
            "User": str(UID),
            "WorkingDir": f"/{WORKDIR}",
            "Entrypoint": run.entrypoint,
            "Cmd": run.command,
            "Env": [f"{name}={value}" for name, value in environment.items()],
            "ExposedPorts": {f"{port}/tcp": {} for port in run.ports},
            "Labels": {**(old.get("Labels") or {}), **made.labels},
            "StopSignal": "SIGTERM",
            "Healthcheck": run.healthcheck,
        },
        "rootfs": {"type": "layers", "diff_ids": [*_diff_ids(base.config), *contents]},
        "history": [
            *(base.config.get("history") or []),
            *({"created": created, "created_by": f"jina hub build: {step}"} for step in steps),
        ],
    }

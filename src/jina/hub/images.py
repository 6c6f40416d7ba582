"""Images of Executor packages without an engine: the layers of a base, one of dependencies, one of code.

Sources: OCI Image Format Specification 1.1 (configuration, layers) and Docker's image specification 1.3, whose
`Healthcheck` engines read in an OCI image too. The same input gives the same digest: layers are sorted, with fixed
times and owners, and nothing in them says where or when they were made.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Final

from jina.errors import BadConfigSource, ConfigError, MissingExtra
from jina.hub import bytecode
from jina.hub.archives import UNREADABLE, Entry, pack
from jina.hub.dockerfiles import UID, Run
from jina.hub.oci import (
    CHUNK,
    IMAGE_CONFIG,
    IMAGE_LAYER,
    TAG_NAME,
    Damaged,
    Descriptor,
    Index,
    Layout,
    Manifest,
    Reference,
    Store,
    canonical,
    docker_name,
    parse_json,
    parse_manifest,
)
from jina.hub.packages import Progress, send, silent
from jina.hub.packages import created as created_at

PLATFORMS: Final = {"linux/amd64": "x86_64-manylinux_2_28", "linux/arm64": "aarch64-manylinux_2_28"}
"""Platforms of images, and what uv calls those whose wheels run there."""
CONTAINERD_NAME: Final = "io.containerd.image.name"
"""The annotation that gives an entry of a layout its name, to containerd."""
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
_READ_FOR_PYTHON: Final = 512 << 20
"""The layers of a larger base are not read for the modules of its Python: those of CUDA take minutes."""
_LONGEST_MODULE: Final = 4 << 20
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
            if kind == "oci" and "/" in tag:  # of a path with such letters, only the last part can be a tag
                path, _, tag = rest.rpartition(":") if "/" not in rest.rpartition(":")[2] else (rest, "", "")
            if not path:
                raise ConfigError(f"{text!r} names no path", help=f"write {kind}:PATH")
            if kind == "oci":
                return cls(Layout(Path(path)), "image", tag or "latest")
            return cls(Layout(scratch), tag, "latest", Path(path))  # a layout has no use for the name
        reference = Reference.parse(docker_name(text))
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
    """Write an image as a docker archive, for `docker load`; it is an OCI layout in a tar as well.

    containerd, and what imports by it into the nodes of a cluster, reads the layout where there is one.
    """
    entry, data = store.manifest(repository, wanted)
    parsed = parse_manifest(data, entry.media_type)
    if isinstance(parsed, Index):
        raise ConfigError("a docker archive holds one platform", help="give one --platform, or --output oci:DIR")
    full = full_name(name) if name else ""
    named = {CONTAINERD_NAME: full, TAG_NAME: full.rpartition(":")[2]} if name else dict(entry.annotations)
    blobs = {one.digest: one for one in (parsed.config, *parsed.layers)}
    paths = {digest: f"blobs/sha256/{digest.partition(':')[2]}" for digest in (*blobs, entry.digest)}
    listed = {
        "Config": paths[parsed.config.digest],
        "RepoTags": [name if ":" in name.rpartition("/")[2] else f"{name}:latest"] if name else [],
        "Layers": [paths[layer.digest] for layer in parsed.layers],
    }
    texts = {
        paths[entry.digest]: data,
        "index.json": Index((replace(entry, annotations=named),)).to_bytes(),
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
                    try:
                        archive.addfile(about, content)
                    except OSError:
                        while content.read(CHUNK):  # raises `Damaged` for a blob that ends too early
                            pass
                        raise
                    content.read(1)  # the digest is compared at the end
        part.rename(file)
    finally:
        part.unlink(missing_ok=True)


def full_name(name: str) -> str:
    """The name with its registry and its tag, as engines know an image by it."""
    first, slash, _ = name.partition("/")
    if not slash:
        name = f"docker.io/library/{name}"
    elif first != "localhost" and not {".", ":"} & set(first):
        name = f"docker.io/{name}"
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


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
    def tag(self) -> str:
        """What its files of bytecode have in their names."""
        return f"cpython-{self.version.replace('.', '')}"

    @property
    def library(self) -> str:
        """The folder of the modules that are Python's own, without a leading `/`."""
        return f"{self.prefix}/lib/python{self.version}".lstrip("/")

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
        for member, _ in self._members():
            match = re.fullmatch(r"(?:\./|/)?((?:.+/)?bin)/python(3\.\d+)", member.name)
            if match and member.isreg():
                found[f"/{match[1]}"] = match[2]
        for folder in self.environment.get("PATH", _PATH).split(":"):
            if folder.endswith("/bin") and folder in found:
                return Python(found[folder], folder.removesuffix("/bin"))
        raise ConfigError("the base image has no Python on its PATH", help="such as --base python:3.12-slim")

    def modules(self, python: Python, folder: Path) -> list[bytecode.Module]:
        """Python's own modules that the base has no bytecode of (official images have none), written into a folder."""
        if sum(layer.size for layer in self.manifest.layers) > _READ_FOR_PYTHON:
            return []
        below = rf"(?:\./|/)?{re.escape(python.library)}/((?:[A-Za-z_]\w*/)*?)(?:__pycache__/)?(\w+)"
        names = re.compile(rf"{below}(\.py|\.{python.tag}\.pyc)")
        sources: dict[str, Path] = {}
        cached: set[str] = set()
        for member, read in self._members():
            match = names.fullmatch(member.name)
            if match is None or not member.isreg() or member.size > _LONGEST_MODULE:
                continue
            path = f"{match[1]}{match[2]}.py"
            if match[3] != ".py":
                cached.add(path)
            elif match[1].partition("/")[0] not in _NOT_OWN:
                sources[path] = folder / f"{len(sources)}.py"
                sources[path].write_bytes(read())
        found = [path for path in sources if path not in cached]
        return [
            bytecode.Module(bytecode.name_of(path), str(sources[path]), f"/{python.library}/{path}") for path in found
        ]

    def _members(self) -> Iterator[tuple[tarfile.TarInfo, Callable[[], bytes]]]:
        """The entries of all layers, and what reads their content."""
        for layer in self.manifest.layers:
            with self.place.store.read_blob(self.place.repository, layer) as content:
                yield from _members(content)


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


_NOT_OWN: Final = frozenset(
    {"site-packages", "dist-packages", "test", "idlelib", "lib2to3", "ensurepip", "__pycache__"}
)
"""Folders beside Python's own modules, and those of which no worker uses anything."""


def _members(layer: Any) -> Iterator[tuple[tarfile.TarInfo, Callable[[], bytes]]]:
    try:
        with tarfile.open(fileobj=layer, mode="r|*") as archive:
            while (member := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined] # they would all be kept
                content = archive.extractfile(member) if member.isreg() else None
                yield member, content.read if content else bytes
    except UNREADABLE as error:
        if isinstance(error, ConfigError):
            raise
        raise Damaged(f"a layer of the base image cannot be read: {error or type(error).__name__}") from error
    while layer.read(1 << 20):  # the digest is compared at the end
        pass


# --- dependencies -------------------------------------------------------------------------------------------------


def uv() -> str | None:
    """The path of uv: beside this Python, else on PATH; None where it is not installed."""
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.exists() else shutil.which("uv")


def needed_uv() -> str:
    """The path of uv; raises `MissingExtra` where it is not installed."""
    if (program := uv()) is None:
        raise MissingExtra("an image without an engine needs uv, which is not installed", help="pip install uv")
    return program


def no_index() -> list[str]:
    """The words for uv where pip is to ask no index: uv reads none of pip's variables, and has none of its own."""
    return ["--no-index"] if os.environ.get("PIP_NO_INDEX", "0") not in {"", "0"} else []


def _uv(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run uv; it ends with this process, and where it takes too long."""
    try:
        return subprocess.run(  # noqa: S603 - a list of words, no shell
            [needed_uv(), *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_INSTALL_TIME,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ConfigError(f"uv {words[0]} did not end within {_INSTALL_TIME:g} s") from None


def install(arguments: Sequence[str], python: Python, platform: str, target: Path) -> None:
    """Resolve and install for a platform with uv, into a folder; raises `ConfigError` with what uv said."""
    command = ["pip", "install", "--quiet", "--no-progress", "--python", sys.executable]
    command += ["--target", str(target), "--python-version", python.version, "--python-platform", PLATFORMS[platform]]
    # What is built here would be built for this machine.
    done = _uv([*command, "--no-build", "--link-mode", "copy", "--no-compile-bytecode", *arguments, *no_index()])
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
        command = ["export", "--quiet", "--frozen", "--no-emit-project", "--no-dev", "--no-hashes"]
        done = _uv([*command, "--directory", str(folder.resolve()), "--output-file", str(locked)])
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
    """What stands in a folder that `install` filled, at its places in the image."""
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


def interpreter(version: str) -> str | None:
    """A Python of that version on this machine: the one that runs this, or one that uv finds."""
    if version == f"{sys.version_info[0]}.{sys.version_info[1]}":
        return sys.executable
    done = _uv(["python", "find", "--quiet", "--system", "--no-project", "--no-python-downloads", version])
    return done.stdout.strip() or None if done.returncode == 0 else None


def _cached(
    python: Python, own: Sequence[bytecode.Module], packages: Path, code: Iterable[Entry], scratch: Path
) -> list[list[Entry]] | None:
    """Bytecode: of what jina and the packages import, whatever the code is; of what the code imports besides; of the
    code. None where no Python of that version is on this machine.
    """
    found = interpreter(python.version)
    if found is None:
        return None
    modules, tops = list(own), []
    for file in sorted(packages.rglob("*.py")):
        path = file.relative_to(packages).as_posix()
        if not path.startswith("bin/"):
            modules.append(bytecode.Module(bytecode.name_of(path), str(file), f"/{python.packages}/{path}"))
            tops += [bytecode.name_of(path)] if path.removesuffix("/__init__.py").count("/") == 0 else []
    for name, content, _ in code:
        if name.endswith(".py") and isinstance(content, Path) and content.is_file():
            module = f"{WORKDIR}.{bytecode.name_of(name.removeprefix(f'{WORKDIR}/'))}"
            modules.append(bytecode.Module(module, str(content), f"/{name}", checked=True))
    parts: list[list[Entry]] = [[], [], []]
    try:
        groups = bytecode.compiled(found, modules, (["jina.*", *tops], [f"{WORKDIR}.*"]), scratch)
    except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"no bytecode for the image: {error}", help=f"does {found} run?") from error
    for number, made in enumerate(groups):
        for place, file in made.items():
            folder, _, name = place[1:].rpartition("/")
            entry = f"{folder}/__pycache__/{name.removesuffix('.py')}.{python.tag}.pyc", file, False
            parts[2 if place.startswith(f"/{WORKDIR}/") else number].append(entry)
    return parts


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


def build(
    made: Build, base: Place, target: Place, platforms: Sequence[str], scratch: Path, say: Say,
    progress: Progress = silent,
) -> Descriptor:  # fmt: skip
    """Build for each platform and store it; more than one give an index. Gives what was stored."""
    for platform in platforms:
        if platform not in PLATFORMS:
            raise ConfigError(f"--platform: {platform!r} is not one of {', '.join(PLATFORMS)}")
    bases = [Base.read(base, platform) for platform in platforms]
    tags = () if target.wanted.startswith("sha256:") else (target.wanted,)
    stored = [_one(made, one, target, scratch, () if len(bases) > 1 else tags, say, progress) for one in bases]
    if len(stored) == 1:
        return stored[0]
    entries = []
    for entry, one in zip(stored, bases, strict=True):
        system, _, architecture = one.platform.partition("/")
        about = {"os": system, "architecture": architecture}
        entries.append(Descriptor(entry.media_type, entry.digest, entry.size, platform=about))
    return target.store.write_manifest(target.repository, Index(tuple(entries)).to_bytes(), tags)


def _send_base(base: Base, target: Place, progress: Progress) -> None:
    layers = base.manifest.layers
    for number, layer in enumerate(layers, 1):
        if not target.store.has_blob(target.repository, layer.digest):
            name = f"{base.platform}: layer {number} of {len(layers)} of the base"
            with base.place.store.read_blob(base.place.repository, layer) as content:
                send(target.store, target.repository, layer, content, progress, name)


def _one(
    made: Build, base: Base, target: Place, scratch: Path, tags: Iterable[str], say: Say, progress: Progress
) -> Descriptor:
    python = base.python()
    say(f"{base.platform}: Python {python.version} in {python.prefix}")
    _send_base(base, target, progress)
    layers = [
        Descriptor(_MEDIA.get(one.media_type, one.media_type), one.digest, one.size) for one in base.manifest.layers
    ]
    contents, steps = [], []
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        for name, entries, owner in _parts(made, base, python, Path(folder), say):
            with tempfile.TemporaryFile(dir=scratch) as file:
                contents.append(pack(entries, file, owner=owner))
                file.seek(0)
                blob = _described(IMAGE_LAYER, file)
                send(target.store, target.repository, blob, file, progress, f"{base.platform}: {name}")
            layers.append(blob)
            steps.append(name)
            say(f"{base.platform}: {name}: {blob.digest}, {blob.size / 1e6:.1f} MB")
    data = canonical(_config(base, made, contents, steps))
    config = Descriptor.of(IMAGE_CONFIG, data)
    target.store.write_blob(target.repository, config, io.BytesIO(data))
    manifest = Manifest(config, tuple(layers), made.labels)
    return target.store.write_manifest(target.repository, manifest.to_bytes(), tags)


def _parts(made: Build, base: Base, python: Python, scratch: Path, say: Say) -> list[tuple[str, list[Entry], int]]:
    """The layers above the base: name, entries and owner of each.

    A change of code changes the last one, and one before that is small and that most images lack: where the code
    imports other modules than before.
    """
    packages, own, compiled = scratch / "packages", scratch / "own", scratch / "compiled"
    for made_here in (packages, own, compiled):
        made_here.mkdir()
    say(f"{base.platform}: installs what the package requires")
    install(made.requirements, python, base.platform, packages)
    dependencies, code = list(installed(packages, python)), _code(made.code, scratch)
    cached = _cached(python, base.modules(python, own), packages, code, compiled)
    if cached is None:
        say(f"no Python {python.version} on this machine: modules are compiled at each start of a container")
        cached = [[], [], []]
    imports = [("imports", cached[1], 0)] if cached[1] else []
    code += _below(cached[2], code, scratch)
    return [("dependencies", [*dependencies, *cached[0]], 0), *imports, ("code", code, UID)]


def _below(entries: Sequence[Entry], known: Sequence[Entry], folder: Path) -> list[Entry]:
    """The entries, with the folders that they are in and that are not there yet."""
    there = {name for name, _, _ in known}
    folders = {name.rpartition("/")[0] for name, _, _ in entries} - there
    return [*entries, *((name, folder, False) for name in folders)]


def _code(files: Iterable[Entry], folder: Path) -> list[Entry]:
    """The package below its folder in the image, with the folders themselves, and a home for its user."""
    entries = [(f"{WORKDIR}/{name}", content, program) for name, content, program in files]
    parents = {WORKDIR, HOME}
    for name, _, _ in entries:
        parts = name.split("/")[:-1]
        parents |= {"/".join(parts[:count]) for count in range(1, len(parts) + 1)}
    return [*entries, *((name, folder, False) for name in parents)]


def _history(base: Base, created: str, steps: Iterable[str]) -> list[dict[str, Any]]:
    """A step for each layer, which is how engines say the size of one; some bases tell of none."""
    history = base.config.get("history")
    history = [step for step in history if isinstance(step, dict)] if isinstance(history, list) else []
    layers = len(base.manifest.layers)
    if sum(not step.get("empty_layer") for step in history) != layers:
        history = [{"created": created, "created_by": "the base image"}] * layers
    return [*history, *({"created": created, "created_by": f"jina hub build: {step}"} for step in steps)]


def _config(base: Base, made: Build, contents: list[str], steps: Iterable[str]) -> dict[str, Any]:
    created = created_at()
    old: dict[str, Any] = base.config.get("config") or {}
    environment = {**base.environment, "PYTHONUNBUFFERED": "1", "HOME": f"/{HOME}"}
    run = made.run
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
        "history": _history(base, created, steps),
    }

"""An Executor package as an OCI artifact: from a folder into a registry, and from there into a folder.

Its configuration is the normalised metadata, with the JSON Schemas of the endpoints. Its layers are the source (an
archive), the files that pin requirements, and each large file, so that weights travel once for all versions. The same
folder gives the same digest.
"""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import io
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

from jina.config.yaml import load
from jina.errors import BadConfigSource, ConfigError, JinaError
from jina.hub.archives import Names, pack, unpack
from jina.hub.oci import (
    CHUNK,
    EMPTY,
    PART,
    Checked,
    Damaged,
    Descriptor,
    Manifest,
    NotFound,
    Source,
    Store,
    canonical,
    copy,
    free_space,
    parse_json,
    parse_manifest,
    sweep,
    whole,
)
from jina.hub.sbom import bill_of_materials, components_of
from jina.version import __version__

ARTIFACT: Final = "application/vnd.jina.executor.v1"
CONFIG: Final = "application/vnd.jina.executor.config.v1+json"
SOURCE: Final = "application/vnd.jina.executor.source.v1.tar+gzip"
REQUIREMENTS: Final = "application/vnd.jina.executor.requirements.v1"
FILE: Final = "application/vnd.jina.executor.file.v1"
SBOM: Final = "application/vnd.cyclonedx+json"
TITLE: Final = "org.opencontainers.image.title"
"""The annotation that names the file of a layer."""
EXECUTABLE: Final = "org.jina.executable"

LARGE: Final = 1 << 20
"""A file of so many bytes is a layer of its own."""
_PINS: Final = ("uv.lock", "requirements.txt")
CONFIGS: Final = ("config.yml", "config.yaml")
WHEELS: Final = "wheels"
"""The folder of the package from which builds take jina, and what else was gathered there."""
_MOST_FILES: Final = 100_000
_MOST_LARGE: Final = 900
"""A manifest has at most 1000 layers."""
_MOST_SOURCE: Final = 4 << 30
_CONFIG_BYTES: Final = 4 << 20

Progress = Callable[[str, int, int], None]
"""Told the name of what is transferred, how many bytes more of it are (fewer where it begins again), and how many there
will be."""


def silent(name: str, more: int, size: int) -> None:
    """Nobody looks at it."""
    del name, more, size


_EXECUTOR: Final = re.compile(r"^class +(?P<name>\w+) *\([^)]*Executor\b", re.MULTILINE)


# --- what of a folder belongs to the package ----------------------------------------------------------------------

_NEVER: Final = frozenset({".git", ".hg", ".svn", "__pycache__", ".venv", "node_modules", ".DS_Store"})
_ALWAYS_IN_DOCKER: Final = frozenset({"Dockerfile", ".dockerignore"})


@dataclass(frozen=True)
class _Pattern:
    matches: re.Pattern[str]
    keeps: bool
    folders_only: bool


class _Rules:
    """The patterns of .jinaignore and .gitignore in one folder (as in git), or of .dockerignore (as in Docker)."""

    def __init__(self, text: str, *, docker: bool = False, git: bool = False) -> None:
        self._docker = docker
        self.git = git
        self._patterns = [found for line in text.splitlines() if (found := _pattern(line, docker=docker))]

    def leaves_out(self, path: str, *, folder: bool) -> bool:
        """Whether a path below the folder is left out, one of its own folders aside."""
        left_out = False
        steps = path.split("/")
        # Docker matches the folders of a path as well; of git's rules the walk has asked for them already.
        tried = ["/".join(steps[:count]) for count in range(1, len(steps))] if self._docker else []
        for pattern in self._patterns:
            whole_path = pattern.matches.fullmatch(path) and (folder or not pattern.folders_only)
            if whole_path or any(pattern.matches.fullmatch(one) for one in tried):
                left_out = not pattern.keeps
        return left_out

    @property
    def brings_back(self) -> bool:
        """Whether something below a folder that is left out may be kept: in Docker, but not in git."""
        return self._docker and any(pattern.keeps for pattern in self._patterns)


def _pattern(line: str, *, docker: bool) -> _Pattern | None:
    text = line.rstrip() if not line.endswith("\\ ") else line
    if not text or text.startswith("#"):
        return None
    keeps = text.startswith("!")
    text = text[1:] if keeps else text.removeprefix("\\")
    folders_only = text.endswith("/") and not docker
    text = text.strip("/") if docker else text.rstrip("/")
    anchored = docker or "/" in text
    text = text.removeprefix("./").lstrip("/")
    if not text:
        return None
    expression = ("" if anchored else "(?:.*/)?") + _expression(text)
    try:
        return _Pattern(re.compile(expression, re.DOTALL), keeps, folders_only)
    except re.error:
        return None


def _expression(text: str) -> str:
    found, rest = [], text
    while rest:
        for mark, meaning in (("**/", "(?:.*/)?"), ("/**", "/.*"), ("**", ".*"), ("*", "[^/]*"), ("?", "[^/]")):
            if rest.startswith(mark) and (mark != "/**" or rest == mark):
                found.append(meaning)
                rest = rest[len(mark) :]
                break
        else:
            if rest[0] == "[" and (end := rest.find("]", 2)) > 0:
                found.append(
                    fnmatch.translate(rest[: end + 1]).removeprefix("(?s:").removesuffix(r")\Z").removesuffix(r")\z")
                )
                rest = rest[end + 1 :]
                continue
            step = 2 if rest[0] == "\\" and len(rest) > 1 else 1
            found.append(re.escape(rest[step - 1]))
            rest = rest[step:]
    return "".join(found)


def files_of(folder: Path) -> list[str]:
    """The files of a package, as sorted paths below its folder, without what the ignore files leave out.

    Raises `ConfigError` for what no package can hold: links that lead out of the folder, and what is no file.
    """
    docker = _Rules(_text(folder / ".dockerignore"), docker=True)
    found = sorted(_walk(folder, "", [], docker))
    if len(found) > _MOST_FILES:
        raise ConfigError(
            f"{folder}: {len(found)} files; a package has at most {_MOST_FILES}",
            help="list what to leave out in .jinaignore",
        )
    return found


def _walk(root: Path, below: str, rules: list[tuple[str, _Rules]], docker: _Rules) -> Iterator[str]:
    here = root / below
    # What was gathered in `wheels` is never in git, and `uv build` writes a .gitignore there that leaves out all of it.
    gathered = below == f"{WHEELS}/"
    rules = [(base, one) for base, one in rules if not (gathered and one.git)]
    rules += [] if gathered else [(below, _Rules(_text(here / ".gitignore"), git=True))]
    rules += [(below, _Rules(_text(here / ".jinaignore")))]
    for entry in sorted(os.scandir(here), key=lambda one: one.name):
        path = f"{below}{entry.name}"
        is_folder = entry.is_dir()
        if entry.name in _NEVER or entry.name.endswith(".pyc"):
            continue
        asked = [(base, one) for base, one in rules if not (path == WHEELS and is_folder and one.git)]
        if any(one.leaves_out(path.removeprefix(base), folder=is_folder) for base, one in asked):
            continue
        hidden = path not in _ALWAYS_IN_DOCKER and docker.leaves_out(path, folder=is_folder)
        if entry.is_symlink():
            _check_link(root, path)
        if is_folder:
            if not hidden or docker.brings_back:
                yield from _walk(root, f"{path}/", rules, docker)
        elif not hidden:
            if not entry.is_file():
                raise ConfigError(
                    f"{root / path} is not a file, so that no package can hold it", help="list it in .jinaignore"
                )
            yield path


def _check_link(root: Path, path: str) -> None:
    target = (root / path).resolve()
    if not target.is_relative_to(root.resolve()) or (
        target.is_dir() and (root / path).parent.resolve().is_relative_to(target)
    ):
        raise ConfigError(
            f"{root / path} is a link that leads out of the package",
            help="copy what it leads to, or list it in .jinaignore",
        )


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return ""


# --- metadata -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Package:
    """A folder that holds an Executor, read but not run."""

    folder: Path
    config: str
    """Its configuration, such as config.yml."""
    name: str
    metadata: dict[str, Any]
    files: list[str] = field(repr=False)

    @classmethod
    def read(cls, folder: Path) -> Package:
        """Read a folder; raises `ConfigError` for one that is no package."""
        if not folder.is_dir():
            raise BadConfigSource(f"{folder}: no such folder")
        config = config_of(folder)
        files = files_of(folder)
        if config not in files:
            raise ConfigError(f"{folder / config} is left out by an ignore file", help="keep it: a package needs it")
        data = load(str(folder / config), substitute=False).data
        if not isinstance(data, dict) or not isinstance(data.get("jtype"), str):
            raise ConfigError(
                f"{folder / config}: no jtype, the name of the Executor's class", help="jina hub new writes a package"
            )
        metas = data.get("metas")
        metas = metas if isinstance(metas, dict) else {}
        name = str(metas.get("name") or data["jtype"].rpartition(".")[2])
        keywords = metas.get("keywords")
        metadata = {
            "config": config,
            "jtype": data["jtype"],
            "name": name,
            "description": str(metas.get("description") or ""),
            "url": str(metas.get("url") or ""),
            "keywords": [str(one) for one in keywords] if isinstance(keywords, list) else [],
            "requirements": [path for path in _PINS if path in files],
        }
        return cls(folder=folder, config=config, name=name, metadata=metadata, files=files)

    @property
    def repository(self) -> str:
        """Its name as registries take it: `MyExecutor` is `myexecutor`."""
        text = re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")
        if not text:
            raise ConfigError(
                f"{self.folder}: the name {self.name!r} has no letter that a registry takes",
                help="give one: --name my-executor",
            )
        return text

    @property
    def annotations(self) -> dict[str, str]:
        """Of the manifest, as the OCI image specification names them."""
        found = {
            "org.opencontainers.image.title": self.name,
            "org.opencontainers.image.description": self.metadata["description"],
            "org.opencontainers.image.url": self.metadata["url"],
            "org.jina.version": __version__,
        }
        if os.environ.get("SOURCE_DATE_EPOCH"):
            found["org.opencontainers.image.created"] = created()
        return {key: text for key, text in found.items() if text}


def created() -> str:
    """The time that `SOURCE_DATE_EPOCH` says, else 1970, so that nothing depends on when it is made."""
    import datetime as dt

    epoch = os.environ.get("SOURCE_DATE_EPOCH") or "0"
    try:
        return dt.datetime.fromtimestamp(int(epoch), dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        raise ConfigError(f"SOURCE_DATE_EPOCH: {epoch!r} is no time", help="write seconds since 1970") from None


def config_of(folder: Path) -> str:
    """The name of the configuration in a folder; raises where it has none."""
    for name in CONFIGS:
        if (folder / name).is_file():
            return name
    raise BadConfigSource(f"{folder}: no config.yml, so this is no Executor package", help=_how_to_configure(folder))


def _how_to_configure(folder: Path) -> str:
    """What a config.yml says of the first class in a folder that looks like an Executor."""
    for file in sorted(folder.glob("*.py")):
        if match := _EXECUTOR.search(_text(file)):
            return f"write one with two lines, `jtype: {match['name']}` and `py_modules: [{file.name}]`"
    return "jina hub new writes one"


# --- push ---------------------------------------------------------------------------------------------------------


def push(
    package: Package,
    store: Store,
    repository: str,
    tags: Sequence[str],
    *,
    endpoints: Sequence[dict[str, Any]] | None = None,
    progress: Progress = silent,
) -> Descriptor:
    """Store a package, its bill of materials beside it; nothing is visible before all of it is there.

    `endpoints` are those that the check found; None where it was left out.
    """
    small, layers = _parts(package)
    if len(layers) > _MOST_LARGE:
        raise ConfigError(
            f"{package.folder}: {len(layers)} files of 1 MiB and more; a package has at most {_MOST_LARGE}",
            help="put them into an archive",
        )
    for layer in layers:
        with (package.folder / layer.annotations[TITLE]).open("rb") as file_of_layer:
            send(store, repository, layer, file_of_layer, progress)
    with _archive(package.folder, small) as (archive, source):
        send(store, repository, source, archive, progress)
    config = canonical({**package.metadata, "endpoints": None if endpoints is None else list(endpoints)})
    manifest = Manifest(
        _bytes(store, repository, CONFIG, config), (source, *layers), package.annotations, ARTIFACT
    )  # fmt: skip
    data = manifest.to_bytes()
    pushed = store.write_manifest(repository, data, tags)
    _push_sbom(package, store, repository, pushed)
    return pushed


def layers_of(package: Package) -> tuple[Descriptor, ...]:
    """The layers that `push` would store: what tells whether a registry has the package as it is."""
    small, layers = _parts(package)
    with _archive(package.folder, small) as (_, source):
        return (source, *layers)


def _parts(package: Package) -> tuple[list[str], list[Descriptor]]:
    """The files that travel together, and the layers of those that travel by themselves."""
    layers: list[Descriptor] = []
    small: list[str] = []
    for path in package.files:
        file = package.folder / path
        if path in _PINS or file.stat().st_size >= LARGE:
            layers.append(_layer(file, path))
        else:
            small.append(path)
    return small, layers


def _layer(file: Path, path: str) -> Descriptor:
    digest, size = hashlib.sha256(), 0
    with file.open("rb") as source:
        while data := source.read(CHUNK):
            digest.update(data)
            size += len(data)
    annotations = {TITLE: path}
    if file.stat().st_mode & stat.S_IXUSR:
        annotations[EXECUTABLE] = "true"
    return Descriptor(REQUIREMENTS if path in _PINS else FILE, f"sha256:{digest.hexdigest()}", size, annotations)


@contextlib.contextmanager
def _archive(folder: Path, paths: Iterable[str]) -> Iterator[tuple[IO[bytes], Descriptor]]:
    with tempfile.TemporaryFile() as file:
        pack(((path, folder / path, bool((folder / path).stat().st_mode & stat.S_IXUSR)) for path in paths), file)
        file.seek(0)
        digest, size = hashlib.sha256(), 0
        while data := file.read(CHUNK):
            digest.update(data)
            size += len(data)
        file.seek(0)
        yield file, Descriptor(SOURCE, f"sha256:{digest.hexdigest()}", size)


class _Watched:
    """A file that tells how much of it is read."""

    def __init__(self, source: Source, blob: Descriptor, progress: Progress, name: str = "") -> None:
        self._source, self._blob, self._progress = source, blob, progress
        self._name = name or blob.annotations.get(TITLE, "source")
        self._got = 0

    def read(self, size: int = -1) -> bytes:
        """See `io.RawIOBase.read`."""
        data = self._source.read(size)
        self._got += len(data)
        self._progress(self._name, len(data), self._blob.size)
        return data

    def seek(self, place: int) -> object:
        """Back to the beginning, for a second try."""
        self._progress(self._name, -self._got, self._blob.size)
        self._got = 0
        return self._source.seek(place)


def send(store: Store, repository: str, blob: Descriptor, source: Source, progress: Progress, name: str = "") -> None:
    """Store a blob, and tell `progress` of it, by its title unless a name is given."""
    store.write_blob(repository, blob, _Watched(source, blob, progress, name))


def _bytes(store: Store, repository: str, media_type: str, data: bytes) -> Descriptor:
    blob = Descriptor.of(media_type, data)
    store.write_blob(repository, blob, io.BytesIO(data))
    return blob


def attach(
    store: Store, repository: str, subject: Descriptor, kind: str, layers: Sequence[tuple[str, bytes, dict[str, str]]],
    tags: Sequence[str] = (),
) -> Descriptor:  # fmt: skip
    """Store an artifact about another one, such as a signature; `layers` are media types, contents and annotations."""
    config = _bytes(store, repository, EMPTY, b"{}")
    described = []
    for media_type, data, notes in layers:
        blob = Descriptor.of(media_type, data, notes)
        store.write_blob(repository, blob, io.BytesIO(data))
        described.append(blob)
    about = Descriptor(subject.media_type, subject.digest, subject.size)
    return store.write_manifest(
        repository, Manifest(config, tuple(described), {}, kind, about).to_bytes(), tags
    )  # fmt: skip


# --- bill of materials --------------------------------------------------------------------------------------------


def _push_sbom(package: Package, store: Store, repository: str, pushed: Descriptor) -> None:
    value = canonical(bill_of_materials(package.name, pushed.digest, components_of(package.folder)))
    attach(store, repository, pushed, SBOM, [(SBOM, value, {TITLE: "sbom.cdx.json"})])


# --- pull ---------------------------------------------------------------------------------------------------------


def manifest_of(store: Store, repository: str, wanted: str) -> tuple[Descriptor, Manifest]:
    """The manifest of a package; raises `Damaged` for one of something else, `NotFound` that says what there is."""
    try:
        entry, data = store.manifest(repository, wanted)
    except NotFound as error:
        raise error if error.help else NotFound(error.message, help=_there(store, repository)) from None
    manifest = parse_manifest(data, entry.media_type)
    if not isinstance(manifest, Manifest) or manifest.kind != ARTIFACT:
        kind = manifest.kind if isinstance(manifest, Manifest) else "an image index"
        raise Damaged(
            f"{repository}:{wanted} is not an Executor package but {kind}", help="an image is used as docker://IMAGE"
        )
    return entry, manifest


def _there(store: Store, repository: str) -> str:
    """Which versions a registry has of something."""
    try:
        tags = [tag for tag in store.tags(repository) if not tag.startswith("sha256-")]
    except JinaError:
        return "jina hub list --registry HOST lists the packages of a registry"
    return f"it has: {', '.join(tags)}" if tags else "it has no tags"


def metadata_of(store: Store, repository: str, manifest: Manifest) -> dict[str, Any]:
    """The configuration of a package."""
    what = f"{repository}: the configuration of the package"
    value = parse_json(read_all(store, repository, manifest.config, _CONFIG_BYTES), what)
    if not isinstance(value, dict):
        raise Damaged(f"{what} is not a JSON object")
    if not all(isinstance(value.get(key, ""), str) for key in ("name", "jtype", "config", "description", "url")):
        raise Damaged(f"{what} names something that is no text")
    listed = value.get("endpoints")
    if listed is not None and not (isinstance(listed, list) and all(map(_is_endpoint, listed))):
        raise Damaged(f"{what} lists endpoints that are none")
    return value


def _is_endpoint(value: Any) -> bool:
    """Whether it has what is shown of an endpoint."""
    if not isinstance(value, dict) or not all(isinstance(value.get(key), str) for key in ("path", "method")):
        return False
    named = [value.get("input"), value.get("output"), value.get("parameters") or {"name": ""}]
    return all(isinstance(one, dict) and isinstance(one.get("name"), str) for one in named)


def read_all(store: Store, repository: str, blob: Descriptor, most: int) -> bytes:
    """A small blob; raises `Damaged` where it is larger than that."""
    if blob.size > most:
        raise Damaged(f"{repository}: {blob.digest} has {blob.size} bytes; at most {most} are read")
    with store.read_blob(repository, blob) as source:
        return _exhausted(source)


def _exhausted(source: Any) -> bytes:
    target = io.BytesIO()
    copy(source, target)
    return target.getvalue()


def pull(
    store: Store, repository: str, manifest: Manifest, target: Path, *, blobs: Path, progress: Progress = silent
) -> None:
    """Write the package into the folder `target`, which is not there yet: all of it or, where it raises, nothing.

    Large files are kept in the folder `blobs` as well, by their digests, and taken from there the next time.
    """
    needed = sum(layer.size for layer in manifest.layers)
    free = free_space(target)
    if needed > free:
        raise ConfigError(
            f"{target}: the package has {needed} bytes, and {free} are free", help="make room, or set XDG_CACHE_HOME"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    for place in (target.parent, blobs):
        sweep(place)
    part = Path(tempfile.mkdtemp(prefix=PART, dir=target.parent))
    try:
        folder = part / "package"
        names = _pull_source(store, repository, manifest, folder, progress)
        for layer in manifest.layers:
            if layer.media_type in {REQUIREMENTS, FILE}:
                _pull_file(store, repository, layer, folder, names, blobs, progress)
        config_of(folder)
        try:
            folder.rename(target)
        except OSError:
            if not target.is_dir():  # otherwise another process was quicker
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _pull_source(store: Store, repository: str, manifest: Manifest, folder: Path, progress: Progress) -> Names:
    sources = [layer for layer in manifest.layers if layer.media_type == SOURCE]
    if len(sources) != 1:
        raise Damaged(f"{repository}: a package has one layer of source, not {len(sources)}")
    with tempfile.TemporaryFile(dir=folder.parent) as file, store.read_blob(repository, sources[0]) as source:
        # All of it is checked before any of it is read: an archive may be hostile long before its end.
        copy(_Watched(source, sources[0], progress), file)
        file.seek(0)
        listed = unpack(file, folder, most_bytes=_MOST_SOURCE, most_files=_MOST_FILES)
    names = Names(_MOST_FILES)
    for name in listed:
        path = folder / name
        names.add(name, "link" if path.is_symlink() else "folder" if path.is_dir() else "file")
    return names


def _pull_file(
    store: Store, repository: str, layer: Descriptor, folder: Path, names: Names, blobs: Path, progress: Progress
) -> None:
    title = layer.annotations.get(TITLE, "")
    path = names.add(title, "file")
    assert path is not None
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    kept = blobs / layer.digest.removeprefix("sha256:")
    if layer.media_type == FILE and _is_whole(kept, layer):
        _link_or_copy(kept, target)
    else:
        with store.read_blob(repository, layer) as source, whole(kept if layer.media_type == FILE else target) as file:
            copy(_Watched(source, layer, progress), file)
        if layer.media_type == FILE:
            _link_or_copy(kept, target)
    if layer.annotations.get(EXECUTABLE) == "true":
        if target.stat().st_nlink > 1:  # the mode is the file's, whatever its name
            _replace_by_copy(kept, target)
        target.chmod(0o755)


def _is_whole(file: Path, blob: Descriptor) -> bool:
    """Whether a kept file is still what its name says."""
    try:
        with file.open("rb") as source:
            Checked(source, blob).drain()
    except FileNotFoundError:
        return False
    except Damaged:
        file.unlink()
        return False
    return True


def _link_or_copy(kept: Path, target: Path) -> None:
    try:
        os.link(kept, target)
    except OSError:
        shutil.copyfile(kept, target)


def _replace_by_copy(kept: Path, target: Path) -> None:
    target.unlink()
    shutil.copyfile(kept, target)

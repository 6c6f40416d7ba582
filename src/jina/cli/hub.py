"""`jina hub`: packages checked, stored in registries, fetched, shown, signed, pinned."""

from __future__ import annotations

import argparse
import contextlib
import getpass
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jina.config.command_line import add_options, add_short, from_namespace
from jina.config.models import (
    HubAccess,
    HubBuildSpec,
    HubCheckSpec,
    HubFetchSpec,
    HubLockSpec,
    HubLoginSpec,
    HubPushSpec,
    HubStatusSpec,
    HubVerifySpec,
)
from jina.errors import BadConfigSource, ConfigError, PermissionDenied, UsageError

if TYPE_CHECKING:
    from jina.check.project import Finding
    from jina.hub.checking import Checked
    from jina.hub.fetch import Fetched, Named
    from jina.hub.oci import Descriptor, LayoutStore, Manifest, Store
    from jina.hub.packages import Package, Progress
    from jina.hub.registry import Access, RegistryStore
    from jina.supervisor.environments import Environment


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def _print(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


def _access(spec: HubAccess, host: str = "") -> Access | None:
    """How the registry is reached; None for one in a folder."""
    if host.startswith("/") or not host:
        return None
    from jina.errors import missing_extra

    if (error := missing_extra("urllib3", "hub", f"the registry {host}")) is not None:
        raise error
    from jina.hub.registry import Access

    return Access.from_environment(ca_file=spec.ca_file, insecure=[host] if spec.insecure else [])


def _package(spec: HubAccess, name: str) -> tuple[Named, Store]:
    from jina.hub.fetch import Named

    package = Named.parse(name, spec.registry)
    return package, package.open(_access(spec, package.registry))


@contextlib.contextmanager
def _shown(verb: str) -> Iterator[Progress | None]:
    """Bars on standard error while something is transferred, where a person looks at it."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, Any] = {}

        def moved(name: str, more: int, size: int) -> None:
            if name not in tasks and size:
                tasks[name] = bars.add_task(f"{verb} {name}", total=size)
            if size:
                bars.update(tasks[name], advance=more)

        yield moved


# --- check --------------------------------------------------------------------------------------------------------


def add_hub_check(parser: argparse.ArgumentParser) -> None:
    """The folder, and how long it may take."""
    parser.add_argument("path", metavar="PATH", help="folder of the Executor package; its class is imported")
    add_options(parser, HubCheckSpec)
    _add_json(parser)


def run_hub_check(options: argparse.Namespace) -> int:
    """Print endpoints and mistakes; 1 where there are mistakes."""
    from jina.hub.packages import Package

    spec = from_namespace(HubCheckSpec, options)
    package = Package.read(Path(options.path))
    static = _static(package.folder)
    from jina.hub.checking import check_package

    found = check_package(package.folder, package.config, seconds=spec.timeout)
    wrong = bool(found.mistakes or any(one.severity == "error" for one in static))
    if options.json:
        _print(_check_json(package.name, found, static, wrong))
        return int(wrong)
    for one in static:
        print(f"{one.path}:{one.line}: {one.severity}: {' '.join(one.message.split())}")
    for mistake in found.mistakes:
        print(f"{mistake.path}:{mistake.line}: error: {mistake.message}")
        if mistake.help:
            print(f"    instead: {mistake.help}")
    for line in _endpoint_lines(found.endpoints):
        print(line)
    count = len(found.mistakes) + sum(one.severity == "error" for one in static)
    numbers = {"file": len(package.files), "endpoint": len(found.endpoints), "mistake": count}
    print(f"{package.name}: " + ", ".join(f"{n} {what}{'' if n == 1 else 's'}" for what, n in numbers.items()))
    return int(wrong)


def _static(folder: Path) -> list[Finding]:
    """What `jina check` finds without running anything, notes aside."""
    from jina.check import checking
    from jina.cli.main import COMMANDS, GROUPS

    report, _ = checking.check_path(folder, [*COMMANDS, *GROUPS])
    return [one for one in report.findings if one.severity != "note"]


def _check_json(name: str, found: Checked, static: list[Finding], wrong: bool) -> dict[str, Any]:
    mistakes = [
        {"path": one.path, "line": one.line, "severity": one.severity, "message": one.message} for one in static
    ]
    mistakes += [
        {"path": one.path, "line": one.line, "severity": "error", "message": one.message, "help": one.help}
        for one in found.mistakes
    ]
    return {"name": name, "jtype": found.jtype, "good": not wrong, "endpoints": found.endpoints, "mistakes": mistakes}


def _endpoint_lines(endpoints: list[dict[str, Any]]) -> Iterator[str]:
    for one in endpoints:
        parameters = f", parameters: {one['parameters']['name']}" if one.get("parameters") else ""
        arrow = "->>" if one.get("streams") else "->"
        yield f"{one['path']}  {one['method']}({one['input']['name']}{parameters}) {arrow} {one['output']['name']}"


# --- build --------------------------------------------------------------------------------------------------------


def add_hub_build(parser: argparse.ArgumentParser) -> None:
    """The folder, and what to write."""
    parser.add_argument("path", metavar="PATH", help="folder of the Executor package")
    add_options(parser, HubBuildSpec)
    add_short(parser, "-t", "--tag")
    _add_json(parser)


def run_hub_build(options: argparse.Namespace) -> int:
    """Write the Dockerfile, or build the image; prints what was made, a line each."""
    from jina.hub.build import build

    spec = from_namespace(HubBuildSpec, options)
    # An engine shows by itself what it does.
    with _shown("copy") if spec.daemonless else contextlib.nullcontext() as progress:
        watched = {"progress": progress} if progress else {}
        built = build(Path(options.path), spec, lambda text: print(text, file=sys.stderr), **watched)
    if options.json:
        _print({"image": built.image, "digest": built.digest} if built.image else {"files": list(built.files)})
    elif built.image:
        print(f"{built.digest or 'built'} {built.image}")
    else:
        print("\n".join(built.files))
    return 0


# --- push and pull ------------------------------------------------------------------------------------------------


def add_hub_push(parser: argparse.ArgumentParser) -> None:
    """The folder, its tags, the registry."""
    parser.add_argument("path", metavar="PATH", help="folder of the Executor package")
    add_options(parser, HubPushSpec)
    add_short(parser, "-t", "--tag")
    _add_json(parser)


def run_hub_push(options: argparse.Namespace) -> int:
    """Check, store, sign; prints how the package is used."""
    from jina.hub.checking import check_package
    from jina.hub.packages import Package, push

    spec = from_namespace(HubPushSpec, options)
    package = Package.read(Path(options.path))
    named, store = _package(spec, spec.name or package.repository)
    repository = named.reference.repository
    tags = [*spec.tag, *spec.protected_tag] or [named.reference.tag or "latest"]
    endpoints = None
    if spec.check:
        found = check_package(package.folder, package.config, seconds=spec.timeout)
        endpoints = found.required().endpoints
    before = {tag: _digest(store, repository, tag) for tag in spec.protected_tag}
    taken = sorted(tag for tag, digest in before.items() if digest)
    with _shown("push") as progress:
        watched = {"progress": progress} if progress else {}
        # Protected tags are given only when the digest is known.
        pushed = push(package, store, repository, () if taken else tags, endpoints=endpoints, **watched)
    if taken:
        _check_protected(named, taken, before, pushed)
        store.write_manifest(repository, store.manifest(repository, pushed.digest)[1], tags)
    if spec.sign:
        _sign(store, named, pushed, spec.sign)
    uses = _uses_of(named)
    if options.json:
        _print({"uses": uses, "digest": pushed.digest, "tags": tags, "signed": bool(spec.sign)})
    else:
        print(f"{uses}:{tags[0]}\n{uses}@{pushed.digest}")
        for variable, value in (("INSECURE", spec.insecure and named.registry), ("CA_FILE", spec.ca_file)):
            if value:
                print(f"needs JINA_HUB_{variable}={value} wherever it is used", file=sys.stderr)
    return 0


def _check_protected(named: Named, taken: list[str], before: Mapping[str, str], pushed: Descriptor) -> None:
    for tag in taken:
        if before[tag] != pushed.digest:
            raise ConfigError(
                f"{named.reference.repository}: the tag {tag} is there already, for {before[tag]}",
                help="choose another tag, or move this one: --tag",
            )


def _digest(store: Store, repository: str, tag: str) -> str:
    from jina.hub.oci import NotFound

    try:
        return store.manifest(repository, tag)[0].digest
    except NotFound:
        return ""


def _sign(store: Store, named: Named, pushed: Descriptor, key: str) -> None:
    from jina.hub.signatures import sign

    name = f"{named.reference.registry or 'local'}/{named.reference.repository}"
    sign(store, named.reference.repository, name, pushed, Path(key).expanduser())


def _uses_of(named: Named) -> str:
    """What `uses` says for a package, without its version: short for one in the registry of JINA_HUB_REGISTRY."""
    from jina.hub.fetch import registry_named

    home, prefix = registry_named()
    repository = named.reference.repository
    if named.registry == home and repository.startswith(prefix):
        rest = repository.removeprefix(prefix)
        return f"{'jinaai' if '/' in rest else 'jinahub'}://{rest}"
    return named.uses


def add_hub_pull(parser: argparse.ArgumentParser) -> None:
    """What to fetch."""
    parser.add_argument("uri", metavar="URI", help="the package, as `uses` names it, such as jinahub://NAME")
    add_options(parser, HubFetchSpec)
    _add_json(parser)


def run_hub_pull(options: argparse.Namespace) -> int:
    """Fetch; prints the folder in the cache."""
    from jina.hub.fetch import Fetching, Named, is_reference

    spec = from_namespace(HubFetchSpec, options)
    uses = options.uri
    if not is_reference(uses):
        Named.parse(uses, spec.registry)  # its message names what was typed
        uses = f"jinahub://{uses}"
    registry = "" if uses.startswith("git+") else Named.parse(uses, spec.registry).registry
    with _shown("pull") as progress:
        fetching = Fetching(
            offline=spec.offline, force=spec.force_update, registry=spec.registry, access=_access(spec, registry),
            progress=progress,
        )  # fmt: skip
        found = fetching.fetch(uses)
    made = _made_environment(found, offline=spec.offline) if spec.install_requirements else None
    if options.json:
        environment = {"environment": made} if spec.install_requirements else {}
        _print({"uses": uses, "version": found.version, "folder": str(found.folder), **environment})
    else:
        print(found.folder)
    return 0


def _environment_of(folder: Path) -> Environment | None:
    """The environment for the requirements of a package; None where it has none."""
    from jina.supervisor.environments import Environment, requirement_files

    files = requirement_files([str(folder)])
    found = Environment.read(files) if files else None
    return None if found is None or found.is_empty else found


def _made_environment(package: Fetched, *, offline: bool) -> str | None:
    """The folder of the environment for the requirements of a package, made if need be."""
    import os

    environment = _environment_of(package.folder)
    if environment is None:
        return None
    os.close(environment.make(offline=offline))
    return str(environment.folder)


# --- status -------------------------------------------------------------------------------------------------------


def add_hub_status(parser: argparse.ArgumentParser) -> None:
    """A folder, or a name."""
    parser.add_argument(
        "package", metavar="PACKAGE", nargs="?", default=".",
        help="folder of an Executor package, or a package as `uses` names it [default: the working folder]",
    )  # fmt: skip
    add_options(parser, HubStatusSpec)
    _add_json(parser)


def run_hub_status(options: argparse.Namespace) -> int:
    """Print what the registry, the cache and the lock file of the working folder have of a package."""
    from jina.hub.fetch import is_reference

    spec = from_namespace(HubStatusSpec, options)
    folder = None if is_reference(options.package) else Path(options.package)
    if folder is not None and not folder.is_dir():
        if "/" in options.package or options.package.startswith("."):
            raise BadConfigSource(f"{options.package}: no such folder")
        folder = None
    found = _status(spec, options.package, folder)
    if options.json:
        _print(found)
    else:
        for line in _status_lines(found):
            print(line)
    return 0


def _status(spec: HubStatusSpec, text: str, folder: Path | None) -> dict[str, Any]:
    from jina.hub.fetch import Fetching, is_reference, lock_for, read_lock
    from jina.hub.packages import Package

    fetching = Fetching(offline=True, registry=spec.registry)
    package = None if folder is None else Package.read(folder)
    found: dict[str, Any] = {"folder": None if folder is None else str(folder.resolve())}
    # What it is called in a lock and in the cache: as it was asked for, or by the name that is shown.
    names = [text.strip()] if is_reference(text) else []
    if names and names[0].lower().startswith("git+"):
        uses, found["registry"], found["tags"] = names[0], None, None
    else:
        named, _ = _package(spec, text if package is None else package.repository)
        uses = f"{_uses_of(named)}{named.reference.version}"
        found["registry"] = named.registry
        found["tags"] = None if spec.offline else _tags(spec, named, package)
    names.append(uses)
    file = lock_for(None)
    pins = read_lock(file) if file is not None else {}
    pinned = next(filter(None, map(pins.get, names)), None)
    cached = next(filter(None, map(fetching.cached, names)), None)
    requires = folder or (cached.folder if cached is not None else None)
    environment = None if requires is None else _environment_of(requires)
    return {
        "uses": uses,
        **found,
        "lock": None if file is None else {"file": str(file), "version": pinned},
        "cached": None if cached is None else {"version": cached.version, "folder": str(cached.folder)},
        "requirements": [] if environment is None else list(environment.files),
        "environment": str(environment.folder) if environment is not None and environment.is_made else None,
    }


def _tags(spec: HubStatusSpec, named: Named, package: Package | None) -> list[dict[str, Any]]:
    """Every tag of a package, with the digest, the signatures, and whether it is cached, or what a folder has."""
    from jina.hub.fetch import Fetching
    from jina.hub.oci import Damaged, NotFound
    from jina.hub.packages import layers_of, manifest_of
    from jina.hub.signatures import signatures

    store, repository = named.open(_access(spec, named.registry)), named.reference.repository
    try:
        names = [tag for tag in store.tags(repository) if not tag.startswith("sha256-")]
    except NotFound:
        return []
    layers = None if package is None else {layer.digest for layer in layers_of(package)}
    found = []
    for tag in names:
        try:
            entry, manifest = manifest_of(store, repository, tag)
        except Damaged:  # an image may have the name of its package
            continue
        one: dict[str, Any] = {"tag": tag, "digest": entry.digest}
        one["signatures"] = signatures(store, repository, entry.digest)
        one["cached"] = Fetching().cached(named.uses, entry.digest) is not None
        if layers is not None:
            one["same_as_folder"] = {layer.digest for layer in manifest.layers} == layers
        found.append(one)
    return found


def _status_lines(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"package      {_printable(found['uses'])}"
    if found["registry"]:
        yield f"registry     {found['registry']}"
    if found["tags"] == []:
        yield "tags         none: `jina hub push` stores the package"
    for one in found["tags"] or ():
        words = [_printable(one["tag"]), one["digest"], f"{one['signatures']} signatures" if one["signatures"] else ""]
        words += ["cached" if one["cached"] else "", "as in the folder" if one.get("same_as_folder") else ""]
        yield f"tag          {'  '.join(filter(None, words))}"
    if (lock := found["lock"]) is not None:
        yield f"lock         {lock['file']}: {lock['version'] or 'does not pin it'}"
    cached = found["cached"]
    place = f"{cached['version']}  {cached['folder']}" if cached else "never fetched under this name"
    yield f"cache        {place}"
    if found["requirements"]:
        yield f"requires     {' '.join(found['requirements'])}"
        yield f"environment  {found['environment'] or 'not made: `jina hub pull --install-requirements` makes it'}"


# --- list, inspect, verify ----------------------------------------------------------------------------------------


def add_hub_list(parser: argparse.ArgumentParser) -> None:
    """A package, or nothing for all."""
    parser.add_argument(
        "name", metavar="NAME", nargs="?", default="", help="package whose tags to list [default: all packages]"
    )
    add_options(parser, HubAccess)
    _add_json(parser)


def run_hub_list(options: argparse.Namespace) -> int:
    """Print a package and its tags a line."""
    from jina.hub.fetch import open_registry, registry_named

    spec = from_namespace(HubAccess, options)
    home, prefix = registry_named(spec.registry)
    if options.name:
        named, store = _package(spec, options.name)
        names = [named.reference.repository]
        home, prefix = named.registry, prefix if named.registry == home else ""
    else:
        store = open_registry(home, _access(spec, home))
        names = [name for name in _repositories(store) if name.startswith(prefix)]
    # By the names that `jinahub://` takes.
    found = {
        name.removeprefix(prefix): [tag for tag in store.tags(name) if not tag.startswith("sha256-")] for name in names
    }
    place = f"{home}/{prefix}".rstrip("/")
    if options.json:
        _print({"registry": place, "packages": found})
    else:
        for name, tags in found.items():
            print(f"{name}  {' '.join(tags)}".rstrip())
        if not found:
            print(f"{place} has no packages: jina hub push PATH stores one", file=sys.stderr)
    return 0


def _repositories(store: Store) -> list[str]:
    listing: LayoutStore | RegistryStore = store  # type: ignore[assignment]
    return listing.repositories()


def add_hub_inspect(parser: argparse.ArgumentParser) -> None:
    """What to show."""
    parser.add_argument("uri", metavar="URI", help="the package, as `uses` names it, such as jinahub://NAME")
    add_options(parser, HubAccess)
    _add_json(parser)


def run_hub_inspect(options: argparse.Namespace) -> int:
    """Print digest, metadata, endpoints, layers and what refers to it."""
    from jina.hub.packages import manifest_of, metadata_of

    spec = from_namespace(HubAccess, options)
    named, store = _package(spec, options.uri)
    repository = named.reference.repository
    entry, manifest = manifest_of(store, repository, named.reference.wanted)
    metadata = metadata_of(store, repository, manifest)
    referrers = store.referrers(repository, entry.digest)
    if options.json:
        _print(
            {
                "repository": repository,
                "digest": entry.digest,
                "metadata": metadata,
                "manifest": json.loads(manifest.to_bytes()),
                "referrers": [one.to_json() for one in referrers],
            }
        )
        return 0
    for line in _inspected(repository, entry, manifest, metadata):
        print(line)
    for one in referrers:
        print(f"referrer     {one.artifact_type}  {one.digest}")
    return 0


def _inspected(repository: str, entry: Descriptor, manifest: Manifest, metadata: Mapping[str, Any]) -> Iterator[str]:
    from jina.hub.packages import TITLE

    yield f"package      {repository}"
    yield f"digest       {entry.digest}"
    for key in ("name", "description", "url"):
        if metadata.get(key):
            yield f"{key:<12} {_printable(metadata[key])}"
    for layer in manifest.layers:
        yield f"layer        {layer.size:>12,} B  {_printable(layer.annotations.get(TITLE, 'source'))}"
    for line in _endpoint_lines(metadata.get("endpoints") or []):
        yield f"endpoint     {_printable(line)}"


def _printable(text: Any) -> str:
    """Text of a registry without what a terminal would take as commands."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(text))


def add_hub_verify(parser: argparse.ArgumentParser) -> None:
    """The package and the keys."""
    parser.add_argument("uri", metavar="URI", help="the package, as `uses` names it, such as jinahub://NAME")
    add_options(parser, HubVerifySpec)
    _add_json(parser)


def run_hub_verify(options: argparse.Namespace) -> int:
    """Print which key signed it; 1 where none of them did."""
    import os

    from jina.hub.packages import manifest_of
    from jina.hub.signatures import key_files, verify

    spec = from_namespace(HubVerifySpec, options)
    keys = key_files(os.pathsep.join(spec.key) or os.environ.get("JINA_HUB_KEYS", ""))
    named, store = _package(spec, options.uri)
    entry, _ = manifest_of(store, named.reference.repository, named.reference.wanted)
    try:
        key = verify(store, named.reference.repository, entry.digest, keys)
    except PermissionDenied as error:
        if options.json:
            _print({"digest": entry.digest, "verified": False, "reason": error.message})
        else:
            print(f"jina: {error}", file=sys.stderr)
        return 1
    if options.json:
        _print({"digest": entry.digest, "verified": True, "key": str(key)})
    else:
        print(f"{entry.digest} is signed by {key}")
    return 0


# --- lock ---------------------------------------------------------------------------------------------------------


def add_hub_lock(parser: argparse.ArgumentParser) -> None:
    """What to pin."""
    parser.add_argument(
        "source", metavar="SOURCE", nargs="+", help="YAML file of a Flow or Deployment, or a package as `uses` names it"
    )
    add_options(parser, HubLockSpec)
    _add_json(parser)


def run_hub_lock(options: argparse.Namespace) -> int:
    """Look every package up, and write its digest."""
    from jina.hub.fetch import read_lock, write_lock

    spec = from_namespace(HubLockSpec, options)
    file = Path(spec.output)
    pins = read_lock(file) if file.exists() else {}
    for source in options.source:
        found = [source.strip()] if _is_pinned(source) else sorted(_references(source))
        if not found:
            raise UsageError(f"{source} names no package of a registry or of git, and no image")
        for uses in found:
            pins[uses] = _version(spec, uses)
    write_lock(file, pins)
    if options.json:
        _print({"file": str(file), "packages": pins})
    else:
        for uses, version in sorted(pins.items()):
            print(f"{uses}  {version}")
    return 0


def _is_pinned(uses: Any) -> bool:
    from jina.config.rules import is_image
    from jina.hub.fetch import is_reference

    return is_reference(uses) or is_image(uses)


def _version(spec: HubLockSpec, uses: str) -> str:
    """What a name stands for now; a package is fetched for it."""
    from jina.config.rules import is_image
    from jina.hub.fetch import Fetching, Named, image_digest, image_named
    from jina.hub.signatures import Trust

    if is_image(uses):
        return image_digest(uses, spec.registry, _access(spec, image_named(uses, spec.registry).registry))
    trust = Trust.from_environment()
    if trust.policy == "digest":  # the lock is what gives the digest
        trust = Trust()
    registry = "" if uses.startswith("git+") else Named.parse(uses, spec.registry).registry
    return Fetching(registry=spec.registry, trust=trust, access=_access(spec, registry)).fetch(uses).version


def _references(source: str) -> set[str]:
    """Every package and image that a YAML file names, and the YAML files that it names."""
    from jina.config import load
    from jina.executor.loading import path_named

    found: set[str] = set()
    files = [source]

    def look(value: Any, folder: str) -> None:
        if isinstance(value, Mapping):
            for name, inner in value.items():
                if name in {"uses", "uses_before", "uses_after", "gateway"} and isinstance(inner, str):
                    if _is_pinned(inner):
                        found.add(inner.strip())
                    elif (path := path_named(inner, [folder])) is not None and path not in files:
                        files.append(path)
                look(inner, folder)
        elif isinstance(value, list):
            for inner in value:
                look(inner, folder)

    for file in files:
        look(load(file)[0], str(Path(file).absolute().parent))
    return found


# --- login and logout ---------------------------------------------------------------------------------------------


def add_hub_login(parser: argparse.ArgumentParser) -> None:
    """The registry and the user."""
    parser.add_argument(
        "host", metavar="HOST", nargs="?", default="", help="the registry [default: that of JINA_HUB_REGISTRY]"
    )
    add_options(parser, HubLoginSpec)
    _add_json(parser)


def run_hub_login(options: argparse.Namespace) -> int:
    """Try the credentials, then keep them as `docker login` does."""
    spec = from_namespace(HubLoginSpec, options)
    host = _host(options.host or spec.registry)
    access = _access(spec, host)
    from jina.hub.credentials import Credentials, save
    from jina.hub.registry import RegistryStore

    username = spec.username or _asked("Username: ")
    if spec.password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    elif sys.stdin.isatty():
        password = getpass.getpass("Password: ")
    else:
        raise UsageError("hub login: no terminal to ask for the password", help="--password-stdin reads it from there")
    credentials = Credentials(username, password)
    RegistryStore(host, access, lambda _: credentials).ping()
    place = save(host, credentials)
    if options.json:
        _print({"registry": host, "username": username, "kept": place})
    else:
        print(f"{username} at {host}: kept in {place}")
    return 0


def _asked(question: str) -> str:
    sys.stderr.write(question)
    sys.stderr.flush()
    answer = sys.stdin.readline().strip()
    if not answer:
        raise UsageError("hub login: no user was named", help="--username NAME")
    return answer


def _host(text: str) -> str:
    from jina.hub.fetch import registry_named

    host, _ = registry_named(text)
    if host.startswith("/"):
        raise UsageError("hub login: a registry in a folder asks for no credentials", help="jina hub login HOST")
    return host


def add_hub_logout(parser: argparse.ArgumentParser) -> None:
    """The registry."""
    parser.add_argument(
        "host", metavar="HOST", nargs="?", default="", help="the registry [default: that of JINA_HUB_REGISTRY]"
    )
    _add_json(parser)


def run_hub_logout(options: argparse.Namespace) -> int:
    """Forget the credentials."""
    from jina.hub.credentials import forget

    host = _host(options.host)
    was = forget(host)
    if options.json:
        _print({"registry": host, "forgotten": was})
    else:
        print(f"{host}: {'forgotten' if was else 'there was nothing to forget'}")
    return 0

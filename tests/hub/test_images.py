"""Images without an engine: by uv from wheels in a folder, on a base that holds nothing but the name of a Python."""

from __future__ import annotations

import gzip
import io
import json
import marshal
import os
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from tests.hub.registries import docker_registry

from jina.cli.main import main
from jina.config.models import HubBuildSpec
from jina.hub import images
from jina.hub.build import build
from jina.hub.dockerfiles import own_wheels
from jina.hub.oci import (
    IMAGE_CONFIG,
    IMAGE_LAYER,
    Descriptor,
    Index,
    Layout,
    Manifest,
    Reference,
    copy_manifest,
    parse_manifest,
)
from jina.hub.registry import RegistryStore
from jina.version import __version__

HERE = f"{sys.version_info[0]}.{sys.version_info[1]}"
OTHER = "3.13" if HERE != "3.13" else "3.12"
PROGRAM = "[console_scripts]\njina = jina_of_tests:main\n"


def wheel(folder: Path, name: str, files: dict[str, str], requires: tuple[str, ...] = (), tag: str = "py3-none-any"):
    info = f"{name}-4.0.0.dist-info"
    metadata = [
        "Metadata-Version: 2.1",
        f"Name: {name}",
        "Version: 4.0.0",
        *(f"Requires-Dist: {one}" for one in requires),
    ]
    files = {
        **files,
        f"{info}/METADATA": "\n".join(metadata) + "\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    with zipfile.ZipFile(folder / f"{name}-4.0.0-{tag}.whl", "w") as made:
        for path, text in files.items():
            made.writestr(path, text)
        made.writestr(f"{info}/RECORD", "".join(f"{path},,\n" for path in (*files, f"{info}/RECORD")))


def base(
    folder: Path,
    version: str = HERE,
    architectures: tuple[str, ...] = ("amd64",),
    program: str = "",
    files: dict[str, str] | None = None,
) -> str:
    """A layout with one layer that has a Python, for one platform or more."""
    store = Layout(folder)
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:") as made:
        made.addfile(tarfile.TarInfo(f"./usr/local/bin/{program or f'python{version}'}"))
        for name, text in (files or {}).items():
            about = tarfile.TarInfo(name)
            about.size = len(text)
            made.addfile(about, io.BytesIO(text.encode()))
    compressed = gzip.compress(target.getvalue(), mtime=0)
    layer = Descriptor.of(IMAGE_LAYER, compressed)
    store.write_blob("", layer, io.BytesIO(compressed))
    content = Descriptor.of("", target.getvalue()).digest
    entries = []
    for architecture in architectures:
        about = {"os": "linux", "architecture": architecture}
        inside = {"Env": ["PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8"], "Cmd": ["python3"], "User": "root"}
        config = {**about, "config": inside, "rootfs": {"type": "layers", "diff_ids": [content]}}
        data = json.dumps(config).encode()
        entry = Descriptor.of(IMAGE_CONFIG, data)
        store.write_blob("", entry, io.BytesIO(data))
        one = store.write_manifest("", Manifest(entry, (layer,)).to_bytes(), () if architectures[1:] else ("latest",))
        entries.append(Descriptor(one.media_type, one.digest, one.size, platform=about))
    if architectures[1:]:
        store.write_manifest("", Index(tuple(entries)).to_bytes(), ("latest",))
    return f"oci:{folder}"


@pytest.fixture
def package(tmp_path, monkeypatch) -> Path:
    """A package with a requirement of its own, whose wheels are all in its folder."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    return write_package(tmp_path / "package")


def write_package(folder: Path) -> Path:
    (folder / "wheels").mkdir(parents=True)
    (folder / "models/small").mkdir(parents=True)
    program = {"jina_of_tests.py": "def main(): print('served')\n", "rejina-4.0.0.dist-info/entry_points.txt": PROGRAM}
    wheel(folder / "wheels", "rejina", program)
    thing = {
        "thing/__init__.py": "VALUE = {'b', 'a'}\n",
        "thing/data.bin": "x",
        "thing/more.py": "",
        "thing/test.py": "",
    }
    wheel(folder / "wheels", "thing", thing)
    (folder / "executor.py").write_text("import thing\n\nfrom jina import Executor\n")
    (folder / "config.yml").write_text("jtype: Upper\nmetas:\n  description: Capital letters\n")
    (folder / "requirements.txt").write_text("thing\n")
    (folder / "models/small/weights.bin").write_bytes(bytes(1000))
    (folder / "start.sh").write_text("#!/bin/sh\n")
    (folder / "start.sh").chmod(0o755)
    return folder


def built(capsys, package: Path, *words: str, to: Path) -> str:
    """The digest of the image that a command line builds into a layout."""
    assert main(["hub", "build", str(package), "--daemonless", "--output", f"oci:{to}", *words]) == 0, (
        capsys.readouterr()
    )
    digest, place = capsys.readouterr().out.rstrip().split(maxsplit=1)
    assert place == f"oci:{to}"
    return digest


def manifest(folder: Path, digest: str = "latest") -> Manifest:
    parsed = parse_manifest(Layout(folder).manifest("", digest)[1])
    assert isinstance(parsed, Manifest)
    return parsed


def content(folder: Path, blob: Descriptor) -> bytes:
    with Layout(folder).read_blob("", blob) as source:
        return source.read()


def members(folder: Path, layer: Descriptor) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(content(folder, layer))) as archive:
        return {member.name: member for member in archive}


def file_of(folder: Path, layer: Descriptor, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(content(folder, layer))) as archive:
        return archive.extractfile(name).read()


def test_the_same_package_gives_the_same_digest(package, tmp_path, capsys):
    first = built(capsys, package, "--base", base(tmp_path / "base"), to=tmp_path / "one")
    other = write_package(tmp_path / "elsewhere/of another name")
    for file in other.rglob("*"):
        os.utime(file, (1, 1))
    second = built(capsys, other, "--base", base(tmp_path / "base2"), to=tmp_path / "two")
    assert first == second


def test_what_is_made_is_told_as_json(package, tmp_path, capsys):
    place = f"oci:{tmp_path}/out"
    command = ["hub", "build", str(package), "--json"]
    assert main([*command, "--daemonless", "--base", base(tmp_path / "base"), "--output", place]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {"image": place, "digest": Layout(tmp_path / "out").manifest("", "latest")[0].digest}
    assert "installs what the package requires" in err
    assert main([*command, "--dockerfile-only"]) == 0
    files = json.loads(capsys.readouterr().out)["files"]
    assert files[0] == f"{package}/Dockerfile"
    assert all(map(os.path.isfile, files))


def test_layers_that_are_copied_are_told_of(package, tmp_path):
    moved: dict[str, list[int]] = {}

    def progress(name: str, more: int, size: int) -> None:
        moved.setdefault(name, [size]).append(more)

    spec = HubBuildSpec(daemonless=True, base=base(tmp_path / "base"), output=f"oci:{tmp_path}/out")
    build(package, spec, print, progress)
    names = ["layer 1 of 1 of the base", "dependencies", "code"]
    assert [name.partition(": ")[2] for name in moved] == names
    assert all(size == sum(more) for size, *more in moved.values())


def test_a_change_of_code_changes_the_last_layer_only(package, tmp_path, capsys):
    built(capsys, package, "--base", base(tmp_path / "base"), to=tmp_path / "out")
    before = manifest(tmp_path / "out")
    (package / "executor.py").write_text("from jina import Executor, requests\n")
    built(capsys, package, "--base", f"oci:{tmp_path}/base", to=tmp_path / "out")
    after = manifest(tmp_path / "out")
    assert [old == new for old, new in zip(before.layers, after.layers, strict=True)] == [True, True, False]
    assert after.layers[-1].size + after.config.size < 50_000


def test_what_a_container_of_it_does(package, tmp_path, capsys):
    built(capsys, package, "--base", base(tmp_path / "base"), to=tmp_path / "out")
    made = manifest(tmp_path / "out")
    config = json.loads(content(tmp_path / "out", made.config))
    inside = config["config"]
    assert (config["os"], config["architecture"]) == ("linux", "amd64")
    assert len(config["rootfs"]["diff_ids"]) == len(made.layers) == 3
    assert inside["User"] == "10001"
    assert inside["WorkingDir"] == "/workdir"
    assert inside["Entrypoint"] == ["jina", "executor", "--uses", "config.yml"]
    assert inside["Cmd"] == ["--port", "8080"]
    assert inside["Healthcheck"]["Test"] == ["CMD", "jina", "ping", "executor", "grpc://127.0.0.1:8080"]
    assert inside["ExposedPorts"] == {"8080/tcp": {}}
    assert {"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", "HOME=/home/executor"} <= set(inside["Env"])
    assert inside["Labels"] == made.annotations == {
        "org.opencontainers.image.title": "Upper",
        "org.opencontainers.image.description": "Capital letters",
        "org.jina.version": __version__,
    }  # fmt: skip


def test_the_health_check_asks_all_protocols(package, tmp_path, capsys):
    built(capsys, package, "--base", base(tmp_path / "base"), "--protocol", "grpc", "http", to=tmp_path / "out")
    inside = json.loads(content(tmp_path / "out", manifest(tmp_path / "out").config))["config"]
    assert inside["Cmd"] == ["--protocol", "grpc", "http", "--port", "8080", "8081"]
    asked = "jina ping executor grpc://127.0.0.1:8080 && jina ping executor http://127.0.0.1:8081"
    assert inside["Healthcheck"]["Test"] == ["CMD", "sh", "-c", asked]
    assert inside["ExposedPorts"] == {"8080/tcp": {}, "8081/tcp": {}}


def test_the_code_belongs_to_its_user_and_is_without_wheels(package, tmp_path, capsys):
    (package / "__pycache__").mkdir()
    (package / "__pycache__/executor.pyc").write_text("")
    (package / "Dockerfile").write_text("FROM scratch\n")
    built(capsys, package, "--base", base(tmp_path / "base"), to=tmp_path / "out")
    found = members(tmp_path / "out", manifest(tmp_path / "out").layers[-1])
    assert list(found) == [
        "home/executor", "workdir", "workdir/__pycache__",
        f"workdir/__pycache__/executor.{sys.implementation.cache_tag}.pyc", "workdir/config.yml", "workdir/executor.py",
        "workdir/models", "workdir/models/small", "workdir/models/small/weights.bin", "workdir/requirements.txt",
        "workdir/start.sh",
    ]  # fmt: skip
    assert {(one.uid, one.gid, one.mtime) for one in found.values()} == {(10001, 10001, 0)}
    assert {name for name, one in found.items() if one.isfile() and one.mode & 0o100} == {"workdir/start.sh"}


def test_what_ignore_files_leave_out_is_not_in_it(package, tmp_path, capsys):
    (package / ".dockerignore").write_text("models\n.dockerignore\n")
    (package / ".gitignore").write_text("*.sh\n")
    built(capsys, package, "--base", base(tmp_path / "base"), to=tmp_path / "out")
    found = members(tmp_path / "out", manifest(tmp_path / "out").layers[-1])
    assert list(found) == [
        "home/executor", "workdir", "workdir/.gitignore", "workdir/__pycache__",
        f"workdir/__pycache__/executor.{sys.implementation.cache_tag}.pyc", "workdir/config.yml", "workdir/executor.py",
        "workdir/requirements.txt",
    ]  # fmt: skip


def test_a_registry_gives_the_base_and_takes_the_image(package, tmp_path, capsys):
    digest = built(capsys, package, "--base", base(tmp_path / "base"), to=tmp_path / "out")
    with docker_registry(tmp_path / "registry") as running:
        store = RegistryStore(running.host)
        copy_manifest(Layout(tmp_path / "base"), store, "", "library/python", "latest", ["3.12"])
        words = ["--base", f"{running.host}/library/python:3.12", "-t", f"{running.host}/team/upper:v1"]
        assert main(["hub", "build", str(package), "--daemonless", *words]) == 0
        assert capsys.readouterr().out == f"{digest} {running.host}/team/upper:v1\n"
        pushed, data = store.manifest("team/upper", "v1")
        assert pushed.digest == digest
        for layer in parse_manifest(data).layers:
            with store.read_blob("team/upper", layer) as content:
                content.drain()
        words[1] = f"{running.host}/library/python:none"
        assert main(["hub", "build", str(package), "--daemonless", *words]) == 2
        assert "library/python" in capsys.readouterr().err


def test_dependencies_stand_where_the_base_looks_for_them(package, tmp_path, capsys):
    built(capsys, package, "--base", base(tmp_path / "base"), to=tmp_path / "out")
    layer = manifest(tmp_path / "out").layers[-2]
    packages = f"usr/local/lib/python{HERE}/site-packages"
    cached = f"{packages}/thing/__pycache__/__init__.{sys.implementation.cache_tag}.pyc"
    found = members(tmp_path / "out", layer)
    assert {f"{packages}/thing/data.bin", f"{packages}/jina_of_tests.py", cached, "usr/local/bin/jina"} <= set(found)
    assert not [name for name in found if name.endswith(("direct_url.json", "uv_cache.json", "INSTALLER"))]
    program = file_of(tmp_path / "out", layer, "usr/local/bin/jina").decode()
    assert program.startswith(f"#!/usr/local/bin/python{HERE}\n")
    assert str(tmp_path) not in program
    record = file_of(tmp_path / "out", layer, f"{packages}/rejina-4.0.0.dist-info/RECORD").decode()
    assert {"jina_of_tests.py,,", "bin/jina,,"} <= set(record.splitlines())
    assert "direct_url.json" not in record
    assert f"{packages}/thing/__pycache__/test.{sys.implementation.cache_tag}.pyc" not in found  # nothing imports it
    bytecode = file_of(tmp_path / "out", layer, cached)
    assert bytecode[4:8] == (1).to_bytes(4, "little")  # never compared with its source
    values: dict[str, object] = {}
    exec(marshal.loads(bytecode[16:]), values)
    assert values["VALUE"] == {"a", "b"}


@pytest.mark.slow
def test_a_base_with_another_python_gets_no_bytecode_of_this_one(package, tmp_path, capsys):
    built(capsys, package, "--base", base(tmp_path / "base", OTHER), to=tmp_path / "out")
    found = members(tmp_path / "out", manifest(tmp_path / "out").layers[-2])
    assert f"usr/local/lib/python{OTHER}/site-packages/thing/__init__.py" in found
    assert not [name for name in found if name.endswith(f".{sys.implementation.cache_tag}.pyc")]


def test_bytecode_is_made_by_the_version_that_the_base_has(package, tmp_path, capsys, monkeypatch):
    """By a Python of that version where there is one; without one a line says what that costs."""
    monkeypatch.setattr(images, "interpreter", lambda version: None)
    line = ["hub", "build", str(package), "--daemonless", "--base", base(tmp_path / "base", OTHER)]
    assert main([*line, "--output", f"oci:{tmp_path}/none"]) == 0
    assert f"no Python {OTHER} on this machine: modules are compiled at each start" in capsys.readouterr().err
    assert not [one for one in members(tmp_path / "none", manifest(tmp_path / "none").layers[-2]) if "pyc" in one]
    monkeypatch.undo()
    if images.interpreter(OTHER) is None:
        pytest.skip(f"no Python {OTHER} here")
    built(capsys, package, "--base", f"oci:{tmp_path}/base", to=tmp_path / "out")
    found = members(tmp_path / "out", manifest(tmp_path / "out").layers[-2])
    assert (
        f"usr/local/lib/python{OTHER}/site-packages/thing/__pycache__/__init__.cpython-{OTHER.replace('.', '')}.pyc"
        in found
    )


def test_modules_of_python_itself_are_compiled_where_the_base_has_only_sources(package, tmp_path, capsys):
    """Official images come without bytecode, and the user of the image cannot write any."""
    library = f"usr/local/lib/python{HERE}"
    modules = {
        "encodings/__init__.py": "", "encodings/utf_8.py": "import codecs\n", "codecs.py": "X = 1\n",
        "unused.py": "", "runpy.py": "", f"__pycache__/runpy.{sys.implementation.cache_tag}.pyc": "of the base",
    }  # fmt: skip
    place = base(tmp_path / "base", files={f"{library}/{name}": text for name, text in modules.items()})
    built(capsys, package, "--base", place, to=tmp_path / "out")
    layer = manifest(tmp_path / "out").layers[-2]
    found = {name.removeprefix(f"{library}/") for name in members(tmp_path / "out", layer)}
    tag = sys.implementation.cache_tag
    added = {name for name in found if not name.startswith("site-packages/") and name.endswith(".pyc")}
    assert added == {f"encodings/__pycache__/{one}.{tag}.pyc" for one in ("__init__", "utf_8")} | {
        f"__pycache__/codecs.{tag}.pyc"
    }


def test_what_the_code_alone_imports_is_compiled_in_a_layer_of_its_own(package, tmp_path, capsys):
    """Dependencies stay as they are when the code imports more of them."""
    built(capsys, package, "--base", base(tmp_path / "base"), to=tmp_path / "out")
    before = manifest(tmp_path / "out").layers
    (package / "executor.py").write_text("import thing.more\n\nfrom jina import Executor\n")
    built(capsys, package, "--base", f"oci:{tmp_path}/base", to=tmp_path / "out")
    after = manifest(tmp_path / "out").layers
    assert (len(before), len(after), before[:2]) == (3, 4, after[:2])
    name = f"usr/local/lib/python{HERE}/site-packages/thing/__pycache__/more.{sys.implementation.cache_tag}.pyc"
    assert list(members(tmp_path / "out", after[2])) == [name]


def test_bytecode_of_the_code_is_compared_with_its_source(package, tmp_path, capsys):
    """Somebody may mount another executor.py over that of the image."""
    built(capsys, package, "--base", base(tmp_path / "base"), to=tmp_path / "out")
    name = f"workdir/__pycache__/executor.{sys.implementation.cache_tag}.pyc"
    assert file_of(tmp_path / "out", manifest(tmp_path / "out").layers[-1], name)[4:8] == (3).to_bytes(4, "little")


def test_each_layer_has_a_step_in_the_history(package, tmp_path, capsys):
    """Engines say the size of a layer by its step; an imported base has none."""
    built(capsys, package, "--base", base(tmp_path / "base"), to=tmp_path / "out")
    config = json.loads(content(tmp_path / "out", manifest(tmp_path / "out").config))
    steps = [step["created_by"] for step in config["history"]]
    assert steps == ["the base image", "jina hub build: dependencies", "jina hub build: code"]


def test_several_platforms_are_an_index(package, tmp_path, capsys):
    for platform, value in (("x86_64", "amd64"), ("aarch64", "arm64")):
        wheel(
            package / "wheels",
            "native",
            {"native.py": f"NAME = '{value}'\n"},
            (),
            f"py3-none-manylinux_2_17_{platform}",
        )
    (package / "requirements.txt").write_text("thing\nnative\n")
    place = base(tmp_path / "base", architectures=("amd64", "arm64"))
    digest = built(capsys, package, "--base", place, "--platform", "linux/amd64,linux/arm64", to=tmp_path / "out")
    index = parse_manifest(Layout(tmp_path / "out").manifest("", digest)[1])
    assert isinstance(index, Index)
    assert [one.platform["architecture"] for one in index.manifests] == ["amd64", "arm64"]
    for one in index.manifests:
        made = manifest(tmp_path / "out", one.digest)
        name = f"usr/local/lib/python{HERE}/site-packages/native.py"
        assert file_of(tmp_path / "out", made.layers[-2], name).decode() == f"NAME = '{one.platform['architecture']}'\n"


def test_a_docker_archive_is_an_image_and_can_be_a_base(package, tmp_path, capsys):
    archive = tmp_path / "image.tar"
    words = ["hub", "build", str(package), "--daemonless", "--base", base(tmp_path / "base")]
    assert main([*words, "--output", f"docker-archive:{archive}:localhost:5000/upper:v1"]) == 0
    digest = capsys.readouterr().out.split()[0]
    with tarfile.open(archive) as saved:
        (listed,) = json.loads(saved.extractfile("manifest.json").read())
        assert listed["RepoTags"] == ["localhost:5000/upper:v1"]
        assert {listed["Config"], *listed["Layers"]} <= set(saved.getnames())
        assert f"blobs/sha256/{digest.partition(':')[2]}" in saved.getnames()
        (entry,) = json.loads(saved.extractfile("index.json").read())["manifests"]
    # containerd reads the layout, not the list, and by these it knows the name.
    assert entry["annotations"] == {
        "io.containerd.image.name": "localhost:5000/upper:v1",
        "org.opencontainers.image.ref.name": "v1",
    }
    built(capsys, package, "--base", f"docker-archive:{archive}", to=tmp_path / "out")
    assert len(manifest(tmp_path / "out").layers) == 5


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("upper", "docker.io/library/upper:latest"),
        ("upper:v1", "docker.io/library/upper:v1"),
        ("me/upper:v1", "docker.io/me/upper:v1"),
        ("docker.io/me/upper", "docker.io/me/upper:latest"),
        ("localhost/upper:v1", "localhost/upper:v1"),
        ("host:5000/a/upper:v1", "host:5000/a/upper:v1"),
    ],
)
def test_a_name_is_written_out_as_engines_know_it(name, full):
    assert images.full_name(name) == full


WRONG = {
    "a platform that the base lacks": (["--platform", "linux/arm64"], "for linux/amd64, not linux/arm64"),
    "an unknown platform": (["--platform", "linux/s390x"], "'linux/s390x' is not one of linux/amd64, linux/arm64"),
    "a requirement that is nowhere": ([], "missing-thing"),
    "no such base": (["--base", "oci:/no/such"], "/no/such is not an OCI image layout"),
    "no such archive": (["--base", "docker-archive:/no/such"], "/no/such: no such file"),
    "a base that is no archive": (["--base", "docker-archive:{package}/config.yml"], "is not a docker archive"),
    "no place": (["--output", "oci:"], "names no path"),
    "no such jina": (["--jina-package", "./no/such.whl"], "./no/such.whl: no such wheel or folder"),
    "a name that is none": (["--base", "Python:3.12"], "'library/Python' is not a repository"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_named_and_nothing_is_tagged(case, package, tmp_path, capsys):
    words, message = WRONG[case]
    (package / "requirements.txt").write_text("missing-thing\n")
    place = base(tmp_path / "base")
    given = [word.replace("{package}", str(package)) for word in words]
    line = ["hub", "build", str(package), "--daemonless", "--base", place, "--output", f"oci:{tmp_path}/out", *given]
    assert main(line) == 2
    output = capsys.readouterr().err
    assert message in output
    assert not (tmp_path / "out/index.json").exists()


def test_a_name_without_a_host_is_read_as_docker_reads_it(tmp_path):
    found: list[str] = []

    def registries(reference: Reference) -> Layout:
        found.append(str(reference))
        return Layout(tmp_path)

    for name in ("python:3.12", "ada/upper", "localhost:5000/upper:v1"):
        images.Place.parse(name, registries, tmp_path)
    assert found == ["docker.io/library/python:3.12", "docker.io/ada/upper", "localhost:5000/upper:v1"]


def test_a_tag_that_says_no_place_is_told_which_there_are(package, tmp_path, capsys):
    assert (
        main(["hub", "build", str(package), "--daemonless", "--base", base(tmp_path / "base"), "-t", "upper:v1"]) == 2
    )
    assert "'upper:v1' says no place for the image\n  help: -t HOST/NAME pushes it" in capsys.readouterr().err


def test_a_date_that_is_none_is_named(package, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "today")
    line = ["hub", "build", str(package), "--daemonless", "--base", base(tmp_path / "base")]
    assert main([*line, "--output", f"oci:{tmp_path}/out"]) == 2
    assert "SOURCE_DATE_EPOCH: 'today' is no time" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_docker_s_name_of_a_platform_and_a_path_with_a_colon_are_understood(package, tmp_path, capsys):
    place = base(tmp_path / "a:b/base", architectures=("arm64",))
    built(capsys, package, "--base", place, "--platform", "linux/arm64/v8", to=tmp_path / "c:d/out")
    assert len(manifest(tmp_path / "c:d/out").layers) == 3


def test_a_base_without_python_is_refused(package, tmp_path, capsys):
    place = base(tmp_path / "base", program="perl")
    line = ["hub", "build", str(package), "--daemonless", "--base", place, "--output", f"oci:{tmp_path}/out"]
    assert main(line) == 2
    assert "has no Python on its PATH" in capsys.readouterr().err


@pytest.mark.slow
def test_the_jina_that_builds_is_what_is_installed(tmp_path):
    """Of a copy of the repository, as here: its wheel is built, with an empty `jina` for lines that name it."""
    names = sorted(file.name for file in own_wheels(tmp_path))
    assert {"jina-4.0.0-py3-none-any.whl", "rejina-4.0.0-py3-none-any.whl"} <= set(names)
    with zipfile.ZipFile(tmp_path / "rejina-4.0.0-py3-none-any.whl") as made:
        assert "jina/hub/build.py" in made.namelist()
    with zipfile.ZipFile(tmp_path / "jina-4.0.0-py3-none-any.whl") as made:
        assert "Requires-Dist: rejina[standard" in made.read("jina-4.0.0.dist-info/METADATA").decode()
    assert own_wheels(tmp_path) == []

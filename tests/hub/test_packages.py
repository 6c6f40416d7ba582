"""Packages: what of a folder is in them, and that they come back from a registry as they were."""

import io
import json
import os

import pytest

from jina.errors import ConfigError
from jina.hub.oci import Damaged, Descriptor, LayoutStore, Manifest, parse_manifest
from jina.hub.packages import (
    ARTIFACT,
    FILE,
    LARGE,
    SBOM,
    TITLE,
    Package,
    files_of,
    manifest_of,
    metadata_of,
    pull,
    push,
    read_all,
)

EXECUTOR = """\
from jina import DocumentArray, Executor, requests


class Upper(Executor):
    @requests
    def foo(self, docs: DocumentArray, **kwargs):
        for doc in docs:
            doc.text = doc.text.upper()
"""


def write(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


@pytest.fixture
def folder(tmp_path):
    return write(
        tmp_path / "upper",
        {
            "config.yml": "jtype: Upper\npy_modules: [executor.py]\nmetas: {description: Capital letters}\n",
            "executor.py": EXECUTOR,
            "requirements.txt": "numpy==2.0.0\nrequests  # any\n",
            "weights/model.bin": os.urandom(LARGE + 5),
            "src/ü mlaut.txt": "x",
        },
    )


@pytest.fixture
def store(tmp_path):
    return LayoutStore(tmp_path / "registry")


def pushed(folder, store, tags=("latest",)):
    return push(Package.read(folder), store, "upper", tags, endpoints=[])


class TestFiles:
    @pytest.mark.parametrize(
        ("name", "text", "left"),
        [
            (".jinaignore", "*.txt\n!keep.txt\n", {"a.bin", "data/b.bin", "keep.txt", "data/keep.txt"}),
            (".gitignore", "/data/\n# a comment\n", {"a.bin", "a.txt", "keep.txt"}),
            (".gitignore", "data/*\n!data/keep.txt\n", {"a.bin", "a.txt", "keep.txt", "data/keep.txt"}),
            (".gitignore", "data/\n!data/keep.txt\n", {"a.bin", "a.txt", "keep.txt"}),
            (".gitignore", "**/b.bin\n[ab].txt\n", {"a.bin", "keep.txt", "data/keep.txt", "data/c.txt"}),
            (".dockerignore", "data\n!data/keep.txt\n*.bin\n", {"a.txt", "keep.txt", "data/keep.txt"}),
            (".dockerignore", "*.txt\n", {"a.bin", "data/b.bin", "data/keep.txt", "data/c.txt"}),
            (".dockerignore", "**/*.txt\nDockerfile\n", {"a.bin", "data/b.bin", "Dockerfile"}),
        ],
    )
    def test_ignore_files(self, tmp_path, name, text, left):
        names = ["a.txt", "a.bin", "keep.txt", "data/b.bin", "data/c.txt", "data/keep.txt", "Dockerfile"]
        write(tmp_path, {**dict.fromkeys(names, "x"), name: text})
        assert set(files_of(tmp_path)) == left | {name, "Dockerfile"}

    @pytest.mark.parametrize("place", [".gitignore", "wheels/.gitignore"])
    def test_gathered_wheels_belong_to_it_though_git_ignores_them(self, tmp_path, place):
        """`uv build` and `uv pip download` leave a .gitignore of one `*`; projects list the folder or `*.whl`."""
        wheels = {"wheels/a.whl": "", "wheels/jina/pyproject.toml": "", "wheels/jina/.gitignore": "dist\n"}
        write(tmp_path, {**wheels, "wheels/jina/dist/x": "", "other/b.whl": "", "a.py": ""})
        (tmp_path / place).write_text("*\n!other\n!a.py\n" if "/" in place else "wheels/\n*.whl\n")
        found = [one for one in files_of(tmp_path) if one != place]
        assert found == ["a.py", *(["other/b.whl"] if "/" in place else []), *sorted(wheels)]

    @pytest.mark.parametrize("name", [".jinaignore", ".dockerignore"])
    def test_wheels_are_left_out_where_an_ignore_file_for_packages_says_so(self, tmp_path, name):
        write(tmp_path, {"wheels/a.whl": "", "a.py": "", name: "wheels\n"})
        assert files_of(tmp_path) == [name, "a.py"]

    def test_an_ignore_file_of_an_inner_folder_holds_there(self, tmp_path):
        write(tmp_path, {"a/.gitignore": "/x\n", "a/x": "", "x": "", "a/b/x": ""})
        assert files_of(tmp_path) == ["a/.gitignore", "a/b/x", "x"]

    def test_what_never_belongs_to_a_package(self, tmp_path):
        write(tmp_path, {".git/config": "", "__pycache__/a.pyc": "", "b.pyc": "", ".venv/x": "", "a.py": ""})
        assert files_of(tmp_path) == ["a.py"]

    def test_links_stay_within(self, tmp_path):
        write(tmp_path, {"p/a.txt": "x", "secret": "s"})
        (tmp_path / "p/link").symlink_to("a.txt")
        assert files_of(tmp_path / "p") == ["a.txt", "link"]
        (tmp_path / "p/out").symlink_to(tmp_path / "secret")
        with pytest.raises(ConfigError, match="leads out of the package"):
            files_of(tmp_path / "p")
        (tmp_path / "p/out").unlink()
        (tmp_path / "p/round").symlink_to(".")
        with pytest.raises(ConfigError, match="leads out of the package"):
            files_of(tmp_path / "p")

    def test_a_pipe_is_named(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(ConfigError, match="pipe is not a file"):
            files_of(tmp_path)


class TestReading:
    def test_metadata(self, folder):
        package = Package.read(folder)
        assert (package.name, package.repository) == ("Upper", "upper")
        assert package.metadata["description"] == "Capital letters"
        assert package.metadata["requirements"] == ["requirements.txt"]

    @pytest.mark.parametrize(
        ("files", "words"),
        [
            ({"executor.py": ""}, "no config.yml"),
            ({"config.yml": "with: {}\n"}, "no jtype"),
            ({"config.yml": "jtype: X\n", ".gitignore": "*.yml\n"}, "left out by an ignore file"),
        ],
    )
    def test_what_is_none(self, tmp_path, files, words):
        with pytest.raises(ConfigError, match=words):
            Package.read(write(tmp_path, files))


class TestPushAndPull:
    def test_there_and_back(self, folder, store, tmp_path):
        (folder / "run.sh").write_text("#!/bin/sh\n")
        (folder / "run.sh").chmod(0o755)
        (folder / "weights/model.bin").chmod(0o755)
        pushed(folder, store)
        entry, manifest = manifest_of(store, "upper", "latest")
        target = tmp_path / "cache" / "x"
        pull(store, "upper", manifest, target, blobs=tmp_path / "blobs")
        assert files_of(target) == files_of(folder)
        for path in files_of(folder):
            assert (target / path).read_bytes() == (folder / path).read_bytes()
            assert (target / path).stat().st_mode & 0o100 == (folder / path).stat().st_mode & 0o100
        assert [one.name for one in target.parent.iterdir()] == ["x"]
        assert entry.artifact_type == ARTIFACT

    def test_the_same_folder_gives_the_same_digest(self, folder, store, tmp_path):
        first = pushed(folder, store)
        for path in files_of(folder):
            os.utime(folder / path, (1, 1))
        assert pushed(folder, LayoutStore(tmp_path / "other")).digest == first.digest

    def test_the_form_of_the_artifact(self, folder, store):
        pushed(folder, store)
        _, manifest = manifest_of(store, "upper", "latest")
        titles = {layer.annotations.get(TITLE): layer.media_type for layer in manifest.layers}
        assert titles == {
            None: "application/vnd.jina.executor.source.v1.tar+gzip",
            "requirements.txt": "application/vnd.jina.executor.requirements.v1",
            "weights/model.bin": FILE,
        }
        assert manifest.annotations["org.opencontainers.image.title"] == "Upper"
        assert metadata_of(store, "upper", manifest)["jtype"] == "Upper"

    def test_the_date_is_told_when_asked(self, folder, store, monkeypatch):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
        pushed(folder, store)
        _, manifest = manifest_of(store, "upper", "latest")
        assert manifest.annotations["org.opencontainers.image.created"] == "1970-01-02T00:00:00Z"

    def test_weights_travel_once(self, folder, store, tmp_path):
        pushed(folder, store)
        (folder / "executor.py").write_text(EXECUTOR + "# changed\n")
        blobs = {file.name for file in (store.root / "upper/blobs/sha256").iterdir()}
        pushed(folder, store, ["v2"])
        added = [file for file in (store.root / "upper/blobs/sha256").iterdir() if file.name not in blobs]
        assert sum(file.stat().st_size for file in added) < 50_000
        transferred = []
        for tag in ("latest", "v2"):
            _, manifest = manifest_of(store, "upper", tag)
            pull(
                store, "upper", manifest, tmp_path / tag, blobs=tmp_path / "blobs",
                progress=lambda name, more, size: transferred.append((name, more)),
            )  # fmt: skip
        assert sum(more for name, more in transferred if name == "weights/model.bin") == LARGE + 5

    def test_a_kept_blob_that_changed_is_not_used(self, folder, store, tmp_path):
        pushed(folder, store)
        _, manifest = manifest_of(store, "upper", "latest")
        pull(store, "upper", manifest, tmp_path / "a", blobs=tmp_path / "blobs")
        (tmp_path / "a/weights/model.bin").write_bytes(b"changed")
        pull(store, "upper", manifest, tmp_path / "b", blobs=tmp_path / "blobs")
        assert (tmp_path / "b/weights/model.bin").read_bytes() == (folder / "weights/model.bin").read_bytes()

    def test_the_bill_of_materials(self, folder, store):
        package = pushed(folder, store)
        (referrer,) = store.referrers("upper", package.digest, SBOM)
        manifest = parse_manifest(store.manifest("upper", referrer.digest)[1])
        value = json.loads(read_all(store, "upper", manifest.layers[0], 1 << 20))
        assert value["bomFormat"] == "CycloneDX"
        assert [one["purl"] for one in value["components"]] == ["pkg:pypi/numpy@2.0.0", "pkg:pypi/requests"]


def test_without_a_configuration_it_is_told_what_to_write(folder):
    (folder / "config.yml").unlink()
    with pytest.raises(ConfigError, match=r"no config\.yml") as caught:
        Package.read(folder)
    assert caught.value.help == "write one with two lines, `jtype: Upper` and `py_modules: [executor.py]`"
    (folder / "config.yml").write_text("jtype: Upper\npy_modules: [executor.py]\n")
    assert Package.read(folder).name == "Upper"


class TestHostilePackages:
    def layered(self, store, folder, title):
        pushed(folder, store)
        _, manifest = manifest_of(store, "upper", "latest")
        layers = [
            Descriptor(one.media_type, one.digest, one.size, {TITLE: title}) if one.media_type == FILE else one
            for one in manifest.layers
        ]
        store.write_manifest("upper", Manifest(manifest.config, tuple(layers), {}, ARTIFACT).to_bytes(), ["bad"])
        return manifest_of(store, "upper", "bad")[1]

    @pytest.mark.parametrize(
        "title",
        ["", "/etc/x", "../x", "a/../../x", "executor.py", "EXECUTOR.PY", "executor.py/x", "a\\b", "config.yml"],
    )
    def test_a_file_that_would_be_elsewhere(self, store, folder, tmp_path, title):
        manifest = self.layered(store, folder, title)
        with pytest.raises(Damaged):
            pull(store, "upper", manifest, tmp_path / "out/x", blobs=tmp_path / "blobs")
        assert list((tmp_path / "out").iterdir()) == []
        assert not (tmp_path / "x").exists()

    def test_a_truncated_blob(self, store, folder, tmp_path):
        pushed(folder, store)
        _, manifest = manifest_of(store, "upper", "latest")
        for layer in manifest.layers:
            file = store.root / "upper/blobs/sha256" / layer.digest.removeprefix("sha256:")
            content = file.read_bytes()
            file.write_bytes(content[:-1])
            with pytest.raises(Damaged, match=layer.digest):
                pull(store, "upper", manifest, tmp_path / "out/x", blobs=tmp_path / "blobs")
            file.write_bytes(content)
            assert list((tmp_path / "out").iterdir()) == []

    def test_an_image_is_no_package(self, store, folder):
        store.write_blob("image", Descriptor.of("application/x", b"{}"), io.BytesIO(b"{}"))
        data = Manifest(Descriptor.of("application/x", b"{}"), ()).to_bytes()
        store.write_manifest("image", data, ["latest"])
        with pytest.raises(Damaged, match="not an Executor package but application/x"):
            manifest_of(store, "image", "latest")

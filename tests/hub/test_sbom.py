"""The bill of materials of a package: everything that its files of requirements name or lock, and nothing else."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.hub.test_packages import write

from jina.errors import ConfigError
from jina.hub.oci import LayoutStore, parse_manifest
from jina.hub.packages import SBOM, Package, push, read_all

CONFIG = {"config.yml": "jtype: Upper\n"}
WHEEL = "https://example.org/Hidden_One-2.1-py3-none-any.whl"
QUOTED = "https%3A%2F%2Fexample.org%2F"


def components(folder):
    """Those that `push` stores, as (name, version, package URL)."""
    store = LayoutStore(folder.parent / "registry")
    pushed = push(Package.read(folder), store, "upper", ["latest"])
    (referrer,) = store.referrers("upper", pushed.digest, SBOM)
    manifest = parse_manifest(store.manifest("upper", referrer.digest)[1])
    value = json.loads(read_all(store, "upper", manifest.layers[0], 1 << 20))
    assert (value["bomFormat"], value["specVersion"]) == ("CycloneDX", "1.6")
    assert value["metadata"]["component"]["version"] == pushed.digest
    references = [one["bom-ref"] for one in value["components"]]
    assert len(set(references)) == len(references)
    return [(one["name"], one.get("version"), one.get("purl")) for one in value["components"]]


def test_requirements_with_all_that_they_include(tmp_path):
    folder = write(
        tmp_path / "upper",
        CONFIG
        | {
            "requirements.txt": "-r more/base.txt  # ours\n-c limits.txt\n--extra-index-url https://example.org/simple\n"
            "Torch_Vision[extra] == 0.20.1+cpu ; python_version < '4' --hash=sha256:00\nrequests\npillow==11.*\n",
            "more/base.txt": "numpy\n-r deep/deep.txt\n",
            "more/deep/deep.txt": f"scipy>=1,<2\nhidden-one @ {WHEEL}\n./wheels/local-3.0-py3-none-any.whl\n"
            "git+https://example.org/x@v1#egg=from-git\nsomething \\\n  ===1.0.dev\n",
            "limits.txt": "numpy==2.0.0\nnot-required==1\n",
        },
    )
    assert components(folder) == [
        ("from-git", None, f"pkg:pypi/from-git?vcs_url=git%2B{QUOTED}x%40v1"),
        ("hidden-one", "2.1", f"pkg:pypi/hidden-one@2.1?download_url={QUOTED}Hidden_One-2.1-py3-none-any.whl"),
        ("local", "3.0", None),
        ("numpy", "2.0.0", "pkg:pypi/numpy@2.0.0"),
        ("pillow", None, "pkg:pypi/pillow"),
        ("requests", None, "pkg:pypi/requests"),
        ("scipy", None, "pkg:pypi/scipy"),
        ("something", "1.0.dev", "pkg:pypi/something@1.0.dev"),
        ("torch-vision", "0.20.1+cpu", "pkg:pypi/torch-vision@0.20.1%2Bcpu"),
    ]  # fmt: skip


def test_a_project_with_requirements_beside_it(tmp_path):
    project = (
        "[project]\nname = 'p'\nversion = '1'\ndependencies = ['numpy==2.0.0', 'requests>=2; sys_platform != \"x\"']\n"
    )
    folder = write(tmp_path / "upper", CONFIG | {"pyproject.toml": project, "requirements.txt": "scipy==1.14\n"})
    assert [(name, version) for name, version, _ in components(folder)] == [
        ("numpy", "2.0.0"), ("requests", None), ("scipy", "1.14"),
    ]  # fmt: skip
    (folder / "pyproject.toml").write_text("[project]\nname = 'p'\ndynamic = ['version', 'dependencies']\n")
    assert [name for name, _, _ in components(folder)] == ["scipy"]


def test_a_lock_of_uv(tmp_path):
    """What is installed from it: dependencies of dependencies and of extras, no groups, not the project itself."""
    source = "source = { registry = 'https://pypi.org/simple' }\n"
    lock = (
        "version = 1\n"
        f"[[package]]\nname = 'colour'\nversion = '0.1'\n{source}"
        "[[package]]\nname = 'from-git'\nversion = '0.3'\nsource = { git = 'https://example.org/x?rev=v1#abc' }\n"
        f"[[package]]\nname = 'forked'\nversion = '1.0'\n{source}"
        f"[[package]]\nname = 'forked'\nversion = '2.0'\n{source}"
        f"[[package]]\nname = 'numpy'\nversion = '2.0.0'\n{source}"
        f"[[package]]\nname = 'pytest'\nversion = '8'\n{source}dependencies = [{{ name = 'colour' }}]\n"
        f"[[package]]\nname = 'rich'\nversion = '13'\n{source}dependencies = [{{ name = 'numpy' }}]\n"
        "[package.optional-dependencies]\nmore = [{ name = 'forked' }]\nless = [{ name = 'pytest' }]\n"
        "[[package]]\nname = 'my-upper'\nversion = '0.1.0'\nsource = { virtual = '.' }\n"
        "dependencies = [{ name = 'rich', extra = ['more'] }, { name = 'from-git' }]\n"
        "[package.dev-dependencies]\ndev = [{ name = 'pytest' }]\n"
    )
    project = "[project]\nname = 'my-upper'\nversion = '0.1.0'\ndependencies = ['rich[more]', 'from-git']\n"
    folder = write(tmp_path / "upper", CONFIG | {"uv.lock": lock, "pyproject.toml": project})
    assert components(folder) == [
        ("forked", "1.0", "pkg:pypi/forked@1.0"),
        ("forked", "2.0", "pkg:pypi/forked@2.0"),
        ("from-git", "0.3", "pkg:pypi/from-git@0.3?vcs_url=git%2Bhttps%3A%2F%2Fexample.org%2Fx%3Frev%3Dv1%23abc"),
        ("numpy", "2.0.0", "pkg:pypi/numpy@2.0.0"),
        ("rich", "13", "pkg:pypi/rich@13"),
    ]
    (folder / "uv.lock").write_text("version = 1\n[[package]\n")
    with pytest.raises(ConfigError, match=r"uv\.lock"):
        components(folder)


@pytest.mark.slow
def test_a_lock_that_uv_wrote(tmp_path):
    """The same as uv itself exports, of what the index has."""
    uv = Path(sys.executable).with_name("uv")
    folder = write(
        tmp_path / "upper",
        CONFIG
        | {
            "pyproject.toml": "[project]\nname = 'my-upper'\nversion = '1'\nrequires-python = '>=3.11'\n"
            "dependencies = ['rich']\n[dependency-groups]\ndev = ['iniconfig']\n[tool.uv]\npackage = false\n"
        },
    )
    subprocess.run([uv, "lock", "--quiet"], cwd=folder, check=True, timeout=120)
    words = ["export", "--quiet", "--frozen", "--no-emit-project", "--no-dev", "--no-hashes", "--no-annotate"]
    done = subprocess.run([uv, *words], cwd=folder, check=True, timeout=120, capture_output=True, text=True)
    exported = [line.partition(" ;")[0].strip() for line in done.stdout.splitlines() if line[:1].isalpha()]
    assert exported
    assert [f"{name}=={version}" for name, version, _ in components(folder)] == sorted(exported)


def test_a_file_that_is_not_there_is_named(tmp_path):
    folder = write(tmp_path / "upper", CONFIG | {"requirements.txt": "numpy\n-r gone.txt\n"})
    with pytest.raises(ConfigError, match=r"requirements\.txt:2: .*gone\.txt"):
        components(folder)

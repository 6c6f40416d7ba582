"""Which library of HTTP/2 is installed where: `ngh2` on all that it has wheels for, and `h2` on all others."""

import itertools
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
NEEDED = {one.name: one for one in map(Requirement, PROJECT["dependencies"]) if one.name in {"h2", "ngh2"}}
WHEELS = {
    ("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "x86_64"), ("darwin", "arm64"), ("win32", "AMD64"),
    ("win32", "ARM64"),
}  # fmt: skip
"""Of ngh2 0.3.0 on PyPI, each for CPython 3.10 to 3.15, on Linux for glibc and musl."""
PLATFORMS = ["linux", "darwin", "win32", "freebsd14", "cygwin", "android"]
MACHINES = ["x86_64", "aarch64", "arm64", "AMD64", "ARM64", "x86", "i686", "armv7l", "ppc64le", "s390x", "riscv64"]


@pytest.mark.parametrize("version", ["3.11", "3.14", "3.15", "3.16"])
@pytest.mark.parametrize("implementation", ["CPython", "PyPy"])
def test_one_library_is_needed_everywhere(implementation, version):
    for platform, machine in itertools.product(PLATFORMS, MACHINES):
        place = {
            "platform_python_implementation": implementation,
            "python_version": version,
            "python_full_version": f"{version}.0",
            "sys_platform": platform,
            "platform_machine": machine,
        }
        has_wheel = implementation == "CPython" and version != "3.16" and (platform, machine) in WHEELS
        needed = {name for name, one in NEEDED.items() if one.marker.evaluate(place)}
        assert needed == ({"ngh2"} if has_wheel else {"h2"}), place

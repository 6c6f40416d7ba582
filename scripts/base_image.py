"""A base image made of what is on this machine: its Python and a few programs, as a folder in OCI image layout.

It stands for `python:X.Y-slim` where no registry is reached. Run, it takes the layout's folder.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from jina.hub.oci import IMAGE_CONFIG, Descriptor, Layout, Manifest

VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"
LIBRARIES = ("libstdc++.so.6", "libgcc_s.so.1", "libgomp.so.1", "libnss_dns.so.2", "libnss_files.so.2",
             "libresolv.so.2", "libm.so.6", "librt.so.1", "libpthread.so.0", "libdl.so.2", "libutil.so.1")  # fmt: skip
"""What compiled Python packages and the resolver load at run time."""
LEFT_OUT = ("site-packages", "test", "config-*", "idlelib", "__pycache__", "tkinter", "turtledemo")
PROGRAMS = ("/bin/dash", "/usr/bin/env", "/usr/sbin/useradd", "/sbin/ldconfig")
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


class Unsuitable(Exception):
    """No base image can be made of this machine."""


def base_layout(folder: Path, version: str = VERSION) -> str:
    """The base image in that folder as `--base` takes it, made if it is not there; raises `Unsuitable`."""
    if (folder / "index.json").exists():
        return f"oci:{folder}"
    prefix = python_for(version)
    missing = [name for name in ("ldd", "dpkg", "tar", *PROGRAMS) if shutil.which(name) is None]
    if sys.platform != "linux" or os.uname().machine not in MACHINES or missing:
        raise Unsuitable(f"a base image is made of a Debian on amd64 or arm64 ({', '.join(missing) or sys.platform})")
    if prefix is None:
        raise Unsuitable(f"no Python {version} here that stands on its own; --base names another base image")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        _store(Path(scratch) / "root", prefix, version, folder)
    return f"oci:{folder}"


def _store(root: Path, prefix: Path, version: str, folder: Path) -> None:
    base_root(root, prefix, version)
    subprocess.run(["/sbin/ldconfig", "-r", root], check=True, timeout=60)
    layer = root.with_suffix(".tar")
    same = ("--sort=name", "--numeric-owner", "--owner=0", "--group=0", "--mtime=@0")
    subprocess.run(["tar", "-C", root, *same, "-cf", layer, "."], check=True, timeout=100)
    store = Layout(folder)
    done = subprocess.run(["sha256sum", layer], check=True, capture_output=True, text=True, timeout=60)
    blob = Descriptor("application/vnd.oci.image.layer.v1.tar", f"sha256:{done.stdout[:64]}", layer.stat().st_size)
    with layer.open("rb") as file:
        store.write_blob("", blob, file)
    environment = {"Env": ["PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8"], "Cmd": ["python3"]}
    about = {"os": "linux", "architecture": MACHINES[os.uname().machine]}
    config = {**about, "config": environment, "rootfs": {"type": "layers", "diff_ids": [blob.digest]}}
    data = json.dumps(config).encode()
    entry = Descriptor.of(IMAGE_CONFIG, data)
    store.write_blob("", entry, io.BytesIO(data))
    store.write_manifest("", Manifest(entry, (blob,)).to_bytes(), ["latest"])


def python_for(wanted: str) -> Path | None:
    """The prefix of a Python of that version that stands on its own: the one that runs this, or one beside it."""
    own = Path(sys.base_prefix)
    places = [own, *sorted(own.parent.glob(f"{wanted}.*"))]
    return next((p for p in places if p != Path("/usr") and (p / f"bin/python{wanted}").exists()), None)


def base_root(root: Path, prefix: Path, version: str) -> None:
    """The files of a small system with a Python in /usr/local, in a folder that is not there yet."""
    _tree(root)
    _python(root, prefix, version)
    coreutils = subprocess.run(["dpkg", "-L", "coreutils"], check=True, capture_output=True, text=True).stdout
    programs = [line for line in coreutils.splitlines() if re.match(r"(/usr)?/bin/", line)]
    for program in [*PROGRAMS, *programs]:
        shutil.copy2(program, root / "usr/bin" / Path(program).name)
    (root / "usr/bin/sh").symlink_to("dash")
    _libraries(root, prefix, version)


def _tree(root: Path) -> None:
    for folder in ("usr/bin", "usr/lib", "usr/lib64", "usr/sbin", "usr/local/bin", "usr/local/lib", "tmp", "etc",
                   "root", "home", "var/tmp", "proc", "sys", "dev", "run"):  # fmt: skip
        (root / folder).mkdir(parents=True)
    (root / "tmp").chmod(0o1777)
    for link in ("bin", "sbin", "lib", "lib64"):
        (root / link).symlink_to(f"usr/{link}")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    (root / "etc/nsswitch.conf").write_text("hosts: files dns\n")
    (root / "etc/ld.so.conf").write_text("/usr/local/lib\n")


def _python(root: Path, prefix: Path, version: str) -> None:
    local = root / "usr/local"
    shutil.copy2(prefix / f"bin/python{version}", local / "bin")
    (local / "bin/python3").symlink_to(f"python{version}")
    (local / "bin/python").symlink_to("python3")
    library = f"lib/python{version}"
    shutil.copytree(prefix / library, local / library, ignore=shutil.ignore_patterns(*LEFT_OUT))
    (local / library / "site-packages").mkdir()
    for shared in prefix.glob("lib/libpython*.so*"):
        shutil.copy2(shared, local / "lib", follow_symlinks=False)


def _libraries(root: Path, prefix: Path, version: str) -> None:
    """The shared libraries of every program in the tree, and `LIBRARIES`."""
    known = dict(re.findall(r"^\s+(\S+) .*=> (\S+)$", _said("/sbin/ldconfig", "-p"), re.MULTILINE))
    extra = [known[name] for name in LIBRARIES if name in known]
    modules = (root / f"usr/local/lib/python{version}/lib-dynload").glob("*.so")
    programs = (root / "usr/bin").iterdir()
    found = _needed([*programs, *modules, *extra, root / f"usr/local/bin/python{version}"])
    for library in {*found, *extra}:
        if library.startswith(f"{prefix}/"):
            continue  # it stands in /usr/local/lib already
        target = root / "usr" / library.removeprefix("/usr").removeprefix("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            shutil.copy2(library, target)


def _needed(programs: Iterable[Path | str]) -> set[str]:
    return set(re.findall(r"(?:=> |^\s+)(/\S*\.so\S*)", _said("ldd", *programs), re.MULTILINE))


def _said(*command: object) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=60, check=False)
    return done.stdout


if __name__ == "__main__":
    print(base_layout(Path(sys.argv[1])))

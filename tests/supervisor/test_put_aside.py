"""What a replica that was removed leaves behind is put aside, so that another one may have its number."""

import os
import subprocess
import sys

import pytest

from jina.supervisor.agents import _put_aside

MOUNTED = """
import os, subprocess, sys
from jina.supervisor.agents import _put_aside
folder = sys.argv[1]
subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True)
for name in ("first", "second", None):
    if name:
        open(os.path.join(folder, name), "w").close()
    _put_aside(folder)
    print(os.listdir(folder), os.listdir(os.path.join(folder, "removed")))
"""


def test_a_folder_is_renamed(tmp_path):
    folder = tmp_path / "rep-0"
    _put_aside(str(folder))
    assert os.listdir(tmp_path) == []
    for name in ("first", "second"):
        folder.mkdir()
        (folder / name).touch()
        _put_aside(str(folder))
        assert os.listdir(tmp_path) == ["rep-0.removed"]
        assert os.listdir(tmp_path / "rep-0.removed") == [name]


def test_a_folder_that_is_a_disk_of_its_own_is_emptied(tmp_path):
    namespace = ["unshare", "--mount", "--propagation", "private"]
    probe = subprocess.run([*namespace, "mount", "-t", "tmpfs", "tmpfs", tmp_path], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("mounts are not permitted here")
    command = [*namespace, sys.executable, "-c", MOUNTED, tmp_path]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    result = ["['removed'] ['first']", "['removed'] ['second']", "['removed'] ['second']"]
    assert ran.stdout.splitlines() == result, ran.stderr

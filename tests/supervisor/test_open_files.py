"""A service for which too few files may be open is refused before it starts; gRPC ends such a process with SIGSEGV."""

import subprocess
import sys

import pytest

FLOW = """\
jtype: Flow
with: {host: 127.0.0.1}
executors: [{uses: Kept, py_modules: [kept.py]}]
"""
EXECUTOR = """\
from jina import Executor


class Kept(Executor):
    pass
"""


@pytest.mark.slow
@pytest.mark.parametrize("words", ["executor --uses Kept --py-modules kept.py", "flow --uses flow.yml", "gateway"])
@pytest.mark.parametrize("files", [16, 24])
def test_too_few_files_are_refused(words, files, tmp_path):
    (tmp_path / "kept.py").write_text(EXECUTOR)
    (tmp_path / "flow.yml").write_text(FLOW)
    command = f'ulimit -n {files}; exec "$0" -m jina {words}'
    done = subprocess.run(
        ["bash", "-c", command, sys.executable], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 2, done.stderr
    assert f"only {files} files may be open at a time (ulimit -n), and a service needs 64 or more" in done.stderr
    assert "ulimit -n 1024" in done.stderr
    assert "Traceback" not in done.stderr

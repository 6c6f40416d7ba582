"""Runs as processes of their own, from tests."""

import json
import subprocess
import sys
from pathlib import Path

AGENT = Path(__file__).parents[2] / ".cache/nemesis/jina-raft"
PORCUPINE = AGENT.with_name("porcupine")


def nemesis(seed, seconds, folder, *, planted="", kinds="", settle=60.0, **load):
    """What a run found."""
    command = [sys.executable, "-m", "tests.nemesis.run", "--seed", str(seed), "--seconds", str(seconds)]
    options = {"agent": AGENT, "folder": folder, "planted": planted, "kinds": kinds, "settle": settle, **load}
    command += [part for name, value in options.items() for part in (f"--{name}", str(value))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            output, _ = process.communicate(timeout=seconds + 180 + 2 * settle)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    found = output.splitlines()[-1]
    (Path(folder) / "found.json").write_text(found)
    return json.loads(found)


def porcupine(folder):
    """What Porcupine says of the history in a folder; None where it is not built."""
    if not PORCUPINE.exists():
        return None
    command = [PORCUPINE, folder / "history.jsonl"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120).stdout.strip()

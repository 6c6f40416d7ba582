"""The check of a package: endpoints and types, and every mistake with its place."""

import os
import select
import subprocess
import sys
import time

import pytest
from tests.hub.test_packages import write

from jina.errors import ConfigError
from jina.hub.checking import check_package

CONFIG = "jtype: Upper\npy_modules: [executor.py]\n"
TYPED = """\
from docarray import BaseDoc, DocList
from pydantic import BaseModel

from jina import Executor, requests


class Text(BaseDoc):
    text: str


class Options(BaseModel):
    times: int = 1


class Upper(Executor):
    @requests(on='/upper')
    def upper(self, docs: DocList[Text], parameters: Options, **kwargs) -> DocList[Text]:
        return docs

    @requests(on='/stream')
    def stream(self, doc: Text, **kwargs) -> Text:
        yield doc
"""

FIRST = "    @requests(on='/u"


def checked(folder, files, **options):
    write(folder, {"config.yml": CONFIG, **files})
    return check_package(folder, "config.yml", **options)


def test_endpoints_and_types(tmp_path):
    found = checked(tmp_path, {"executor.py": TYPED})
    assert found.mistakes == []
    assert found.jtype == "Upper"
    stream, upper = found.endpoints
    assert (upper["path"], upper["method"], upper["streams"]) == ("/upper", "upper", False)
    assert (stream["path"], stream["streams"]) == ("/stream", True)
    assert upper["input"]["name"] == "Text"
    assert upper["input"]["schema"]["properties"]["text"]["type"] == "string"
    assert upper["parameters"]["schema"]["properties"]["times"]["default"] == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("files", "path", "line", "words"),
    [
        ({"executor.py": "import os\nimport not_there_at_all\n"}, "executor.py", 2, "not_there_at_all"),
        ({"executor.py": "class Upper(:\n"}, "executor.py", 1, "SyntaxError"),
        ({"executor.py": "x = 1\n"}, "config.yml", 0, "Upper"),
        ({"executor.py": TYPED.replace("docs: DocList[Text], p", "docs: int, p")}, "executor.py", 16, "docs"),
        (
            {"executor.py": TYPED.replace(FIRST, "    def __init__(self):\n        pass\n\n" + FIRST)},
            "executor.py", 16, "kwargs",
        ),
        (
            {"executor.py": TYPED, "config.yml": CONFIG + "requests:\n  /x: nothing\n"},
            "config.yml", 4, "not a method",
        ),
        ({"executor.py": TYPED, "config.yml": CONFIG + "py_modules: [x.py]\n"}, "config.yml", 3, "py_modules"),
        ({"executor.py": "import os\nos._exit(7)\n"}, "config.yml", 0, "exited with code 7"),
        ({"executor.py": "import os\nos.kill(os.getpid(), 9)\n"}, "config.yml", 0, "SIGKILL"),
        ({"executor.py": "raise SystemExit('enough')\n"}, "config.yml", 0, "enough"),
    ],
    ids=range(10),
)  # fmt: skip
def test_mistakes_have_places(tmp_path, files, path, line, words):
    found = checked(tmp_path, files)
    (mistake,) = found.mistakes
    assert (mistake.path, mistake.line) == (path, line)
    assert words in mistake.message
    with pytest.raises(ConfigError, match="the package has 1 mistake"):
        found.required()


def test_all_mistakes_of_endpoints_are_found(tmp_path):
    broken = TYPED.replace("docs: DocList[Text], p", "docs: int, p").replace("doc: Text, **", "doc: slice, **")
    found = checked(tmp_path, {"executor.py": broken})
    assert len(found.mistakes) == 2
    assert {one.path for one in found.mistakes} == {"executor.py"}


@pytest.mark.slow
def test_a_package_that_hangs_is_ended(tmp_path):
    begin = time.monotonic()
    found = checked(tmp_path, {"executor.py": "import time\ntime.sleep(600)\n"}, seconds=3)
    assert "not imported within 3 s" in found.mistakes[0].message
    assert time.monotonic() - begin < 60


def test_modules_of_the_package_do_not_take_the_place_of_ours(tmp_path):
    write(tmp_path, {"json.py": "raise RuntimeError('mine')\n", "jina.py": "raise RuntimeError('mine')\n"})
    assert checked(tmp_path, {"executor.py": TYPED}).mistakes == []


def test_of_what_a_package_prints_the_end_is_told(tmp_path):
    code = "import os\nprint('x\\n' * 1_000_000)\nprint('last words', flush=True)\nos._exit(3)\n"
    (mistake,) = checked(tmp_path, {"executor.py": code}).mistakes
    assert mistake.message.endswith("last words")
    assert len(mistake.message) < 1000


def test_the_child_ends_with_the_process_that_started_it(tmp_path):
    """Also where the package hangs while it is imported."""
    place = tmp_path / "pid"
    os.mkfifo(place)
    code = (
        f"import os, time\nwith open({str(place)!r}, 'w') as file:\n    file.write(str(os.getpid()))\ntime.sleep(600)\n"
    )
    write(tmp_path / "package", {"config.yml": CONFIG, "executor.py": code})
    program = (
        "import sys, pathlib; from jina.hub.checking import check_package\n"
        "check_package(pathlib.Path(sys.argv[1]), 'config.yml')\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, tmp_path / "package"]) as parent:
        child = os.pidfd_open(int(place.read_text()))
        parent.kill()
    try:
        assert select.select([child], [], [], 30)[0], "the child has not ended 30 s after its parent was killed"
    finally:
        os.close(child)

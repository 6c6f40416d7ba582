"""Configurations that are saved in another folder than the one they were read from."""

import os

import pytest

from jina import Deployment, Flow

EXECUTOR = """
from jina import Executor, requests
from docarray import BaseDoc, DocList

class Text(BaseDoc):
    text: str = ""

class Shout(Executor):
    @requests(on="/shout")
    def shout(self, docs: DocList[Text], **kwargs) -> DocList[Text]:
        for doc in docs:
            doc.text = doc.text.upper()
"""
FLOW = """
jtype: Flow
executors:
  - {name: a, uses: Shout, py_modules: [parts/shout.py]}
  - {name: b, uses: parts/shout.yml}
  - {name: c, uses: {jtype: Shout, metas: {py_modules: parts/shout.py}}}
  - {name: d, uses: jina.Executor}
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    folder = tmp_path / "here" / "project"
    (folder / "parts").mkdir(parents=True)
    (tmp_path / "here" / "elsewhere").mkdir()
    (folder / "parts" / "shout.py").write_text(EXECUTOR)
    (folder / "parts" / "shout.yml").write_text("jtype: Shout\npy_modules: [shout.py]\n")
    (folder / "flow.yml").write_text(FLOW)
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.mark.slow
def test_paths_start_at_the_folder_of_the_new_file(project, tmp_path):
    flow = Flow.load_config(str(project / "flow.yml"))
    saved = project.parent / "elsewhere" / "saved.yml"
    flow.save_config(str(saved))
    steps = Flow.load_config(str(saved)).to_dict()["executors"]
    assert steps[0]["py_modules"] == ["../project/parts/shout.py"]
    assert steps[1]["uses"] == "../project/parts/shout.yml"
    assert steps[2]["uses"]["metas"]["py_modules"] == "../project/parts/shout.py"
    assert steps[3]["uses"] == "jina.Executor"
    with Flow.load_config(str(saved)).build().in_process() as running:
        assert running.post("/shout", {"text": "x"})[0].text == "X"
    assert Flow.load_config(str(project / "flow.yml")) == flow


def test_in_its_own_folder_a_file_keeps_its_paths(project):
    flow = Flow.load_config(str(project / "flow.yml"))
    flow.save_config(str(project / "again.yml"))
    assert Flow.load_config(str(project / "again.yml")) == flow
    assert flow.to_dict()["executors"][0]["py_modules"] == ["parts/shout.py"]


def test_paths_from_the_working_folder(project, monkeypatch):
    monkeypatch.chdir(project)
    deployment = Deployment(uses="Shout", py_modules="parts/shout.py", name="d")
    deployment.save_config("../elsewhere/d.yml")
    monkeypatch.chdir("/")
    again = Deployment.load_config(str(project.parent / "elsewhere" / "d.yml"))
    assert again.to_dict()["with"]["py_modules"] == ["../project/parts/shout.py"]
    assert again.plan.workers[0].executor.py_modules == [os.path.realpath(project / "parts" / "shout.py")]


def test_what_shares_nothing_but_the_root_is_absolute(project):
    from jina.orchestration.configuration import rebased

    deployment = Deployment(uses="parts/shout.yml", extra_search_paths=[str(project)], name="d")
    assert rebased(deployment.spec, "/srv").uses == str(project / "parts" / "shout.yml")

import subprocess
import sys

import pytest
from docarray import BaseDoc, DocList

from jina.documents import ensure_nested_lists

CODE = """
from jina.documents import ensure_nested_lists, Document
from typing import Optional
from docarray import BaseDoc, DocList
class Part(BaseDoc):
    x: int = 1
class Page(BaseDoc):
    parts: DocList[Part]
    more: Optional[DocList[Part]] = None
page = Page(parts=[Part(x=2)], more=DocList[Part]([Part()]))
print(type(page.parts).doc_type.__name__, page.parts[0].x, Page.from_protobuf(page.to_protobuf()).more[0].x)
from docarray.documents.legacy import LegacyDocument
print(LegacyDocument(text='a').text)
"""


def test_nested_lists_work_where_documents_are_loaded_first():
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["Part", "2", "1", "a"]


def test_the_repair_is_made_at_most_once_and_keeps_what_docarray_refuses():
    ensure_nested_lists()
    assert ensure_nested_lists() is False

    class Part(BaseDoc):
        x: int = 1

    assert DocList[Part] is DocList[Part]
    with pytest.raises(TypeError):
        DocList[Part][Part]
    with pytest.raises(TypeError):
        DocList[Part()]

"""Documents with nested lists, which DocArray 0.41 cannot define from Python 3.12 on without a repair."""

import subprocess
import sys
import textwrap

import pytest

MODULE = """
    from typing import Optional

    from docarray import BaseDoc, DocList
    from docarray.documents.legacy import LegacyDocument

    from jina import Executor, requests

    class Part(BaseDoc):
        number: int = 1

    class Page(BaseDoc):
        parts: DocList[Part] = DocList[Part]()
        more: Optional[DocList[Part]] = None

    class Book(Executor):
        @requests(on='/count')
        def count(self, docs: DocList[Page], **kwargs) -> DocList[Page]:
            for page in docs:
                page.more = DocList[Part]([Part(number=len(page.parts))])
            return docs
"""

HTTP = """
    import json
    import urllib.request

    from jina import Deployment

    with Deployment(%s, protocol='http') as service:
        body = json.dumps({'data': [{'parts': [{'number': 5}, {}]}]}).encode()
        request = urllib.request.Request(
            f'http://127.0.0.1:{service.port}/count', body, {'Content-Type': 'application/json'}
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            print('more', json.loads(answer.read())['data'][0]['more'][0]['number'])
"""

SCRIPT = """
    with Deployment(uses=Book) as service:
        sent = DocList[Page]([Page(parts=[Part(), Part()])])
        print('more', service.post('/count', sent, return_type=DocList[Page])[0].more[0].number)
"""


def output_of(folder, program) -> str:
    (folder / "program.py").write_text(textwrap.dedent(program))
    command = [sys.executable, "-W", "ignore", "program.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("uses", ["uses='book.Book'", "uses='book.yml'", "uses='Book', py_modules=['book.py']"])
def test_workers_import_classes_with_nested_lists(uses, tmp_path):
    (tmp_path / "book.py").write_text(textwrap.dedent(MODULE))
    (tmp_path / "book.yml").write_text("jtype: Book\npy_modules: [book.py]\n")
    assert "more 2" in output_of(tmp_path, HTTP % uses)


@pytest.mark.slow
@pytest.mark.parametrize("first", ["from jina import Document", "from jina import DocumentArray"])
def test_scripts_that_import_documents_first(first, tmp_path):
    program = f"{first}\nfrom jina import Deployment\n{textwrap.dedent(MODULE)}\n{textwrap.dedent(SCRIPT)}"
    assert "more 2" in output_of(tmp_path, program)


@pytest.mark.slow
def test_scripts_that_load_an_executor_here(tmp_path):
    (tmp_path / "book.py").write_text(textwrap.dedent(MODULE))
    program = """
        from jina import Executor
        print('more', Executor.load_config('book.yml').requests)
    """
    (tmp_path / "book.yml").write_text("jtype: Book\npy_modules: [book.py]\n")
    assert "/count" in output_of(tmp_path, program)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="only there DocArray has the fault")
def test_docarray_still_needs_the_repair():
    """When this fails, DocArray is mended: remove the repair and what the documentation says of it."""
    code = textwrap.dedent(MODULE).replace("from jina import Executor, requests", "").partition("class Book")[0]
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert "not subscriptable" in done.stderr

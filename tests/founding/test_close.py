"""`close()` is called however an Executor ends.

Killed orchestrators: `tests/supervisor/test_processes.py`; drained requests, `close()` that raises or blocks:
`tests/worker/test_worker.py`; programs that forget to close: `tests/orchestration/test_scripts.py`.
"""

import signal

import pytest

from jina import Client, Deployment, Document, Executor
from jina.errors import ExecutorError, JinaError
from tests.founding.marks import sentence
from tests.founding.programs import serving
from tests.founding.users import Keeper

LINES = ".cache/jina/Keeper/0/lines.txt"


@sentence(34, 35, 36, 37, 49)
def test_at_the_end_of_the_block_also_after_a_handler_failed(tmp_path):
    with Deployment(uses=Keeper, env={"HOME": str(tmp_path)}, host="127.0.0.1", quiet=True) as served:
        served.post("/keep", [Document(text="one"), Document(text="two")])
        with pytest.raises(ExecutorError, match="a handler that fails"):
            served.post("/fail")
        assert not (tmp_path / LINES).exists()
    assert (tmp_path / LINES).read_text().split() == ["made", "one", "two", "closed"]


@pytest.mark.slow
@sentence(36, 37)
@pytest.mark.parametrize("ending", ["SIGTERM", "SIGINT", "SystemExit in a handler"])
def test_where_the_process_is_ended(ending, tmp_path):
    """As containers do it, as a keyboard does it, and from within."""
    with serving(
        "executor", "--uses", "tests.founding.users.Keeper", "--host", "127.0.0.1", cwd=tmp_path, home=tmp_path
    ) as service:
        address = service.address("grpc")
        with Client(host=address) as client:
            client.post("/keep", Document(text="one"))
            if ending.startswith("SIG"):
                assert service.end(signal.Signals[ending]) == 0, service.output
            else:
                with pytest.raises(JinaError):
                    client.post("/leave")
                assert service.wait() == 3, service.output
    assert (tmp_path / LINES).read_text().split() == ["made", "one", "closed"]


@sentence(37, 38)
def test_as_a_context_manager():
    closed = []

    class MyExec(Executor):
        def close(self):
            closed.append(self.metas.name)

    with MyExec() as executor:
        assert isinstance(executor, MyExec)
        assert closed == []
    with pytest.raises(LookupError), MyExec():
        raise LookupError
    assert closed == ["MyExec", "MyExec"]

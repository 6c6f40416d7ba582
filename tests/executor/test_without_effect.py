"""What a stateful Executor says that nothing comes of."""

from jina import DocumentArray, Executor, requests, write
from jina.executor.binding import without_effect


class WritesNothing(Executor):
    @requests(on="/add")
    def add(self, docs: DocumentArray, **kwargs):
        """A method that should be a write, perhaps."""


class WritesNowhere(Executor):
    @write
    def add(self, docs: DocumentArray, **kwargs):
        """It cannot be called."""


class WritesSomewhere(Executor):
    @write
    @requests
    def add(self, docs: DocumentArray, **kwargs):
        """All is well."""


def test_an_executor_without_writes_replicates_nothing():
    (result,) = without_effect(WritesNothing())
    assert result.startswith("no endpoint of WritesNothing (")
    assert "nothing is replicated" in result


def test_a_write_method_that_answers_nothing_is_named():
    result = list(without_effect(WritesNowhere()))
    assert result[0].startswith("WritesNowhere.add (")
    assert "@requests is missing" in result[0]
    assert len(result) == 2


def test_endpoints_with_writes_say_nothing():
    assert list(without_effect(WritesSomewhere())) == []

"""`DataRequest` and its like: protobuf messages as objects, as programs for Jina 3 read and make them."""

import copy
import pickle

import pytest
from docarray import BaseDoc, DocList
from jina.excepts import BadRequestType
from jina.proto import jina_pb2
from jina.types.request import Request, Response
from jina.types.request.data import DataRequest, SingleDocumentRequest
from jina.types.request.status import StatusMessage

from jina.documents import Document, DocumentArray


class Note(BaseDoc):
    text: str = ""


def made(*texts):
    request = DataRequest()
    request.header.request_id = "r1"
    request.header.exec_endpoint = "/go"
    request.parameters = {"top": 3, "deep": {"a": [1, 2.5]}}
    request.data.docs = DocList[Note]([Note(text=text) for text in texts])
    return request


def test_a_request_goes_through_bytes_and_json():
    request = made("a", "b")
    assert isinstance(request, Request)
    for other in (
        DataRequest(request.to_bytes()), DataRequest(request.to_json()), DataRequest(request.to_dict()),
        DataRequest.from_proto(request.proto), pickle.loads(pickle.dumps(request)), copy.copy(request),
        copy.deepcopy(request),
    ):  # fmt: skip
        assert (other.request_id, other.header.exec_endpoint) == ("r1", "/go")
        assert other.parameters == {"top": 3, "deep": {"a": [1, 2.5]}}
        assert [doc.text for doc in other.docs] == ["a", "b"]
        assert other.nbytes == len(other.to_bytes())


def test_documents_are_read_as_the_class_that_is_assigned():
    request = DataRequest(made("a").to_bytes())
    assert isinstance(request.docs, DocumentArray)
    assert isinstance(request.docs[0], Document)
    request.document_array_cls = DocList[Note]
    assert isinstance(request.data.docs[0], Note)
    assert request.document_array_cls is DocList[Note]


def test_what_is_done_to_documents_is_in_the_message():
    request = made("a")
    request.docs[0].text = "changed"
    request.docs.append(Note(text="b"))
    again = DataRequest(request.to_bytes())
    assert [doc.text for doc in again.docs] == ["changed", "b"]
    again.docs[0].text = "once more"
    again.document_array_cls = DocList[Note]
    assert [doc.text for doc in again.docs] == ["once more", "b"]


def test_documents_as_bytes():
    request, other = made("a", "b"), DataRequest()
    other.data.docs_bytes = request.data.docs_bytes
    assert [doc.text for doc in other.docs] == ["a", "b"]
    kept = jina_pb2.DataRequestProto()
    kept.data.docs_bytes = request.data.docs_bytes  # as peers of Jina 3 may send them
    assert [doc.text for doc in DataRequest(kept).docs] == ["a", "b"]


def test_without_documents():
    request = made("a")
    without = request.proto_wo_data
    assert (without.header.request_id, without.parameters["top"]) == ("r1", 3)
    assert not hasattr(without, "data")
    assert len(DataRequest().docs) == 0


def test_exceptions_and_executors():
    request = made("a")
    request.add_executor("first")
    request.add_executor("second")
    assert request.last_executor == "second"
    assert [route.executor for route in request.routes] == ["first", "second"]
    try:
        raise ValueError("no")
    except ValueError as error:
        request.add_exception(error, executor=request)
    status = request.status
    assert (status.code, status.exception.name, list(status.exception.args), status.exception.executor) == (
        jina_pb2.StatusProto.ERROR, "ValueError", ["no"], "DataRequest",
    )  # fmt: skip
    assert "raise ValueError" in "".join(status.exception.stacks)
    assert request.response is request


def test_a_request_with_one_document():
    request = SingleDocumentRequest()
    request.data.doc = Note(text="a")
    request.parameters = {"k": 1}
    other = SingleDocumentRequest(request.to_bytes())
    assert isinstance(other.doc, Document)
    other.document_cls = Note
    assert (other.data.doc, other.parameters) == (Note(id=request.doc.id, text="a"), {"k": 1})


def test_status():
    status = StatusMessage()
    assert status.code == jina_pb2.StatusProto.SUCCESS
    status.set_exception(KeyError("x"))
    assert (status.code, status.exception.name) == (jina_pb2.StatusProto.ERROR, "KeyError")
    assert StatusMessage(status.to_dict()).proto == status.proto
    status.set_code(jina_pb2.StatusProto.SUCCESS)
    assert status.proto.code == jina_pb2.StatusProto.SUCCESS


@pytest.mark.parametrize("cls", [DataRequest, SingleDocumentRequest, StatusMessage])
@pytest.mark.parametrize("source", [5, b"\xff\xff", "{", {"no_field": 1}])
def test_what_is_no_message_is_refused(cls, source):
    with pytest.raises(BadRequestType, match=cls.__name__):
        cls(source)


def test_the_answer_of_a_client_is_the_same_class_at_each_path():
    from jina.types.request.data import Response as other

    assert Response is other

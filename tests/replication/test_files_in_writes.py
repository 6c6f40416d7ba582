"""A write with files is logged with their contents: replicas on other machines read it, and later starts do."""

from jina.codec import pb
from jina.codec.messages import Request
from jina.codec.payloads import BytesPayload, FilePayload
from jina.documents import uploads
from jina.replication.log_entries import digest_of, entry_of, read_entries, write_entry

CONTENT = b"\x89PNG" * 1000


def named_file():
    """A document whose field `file` is an upload, as a listener makes it."""
    name, file = uploads.create()
    with file:
        file.write(CONTENT)
    message = pb.DocListProto()
    fields = message.docs.add().data["file"].dict.data
    fields["upload"].text = name
    return FilePayload(message.SerializeToString(), [name])


ENTRY = entry_of("key", b"", 0, ("", 0, 0, 0))


def logged(request):
    return b"".join(write_entry(ENTRY, request, 1 << 20))


def test_the_log_holds_contents_not_names():
    payload = named_file()
    _, found = read_entries(logged(Request("/keep", payload, handed_over=[])))[0]
    assert isinstance(found.payload, BytesPayload)
    assert found.handed_over is None
    assert payload.uploads[0].encode() not in found.payload.to_bytes()
    assert CONTENT in found.payload.to_bytes()


def test_a_request_that_may_get_files_is_logged_as_any_other():
    """Agents check how many fields an operation has."""
    request = Request("/keep", BytesPayload(b""), request_id="r")
    assert logged(Request("/keep", BytesPayload(b""), request_id="r", handed_over=[])) == logged(request)


def test_the_same_file_is_the_same_write_by_whatever_name():
    assert digest_of(Request("/keep", named_file())) == digest_of(Request("/keep", named_file()))

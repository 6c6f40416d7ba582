"""What travels of gRPC: messages in any parts, compressed and hostile ones, deadlines, statuses and metadata."""

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jina.net.grpc_wire import (
    Code,
    Messages,
    WireError,
    framed,
    headers_of,
    metadata_in,
    percent_decoded,
    percent_encoded,
    seconds_of,
    timeout_of,
)

MB = 1_000_000


def fed(messages, data, cuts):
    """The messages found in `data`, which comes in parts."""
    found = []
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        found += messages.feed(data[start:end])
    return found


@given(st.lists(st.binary(max_size=40), max_size=6), st.sampled_from(["", "gzip", "deflate"]), st.data())
def test_messages_in_any_parts(sent, encoding, data):
    stream = b"".join(framed(one, encoding) for one in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    messages = Messages(1000, encoding.encode())
    assert fed(messages, stream, cuts) == sent
    assert messages.held == 0


def test_every_split_into_two():
    sent = [b"", b"a", b"x" * 300, b"", b"end"]
    stream = b"".join(framed(one, encoding) for one, encoding in zip(sent, ["", "gzip", "", "gzip", ""], strict=True))
    for cut in range(len(stream) + 1):
        assert fed(Messages(1000, b"gzip"), stream, [cut]) == sent


def test_what_is_not_complete_is_counted():
    messages = Messages(1000)
    assert (messages.held, messages.needed) == (0, 5)
    assert messages.feed(framed(b"x" * 100)[:3]) == []
    assert (messages.held, messages.needed) == (3, 5)
    assert messages.feed(framed(b"x" * 100)[3:50]) == []
    assert (messages.held, messages.needed) == (50, 105)
    assert messages.feed(framed(b"x" * 100)[50:] + b"\0") == [b"x" * 100]
    assert (messages.held, messages.needed) == (1, 5)


@pytest.mark.parametrize(
    ("encoding", "data", "code", "words"),
    [
        (b"", framed(b"x" * 1001), Code.RESOURCE_EXHAUSTED, "Received message larger than max (1001 vs. 1000)"),
        (b"", b"\0\xff\xff\xff\xff", Code.RESOURCE_EXHAUSTED, "larger than max (4294967295 vs. 1000)"),
        (b"gzip", b"\1\0\0\4\0" + bytes(1024), Code.RESOURCE_EXHAUSTED, "larger than max (1024 vs. 1000)"),
        (b"gzip", framed(bytes(1001), "gzip"), Code.RESOURCE_EXHAUSTED, "larger than max (1001 vs. 1000)"),
        (b"", b"\2\0\0\0\1x", Code.INTERNAL, "the first byte of a message is 2"),
        (b"gzip", b"\xff\0\0\0\1x", Code.INTERNAL, "the first byte of a message is 255"),
        (b"", framed(b"x", "gzip"), Code.INTERNAL, "grpc-encoding does not say how"),
        (b"identity", framed(b"x", "gzip"), Code.INTERNAL, "grpc-encoding does not say how"),
        (b"snappy", framed(b"x", "gzip"), Code.UNIMPLEMENTED, "b'snappy' is not one of identity, gzip, deflate"),
        (b"gzip", b"\1\0\0\0\4junk", Code.INTERNAL, "a message is not gzip"),
        (b"gzip", b"\1\0\0\0\0", Code.INTERNAL, "a message is not one gzip stream"),
        (b"deflate", framed(b"x", "gzip"), Code.INTERNAL, "a message is not deflate"),
    ],
)
def test_what_is_refused(encoding, data, code, words):
    messages = Messages(1000, encoding)
    with pytest.raises(WireError) as caught:
        messages.feed(data)
    assert (caught.value.code, words in caught.value.message) == (code, True), caught.value.message


def test_a_compressed_message_is_one_stream_and_whole():
    packed = gzip.compress(b"one")
    for wrong in (packed[:-1], packed[:-9], packed + gzip.compress(b"two"), packed + b"x"):
        with pytest.raises(WireError, match="a message is not one gzip stream"):
            Messages(1000, b"gzip").feed(b"\1" + len(wrong).to_bytes(4, "big") + wrong)


@pytest.mark.slow
def test_a_message_that_would_grow_beyond_the_limit_takes_no_memory():
    """A gigabyte of zeros fits into a megabyte."""
    import tracemalloc

    deflater = zlib.compressobj(wbits=31)
    packed = b"".join(deflater.compress(bytes(MB)) for _ in range(500)) + deflater.flush()
    data = b"\1" + len(packed).to_bytes(4, "big") + packed
    tracemalloc.start()
    try:
        with pytest.raises(WireError, match="larger than max"):
            Messages(2 * MB, b"gzip").feed(data)
        assert tracemalloc.get_traced_memory()[1] < 10 * MB
    finally:
        tracemalloc.stop()


def test_a_large_message_in_many_parts_is_joined_once():
    data = framed(b"x" * (64 * MB))
    messages = Messages(100 * MB)
    found = []
    for at in range(0, len(data), 16_384):
        found += messages.feed(data[at : at + 16_384])
    assert [len(one) for one in found] == [64 * MB]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (b"1H", 3600.0), (b"2M", 120.0), (b"3S", 3.0), (b"400m", 0.4), (b"5000u", 0.005), (b"99999999n", 0.099999999),
        (b"0S", 0.0), (b"00000001S", 1.0),
    ],
)  # fmt: skip
def test_timeouts(text, seconds):
    assert seconds_of(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", [b"", b"S", b"1", b"1s", b"-1S", b"+1S", b"1.5S", b"1 S", b"999999999S", b"\xb2S", b"1_0S"]
)
def test_what_is_no_timeout(text):
    with pytest.raises(WireError, match="grpc-timeout"):
        seconds_of(text)


@given(st.floats(0, 9.9e7))
def test_a_timeout_arrives_a_little_longer_and_never_shorter(seconds):
    text = timeout_of(seconds)
    assert len(text) <= 9
    assert seconds <= seconds_of(text) * (1 + 1e-9) <= seconds * 1.001 + 2e-9 + (1.1 if seconds > 99_999 else 0.001)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_texts_of_statuses(text):
    encoded = percent_encoded(text)
    assert all(0x20 <= byte < 0x7F for byte in encoded)
    assert percent_decoded(encoded) == text


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        (b"100%", "100%"),
        (b"%zz", "%zz"),
        (b"a%20b", "a b"),
        (b"%e4", "\ufffd"),
        ("ä".encode(), "ä"),
        (b"\xff", "\ufffd"),
    ],
)
def test_texts_that_others_send(sent, text):
    assert percent_decoded(sent) == text


def test_a_text_that_is_no_unicode_can_be_sent():
    assert percent_encoded("a\udcff") == b"a?"


TEXTS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20)


@given(st.lists(st.one_of(st.tuples(st.just("k"), TEXTS), st.tuples(st.just("k-bin"), st.binary(max_size=20)))))
def test_metadata(metadata):
    assert metadata_in(headers_of(metadata)) == metadata


def test_headers_of_the_protocol_are_no_metadata():
    of_protocol = [
        (b":path", b"/a"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
    ]  # codespell:ignore te
    assert metadata_in([*of_protocol, (b"grpc-timeout", b"1S"), (b"k", b"v")]) == [("k", "v")]


@pytest.mark.parametrize(
    ("value", "found"),
    [(b"AAE", [b"\0\1"]), (b"AAE=", [b"\0\1"]), (b"AAE,AAI=", [b"\0\1", b"\0\2"]), (b"AAE, AAI", [b"\0\1", b"\0\2"]),
     (b"", [b""])],
)  # fmt: skip
def test_binary_metadata_of_others(value, found):
    """With padding and without, and several in one header (RFC 9110, section 5.3)."""
    assert metadata_in([(b"k-bin", value)]) == [("k-bin", one) for one in found]


@pytest.mark.parametrize("value", [b"!", b"A", b"A=A=", b"\xff\xff"])
def test_binary_metadata_that_is_none(value):
    with pytest.raises(WireError, match="is not base64"):
        metadata_in([(b"k-bin", value)])


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ([("k", b"v")], "does not end in -bin"),
        ([("k-bin", "v")], "names that end in -bin have bytes"),
        ([("k", "a\nb")], "cannot be sent"),
        ([("k", "\0")], "cannot be sent"),
        ([("k", "\u20ac")], "latin-1"),
        ([("ä", "v")], "ascii"),
    ],
)
def test_metadata_that_cannot_be_sent(metadata, words):
    with pytest.raises(ValueError, match=words):
        headers_of(metadata)

"""Messages of a stream that together are larger than the window of their stream."""

import pytest

from tests.certificates import certificate
from tests.http2.programs import channel, serving
from tests.http2.testing_service import messages

SIZES = {
    "as gRPC's client": [27_182, 8, 1_828, 45_904],
    "just below the window": [30_000, 65_000, 30_000, 65_000],
    "above it after small ones": [30_000, 100_000, 30_000, 100_000, 100_000],
    "large": [1_000_000, 10, 3_000_000, 10, 3_000_000],
}


@pytest.fixture(scope="module", params=["ngh2", "h2", "ngh2 over TLS", "h2 over TLS"])
def server(request, tmp_path_factory):
    engine, _, tls = request.param.partition(" ")
    with serving(engine, "testing", certificate(tmp_path_factory.mktemp("tls")) if tls else None) as started:
        yield started


@pytest.mark.slow
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_all_messages_of_a_stream_come(server, sizes):
    kinds = {name.rpartition(".")[2]: kind for name, kind in messages().items()}
    with channel(server) as opened:
        call = opened.stream_unary(
            "/grpc.testing.TestService/StreamingInputCall",
            request_serializer=lambda size: kinds["StreamingInputCallRequest"](
                payload={"body": bytes(size)}
            ).SerializeToString(),
            response_deserializer=kinds["StreamingInputCallResponse"].FromString,
        )
        assert call(iter(sizes), timeout=10).aggregated_payload_size == sum(sizes)

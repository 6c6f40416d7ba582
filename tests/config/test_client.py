import pytest

from jina.config import ClientSpec, parse


@pytest.mark.parametrize(
    ("options", "target"),
    [
        ({}, ("grpc", "0.0.0.0", 80, False)),
        ({"tls": True}, ("grpc", "0.0.0.0", 443, True)),
        ({"port": 5, "protocol": "HTTP", "host": "h"}, ("http", "h", 5, False)),
        ({"host": "grpc://h:5"}, ("grpc", "h", 5, False)),
        ({"host": "grpcs://h"}, ("grpc", "h", 443, True)),
        ({"host": "https://h:5/"}, ("http", "h", 5, True)),
        ({"host": "wss://h"}, ("websocket", "h", 443, True)),
        ({"host": "ws://h", "port": 7}, ("websocket", "h", 7, False)),
        ({"host": "h:5"}, ("grpc", "h", 5, False)),
        ({"host": "[::1]:5"}, ("grpc", "::1", 5, False)),
        ({"host": "http://[fe80::1]"}, ("http", "fe80::1", 80, False)),
        ({"host": "::1", "port": 9}, ("grpc", "::1", 9, False)),
    ],
)
def test_target(options, target, monkeypatch):
    monkeypatch.delenv("JINA_DEFAULT_HOST", raising=False)
    assert tuple(parse(ClientSpec, options).target) == target


def test_defaults_of_jina_3(monkeypatch):
    monkeypatch.delenv("JINA_DEFAULT_HOST", raising=False)
    spec = parse(ClientSpec, {})
    assert (spec.asyncio, spec.prefetch, spec.proxy, spec.reuse_session, spec.log_config) == (
        False, 1000, False, False, "default",
    )  # fmt: skip
    assert (spec.grpc_channel_options, spec.suppress_root_logging) == (None, False)


def test_options_of_servers_that_jina_3_took_are_taken():
    assert parse(ClientSpec, {"cors": True}).cors

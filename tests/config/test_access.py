"""Keys and rates as users write them; a key is nowhere but in the digest."""

import hashlib
import json
import pickle

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jina import Deployment, Flow
from jina.config import ClientSpec, DeploymentSpec, FlowSpec, parse
from jina.config.types import digest_of, keys_of, normal, rate_of
from jina.errors import ConfigError
from jina.plan.plans import KeyPlan, to_json

KEYS = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=",:"), min_size=8, max_size=40)
NAMES = st.from_regex(r"[a-z]\w{0,10}", fullmatch=True)


def digest(key):
    return "sha256:" + hashlib.sha256(key.encode()).hexdigest()


@given(st.dictionaries(NAMES, KEYS, min_size=1, max_size=5))
def test_all_forms_mean_the_same(keys):
    expected = {name: digest(key) for name, key in keys.items()}
    assert normal(keys) == expected
    assert normal([f"{name}:{key}" for name, key in keys.items()]) == expected
    assert normal(",".join(f"{name}:{key}" for name, key in keys.items())) == expected
    assert normal(expected) == expected  # what was saved is read again


def test_keys_without_names_are_numbered():
    assert normal("first-key, second-key") == {"key-1": digest("first-key"), "key-2": digest("second-key")}
    assert normal(digest("first-key")) == {"key-1": digest("first-key")}
    assert normal(["a:with:colon"]) == {"a": digest("with:colon")}


def test_endpoints():
    (key,) = keys_of({"bob": {"key": "secret-two", "endpoints": ["/search"]}})
    assert key == ("bob", digest("secret-two"), ("/search",), ())
    assert normal({"bob": {"key": "secret-two", "endpoints": None}}) == {"bob": digest("secret-two")}


def test_scopes():
    """Those of a key without endpoints are all, of one with endpoints none, unless they are given."""
    open_to_all = {"bob": {"key": "secret-two"}}
    assert keys_of(open_to_all)[0].scopes == ("console", "docs", "metrics", "status")
    closed = {"bob": {"key": digest("secret-two"), "scopes": []}}
    assert keys_of(closed)[0].scopes == ()
    mixed = {"bob": {"key": digest("secret-two"), "endpoints": ["/a"], "scopes": ["metrics"]}}
    assert keys_of(mixed)[0].scopes == ("metrics",)
    assert (normal(closed), normal(mixed)) == (closed, mixed)


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        (5, "not a mapping of names to keys"),
        (
            {"a": {"key": "geheim-geheim", "scopes": ["everything"]}},
            "a: scopes is not a list of any of admin, console, docs, metrics, status",
        ),
        ({"a": {"key": "geheim-geheim", "scopes": "docs"}}, "a: scopes is not a list"),
        ({}, "there is no key in it"),
        ("", "there is no key in it"),
        (" , ", "there is no key in it"),
        ([], "there is no key in it"),
        ([1], "not a mapping of names to keys"),
        ({"a": "geheim"}, "a: a key is text of at least 8"),
        ({"a": "geheim geheim"}, "a: a key is text of at least 8"),
        ({"a": "geheim\ngeheim"}, "a: a key is text of at least 8"),
        ({"a": "geheim-\u00fcber"}, "a: a key is text of at least 8"),
        ({"a": 123456789}, "a: a key is text of at least 8"),
        ({"a": "sha256:geheim"}, "is not followed by 64 hexadecimal digits"),
        ({"a b": "geheim-geheim"}, "a name of a key must be"),
        (["geheim geheim:x"], "a name of a key must be"),
        ({"a": {"endpoints": []}}, "a mapping must have 'key'"),
        ({"a": {"key": "geheim-geheim", "more": 1}}, "a mapping must have 'key'"),
        ({"a": {"key": "geheim-geheim", "endpoints": "/x"}}, "endpoints is not a list"),
        (["a:geheim-1", "a:geheim-2"], "the name 'a' has two keys"),
    ],
)
def test_what_is_wrong_is_said_without_the_key(keys, text):
    with pytest.raises(ConfigError) as caught:
        parse(DeploymentSpec, {"api_keys": keys})
    assert str(caught.value).startswith("Deployment: api_keys: ")
    assert text in str(caught.value)
    assert "geheim" not in str(caught.value)
    assert "geheim" not in repr(caught.value)


def test_a_key_is_in_nothing_that_is_shown_saved_or_sent(tmp_path):
    key = "geheim-" + "x" * 20
    deployment = Deployment(api_keys={"alice": key}, name="d")
    flow = Flow(api_keys=[f"alice:{key}"]).add(name="a").config_gateway(api_keys=key)
    deployment.save_config(str(tmp_path / "d.yml"))
    flow.save_config(str(tmp_path / "f.yml"))
    result = [
        repr(deployment), repr(deployment.spec), json.dumps(deployment.to_dict()), to_json(deployment.plan).decode(),
        repr(flow), repr(flow.spec), repr(flow.plan), to_json(flow.plan).decode(), (tmp_path / "d.yml").read_text(),
        (tmp_path / "f.yml").read_text(), repr(pickle.dumps(deployment.plan)),
    ]  # fmt: skip
    assert not any("geheim" in one for one in result)
    assert digest(key) in result[3]
    again = Deployment.load_config(str(tmp_path / "d.yml"))
    assert again.plan.workers[0].access == deployment.plan.workers[0].access
    deployment.close()
    again.close()
    flow.close()


def test_the_key_of_a_client_is_not_shown():
    spec = parse(ClientSpec, {"api_key": "geheim-1"})
    assert "geheim" not in repr(spec)
    with pytest.raises(ConfigError) as caught:
        parse(ClientSpec, {"api_key": "geheim 1"})
    assert "geheim" not in str(caught.value)


def test_keys_of_the_environment(monkeypatch):
    monkeypatch.setenv("JINA_API_KEYS", "alice:secret-one,bob:secret-two")
    assert parse(DeploymentSpec, {}).api_keys == {"alice": digest("secret-one"), "bob": digest("secret-two")}
    assert parse(FlowSpec, {"api_keys": ["only-this-one"]}).api_keys == {"key-1": digest("only-this-one")}
    monkeypatch.setenv("JINA_API_KEYS", "short")
    with pytest.raises(ConfigError, match="api_keys: key-1: a key is text"):
        parse(DeploymentSpec, {})


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("100/s", (100, 100)), ("0.5/s", (0.5, 1)), ("600/min", (10, 10)), ("7200/h", (2, 2)), ("1/min", (1 / 60, 1)),
        ("100/s burst 20", (100, 20)), ("100 / sec, burst 250", (100, 250)), ("2.5/S", (2.5, 3)),
    ],
)  # fmt: skip
def test_rates(text, rate):
    assert rate_of(text) == rate
    assert parse(DeploymentSpec, {"rate_limit": text}).rate_limit == text


@pytest.mark.parametrize("text", ["100", "/s", "0/s", "-1/s", "1/day", "1/s burst", "1/s burst 0", "1e3/s", 100, ""])
def test_what_is_no_rate(text):
    with pytest.raises(ConfigError, match="Deployment: rate_limit: "):
        parse(DeploymentSpec, {"rate_limit": text})


def test_the_plan():
    deployment = Deployment(
        api_keys={"bob": {"key": "secret-two", "endpoints": ["/x"]}},
        api_keys_file="keys.yml", rate_limit="2/s burst 9", max_inflight=7, max_queue=0, timeout_read="2s",
    )  # fmt: skip
    (worker,) = deployment.plan.workers
    assert worker.access.keys == [KeyPlan(name="bob", digest=digest_of("secret-two"), endpoints=["/x"])]
    assert (worker.access.keys_file, worker.access.rate, worker.access.burst) == ("keys.yml", 2, 9)
    assert (worker.max_inflight, worker.max_queue, worker.listeners[0].timeout_read) == (7, 0, 2)
    several = Deployment(replicas=2, max_inflight=7, max_queue=3, api_keys="secret-one")
    assert several.plan.gateway.max_inflight == 7
    assert several.plan.gateway.access.keys[0].digest == digest_of("secret-one")
    assert [worker.max_queue for worker in several.plan.workers] == [3, 3]
    assert msgspec.json.decode(to_json(several.plan.gateway))["max_inflight"] == 7
    deployment.close()
    several.close()

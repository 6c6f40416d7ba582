"""Helpers, enumerations, exceptions and constants under their Jina 3 names."""

import argparse
import asyncio
import concurrent.futures
import logging
import os
import socket
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jina.jaml import JAML, JAMLCompatible
from jina.logging.logger import JinaLogger
from jina.logging.profile import ProgressBar, TimeContext

from jina import constants, enums, excepts, helper, importer
from jina.errors import ConfigError, NotSupportedError


def test_random_ports_are_free_and_distinct(monkeypatch):
    monkeypatch.setenv("JINA_RANDOM_PORT_MIN", "52000")
    monkeypatch.setenv("JINA_RANDOM_PORT_MAX", "52400")
    ports = helper.random_ports(20)
    assert len(set(ports)) == 20
    assert all(52000 <= port <= 52400 for port in ports)
    assert 52000 <= helper.random_port() <= 52400
    with pytest.raises(ConfigError, match="52000"):
        helper.random_ports(500)


def test_taken_port_is_not_free():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert not helper.is_port_free("127.0.0.1", taken.getsockname()[1])


def test_public_ip_is_never_asked_for():
    with pytest.raises(NotSupportedError, match="internet"):
        helper.get_public_ip()
    assert helper.get_internal_ip().count(".") == 3


@pytest.mark.parametrize(
    ("host", "parts"),
    [
        ("grpc://localhost:51000", ("localhost", 51000, "grpc", False)),
        ("https://example.org", ("example.org", 443, "https", True)),
        ("wss://example.org:8443", ("example.org", 8443, "wss", True)),
        ("localhost:80", ("localhost", 80, None, False)),
        ("localhost", ("localhost", None, None, False)),
    ],
)
def test_parse_host_scheme(host, parts):
    assert helper.parse_host_scheme(host) == parts


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1), ("-2", -2), ("1.5", 1.5), ("true", True), ("False", False), ("none", None), ("", None),
        ("word", "word"),
        ("[1, 2.5, a]", [1, 2.5, "a"]), ("[]", []),
    ],
)  # fmt: skip
def test_parse_arg(text, value):
    found = helper.parse_arg(text)
    assert found == value
    assert type(found) is type(value)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(), max_size=30), st.integers(min_value=1, max_value=7))
def test_batches_hold_everything_in_order(items, size):
    for data in (items, tuple(items), iter(items), np.array(items, dtype=object)):
        parts = [list(part) for part in helper.batch_iterator(data, size)]
        assert [item for part in parts for item in part] == items
        assert all(len(part) == size for part in parts[:-1])
        assert all(parts)


def test_batches_of_other_shapes():
    array = np.arange(12).reshape(3, 4)
    assert [part.shape for part in helper.batch_iterator(array, 3, axis=1)] == [(3, 3), (3, 1)]
    assert list(helper.batch_iterator([1, 2], 0)) == [[1, 2]]
    with pytest.raises(ConfigError, match="axis"):
        list(helper.batch_iterator([1], 1, axis=1))
    with pytest.raises(ConfigError, match="int"):
        list(helper.batch_iterator(3, 1))


def test_run_async_with_and_without_a_loop():
    async def double(value):
        await asyncio.sleep(0)
        if value is None:
            raise ValueError("nothing")
        return value * 2

    async def inside():
        return helper.run_async(double, 4, any_event_loop=True)

    assert helper.run_async(double, 3) == 6
    assert asyncio.run(inside()) == 8
    with pytest.raises(ValueError, match="nothing"):
        helper.run_async(double, None)


def test_deprecated_alias():
    @helper.deprecated_alias(old="new", gone=("new", 1))
    def function(new=0):
        return new

    with pytest.warns(DeprecationWarning, match="'old' is now 'new'"):
        assert function(old=3) == 3
    with pytest.raises(ConfigError, match="'new' in place of 'gone'"):
        function(gone=3)
    assert function(new=4) == 4


def test_retry():
    calls = []

    @helper.retry(num_retry=3)
    def flaky():
        calls.append(1)
        if len(calls) < 3:
            raise OSError("again")
        return "done"

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert flaky() == "done"
    assert len(calls) == 3


def test_small_helpers(monkeypatch, tmp_path):
    assert helper.is_yaml_filepath("a/b-c.yml")
    assert not helper.is_yaml_filepath("jtype: X")
    assert len(helper.random_identity()) == 32
    assert helper.random_identity() != helper.random_identity()
    assert helper.random_name()
    assert helper.get_readable_size(512) == "512 Bytes"
    assert helper.get_readable_size(1536) == "1.5 KB"
    assert helper.get_readable_time(seconds=65) == "1 minute and 5 seconds"
    assert helper.typename(3) == "builtins.int"
    assert helper.dunder_get({"a": {"b": [1, 2]}}, "a__b__1") == 2
    assert helper.send_telemetry_event("start", "Flow") is None
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("JINA_LOG_NO_COLOR", raising=False)
    assert helper.colored("x", "red", attrs="bold") == "\033[1m\033[31mx\033[0m"
    monkeypatch.setenv("JINA_LOG_NO_COLOR", "1")
    assert helper.colored("x", "red") == "x"
    with helper.change_cwd(str(tmp_path)):
        assert os.path.realpath(os.getcwd()) == os.path.realpath(tmp_path)
    with helper.change_env("JINA_HELPER_TEST", "1"):
        assert os.environ["JINA_HELPER_TEST"] == "1"
    assert "JINA_HELPER_TEST" not in os.environ


def test_full_version():
    info, env = helper.get_full_version()
    assert info["jina"] == constants.__version__
    assert info["docarray"]
    assert set(env) == set(constants.__jina_env__)


def test_arg_namespace():
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", default="x")
    parser.add_argument("--flag", action="store_true")
    words = helper.ArgNamespace.kwargs2list({"name": "y", "flag": True, "none": None})
    assert words == ["--name", "y", "--flag"]
    namespace = helper.ArgNamespace.kwargs2namespace({"name": "y", "other": 1}, parser)
    assert helper.ArgNamespace.get_non_defaults_args(namespace, parser) == {"name": "y"}
    assert helper.ArgNamespace.flatten_to_dict(namespace) == {"name": "y", "flag": False}


def test_enumerations():
    assert enums.ProtocolType.from_string("http") is enums.ProtocolType.HTTP
    assert enums.GatewayProtocolType is enums.ProtocolType
    assert enums.PollingType.ALL == 2
    assert str(enums.LogVerbosity.SUCCESS) == "SUCCESS"
    with pytest.raises(ValueError, match="XX is not a valid enum for PollingType"):
        enums.PollingType.from_string("XX")


def test_exceptions_keep_their_bases():
    assert issubclass(excepts.RuntimeTerminated, KeyboardInterrupt)
    assert issubclass(excepts.RuntimeFailToStart, SystemError)
    assert issubclass(excepts.BadConfigSource, FileNotFoundError)
    assert issubclass(excepts.PortAlreadyUsed, RuntimeError)
    assert issubclass(excepts.ExecutorError, RuntimeError)
    assert issubclass(excepts.BadRequestType, TypeError)
    assert issubclass(excepts.DockerVersionError, SystemError)
    assert all(issubclass(getattr(excepts, name), excepts.BaseJinaException) for name in excepts.__all__)


def test_import_extensions(caplog):
    with pytest.raises(ModuleNotFoundError, match="pip install not_there"), importer.ImportExtensions(required=True):
        import not_there
    with (
        pytest.warns(UserWarning, match="for pictures"),
        importer.ImportExtensions(required=False, help_text="for pictures"),
    ):
        import not_there
    with (
        caplog.at_level(logging.WARNING),
        importer.ImportExtensions(required=False, logger=JinaLogger("imports"), pkg_name="other-name"),
    ):
        import not_there  # noqa: F401
    assert "other-name" in caplog.text


def test_path_importer(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    file = tmp_path / "by_path_importer.py"
    file.write_text("VALUE = 3\n")
    importer.PathImporter.add_modules(str(file))
    assert sys.modules.pop("by_path_importer").VALUE == 3


def test_logger_and_profile(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("jina"), "propagate", True)  # which a gateway of another test ends
    with caplog.at_level(logging.DEBUG, logger="jina"), JinaLogger("part") as logger:
        for level in ("debug", "info", "success", "warning", "error", "critical"):
            getattr(logger, level)("message at %s", level)
        with TimeContext("work", logger) as timer:
            assert timer.now() >= 0
    assert timer.duration > 0
    for level in ("debug", "info", "success", "warning", "error", "critical"):
        assert f"message at {level}" in caplog.text
    assert "work takes" in caplog.text
    caplog.clear()
    JinaLogger("quiet", quiet=True).error("unheard")
    assert "unheard" not in caplog.text
    with ProgressBar("x", total_length=2) as bar:
        bar.update()
        bar.update(advance=1)
    assert bar.completed == 2


def test_jaml():
    from jina.executor import Executor

    assert JAML.load("a: 1\nb: [x]\n") == {"a": 1, "b": ["x"]}
    assert JAML.load("a: ${{ CONTEXT.x }}\n", substitute=True, context={"x": 5}) == {"a": 5}
    assert JAML.dump({"a": 1}) == "a: 1\n"
    assert issubclass(Executor, JAMLCompatible)


def test_constants():
    assert constants.__cache_path__.endswith(os.path.join(".cache", "jina"))
    assert constants.RAFT_TO_EXECUTOR_PORT == 100
    assert constants.__unset_msg__ == "(unset)"


def test_get_or_reuse_loop():
    from jina.helper import get_or_reuse_loop

    async def inside():
        return get_or_reuse_loop() is asyncio.get_running_loop()

    def alone():
        first = get_or_reuse_loop()
        assert get_or_reuse_loop() is first
        first.close()
        second = get_or_reuse_loop()
        assert not second.is_closed()
        second.close()
        return first is not second

    assert asyncio.run(inside())
    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        assert threads.submit(alone).result(10)

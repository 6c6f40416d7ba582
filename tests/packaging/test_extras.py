"""What the package needs, and what it does where an extra is not installed."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from jina import Client, Deployment, Executor, Flow
from jina.errors import ConfigError, MissingExtra, install_command

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OPTIONAL = (
    "websockets",
    "opentelemetry",
    "PIL",
    "swagger_ui",
    "jina_raft",
    "urllib3",
    "cryptography",
    "grpc_health",
    "grpc_reflection",
    "aiohttp",
    "grpc",
)
"""Modules of extras, and some that the package once needed."""
BEHIND = {"jina.server.websocket_protocol", "jina.observe.otlp", "jina.hub.registry", "jina.legacy.services"}
"""Modules that are nothing without an extra, and are imported where it is there."""

EVERY_MODULE = """
    import importlib, json, pkgutil, sys, warnings
    warnings.simplefilter("ignore")
    sys.modules.update(dict.fromkeys({optional!r}))
    import jina
    failed = {{}}
    for module in pkgutil.walk_packages([next(iter(jina.__path__))], "jina."):
        if module.name == "jina.__main__":
            continue
        try:
            importlib.import_module(module.name)
        except ImportError as error:
            failed[module.name] = str(error)
    print(json.dumps(failed))
"""


def test_few_distributions_are_needed():
    markers = [Requirement(line).marker for line in PROJECT["dependencies"]]
    here = [marker for marker in markers if marker is None or marker.evaluate()]
    assert len(here) <= 14


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_no_module_of_the_core_imports_an_extra():
    code = textwrap.dedent(EVERY_MODULE).format(optional=OPTIONAL)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    failed = json.loads(done.stdout)
    assert failed.keys() == BEHIND, failed


@pytest.fixture
def without_websockets(monkeypatch):
    monkeypatch.setitem(sys.modules, "websockets", None)


@pytest.mark.parametrize(
    "made",
    [
        lambda: Deployment(uses=Executor, protocol="websocket"),
        lambda: Deployment(uses=Executor, protocol=["grpc", "websocket"]),
        lambda: Flow(protocol="websocket"),
        lambda: Flow().config_gateway(protocol=["http", "websocket"]),
        lambda: Client(protocol="websocket", port=1),
        lambda: Client(host="ws://localhost:1", asyncio=True),
        lambda: Client(host="wss://localhost:1"),
    ],
)
def test_websocket_without_its_library_is_refused_where_it_is_asked_for(without_websockets, made):
    with pytest.raises(MissingExtra) as caught:
        made()
    assert "needs websockets, which is not installed" in str(caught.value)
    assert install_command("websockets") in str(caught.value)
    assert isinstance(caught.value, ImportError)
    assert isinstance(caught.value, ConfigError)


def test_other_protocols_do_without(without_websockets):
    Deployment(uses=Executor, protocol=["grpc", "http"])
    Client(protocol="http", port=1)


WITHOUT_TRACING = """
    import sys
    sys.modules.update(dict.fromkeys(["opentelemetry"]))
    from jina import Executor

    class Counting(Executor):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.calls = self.meter.create_counter("calls", description="how many")
            self.meter.create_observable_gauge("free", callbacks=[lambda options: []])

            @self.tracer.start_as_current_span("decorated")
            def work(number):
                return number + 1

            self.work = work

        def count(self):
            if self.tracer:
                with self.tracer.start_as_current_span("outer", kind=None) as span:
                    span.set_attribute("a", 1)
                    with self.tracer_provider.get_tracer("own").start_as_current_span("inner"):
                        self.calls.add(1, {"b": "c"})
            return self.work(1)

    print(Counting().count())
"""


def test_an_executors_tracer_and_meter_do_nothing_without_opentelemetry():
    command = [sys.executable, "-c", textwrap.dedent(WITHOUT_TRACING)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr

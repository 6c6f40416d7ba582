"""Configurations of logging in files, and files of each process."""

import json
import logging
import socket

import pytest

from jina.errors import ConfigError, NotSupportedError
from jina.observe import logs
from jina.plan.plans import LogPlan


@pytest.fixture(autouse=True)
def _restore():
    root = logging.getLogger("jina")
    before = (list(root.handlers), root.level, root.propagate)
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers[:], root.level, root.propagate = before
    root.manager._clear_cache()


@pytest.fixture
def configured(tmp_path):
    """Writes a configuration and sets logging up by it."""

    def write(text, **options):
        path = tmp_path / "logging.yml"
        path.write_text(text)
        logs.setup(LogPlan(config=str(path), **options), "executor/rep-0", environ={})

    return write


def test_jina_3s_file_with_a_format_writes_such_lines(configured, tmp_path, capsys):
    configured(f"""
        handlers: [StreamHandler, FileHandler]
        level: WARNING
        configs:
          StreamHandler:
            format: '{{name:>18}}[%(levelname).1s]:%(message)s'
            formatter: PlainFormatter
          FileHandler:
            output: '{tmp_path}/deep/{{name}}.log'
            formatter: JsonFormatter
    """)
    token = logs.request_id.set("order-7")
    logs.get_logger("x").warning("\x1b[31mred\x1b[0m")
    logs.request_id.reset(token)
    logs.get_logger("x").info("unseen")
    assert capsys.readouterr().err == "    executor/rep-0[W]:red [order-7]\n"
    (line,) = (tmp_path / "deep" / "executor-rep-0.log").read_text().splitlines()
    event = json.loads(line)
    assert (event["message"], event["request_id"], event["name"]) == ("\x1b[31mred\x1b[0m", "order-7", "executor/rep-0")


def test_the_id_stands_where_the_format_wants_it_and_a_traceback_below(configured, capsys):
    configured("""
        handlers: [StreamHandler]
        configs:
          StreamHandler: {format: '%(request_id)s|%(message)s'}
    """)
    token = logs.request_id.set("order-8")
    try:
        raise ValueError("bad")
    except ValueError:
        logs.get_logger("x").exception("went wrong")
    logs.request_id.reset(token)
    first, *rest = capsys.readouterr().err.splitlines()
    assert first == "order-8|went wrong"
    assert rest[0].startswith("Traceback")
    assert rest[-1] == "ValueError: bad"


def test_syslog_gets_the_lines(configured):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(10)
        configured(f"""
            handlers: [SysLogHandler]
            configs:
              SysLogHandler: {{host: 127.0.0.1, port: {receiver.getsockname()[1]}, ident: jina, format: '%(message)s'}}
        """)
        logs.get_logger("x").error("hello")
        assert receiver.recv(1000).rstrip(b"\0") == b"<11>jina: hello"


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("[]", ConfigError, "holds no mapping"),
        ("handlers: [", ConfigError, "is not YAML"),
        ("handler: [StreamHandler]", ConfigError, "'handler' is not one of handlers, level, configs"),
        ("handlers: StreamHandler", ConfigError, "is not a list"),
        ("handlers: [StreamHandlr]", ConfigError, "did you mean 'StreamHandler'"),
        ("handlers: [FluentHandler]", NotSupportedError, "FluentHandler is not available"),
        ("{handlers: [FileHandler], configs: {FileHandler: {outputt: x}}}", ConfigError, "did you mean 'output'"),
        ("{handlers: [FileHandler], configs: {FileHandler: {formatter: X}}}", ConfigError, "'X' is not one of"),
        ("{handlers: [FileHandler], configs: {FileHandler: {output: /proc/no/x}}}", ConfigError, "cannot be written"),
        ("{handlers: [StreamHandler], level: LOUD}", ConfigError, "log level 'LOUD'"),
    ],
)
def test_a_mistake_names_the_file_and_what_is_wrong(configured, text, error, message):
    with pytest.raises(error, match=message):
        configured(text)


JINA_3 = """
handlers:  # enabled handlers, order does not matter
  - RichHandler
  - StreamHandler
  - FileHandler
level: INFO
configs:
  FileHandler:
    format: '%(asctime)s:{name:>15}@%(process)2d[%(levelname).1s]:%(message)s'
    output: 'OUT/jina-%(uptime)s.log'
    type: json
  StreamHandler:
    format: '{name:>15}@%(process)2d[%(levelname).1s]:%(message)s'
    formatter: PlainFormatter
  SysLogHandler:
    ident: # this will be prepend to all messages
    host: # when not given then record it locally
    port:
    formatter: PlainFormatter
  RichHandler:
    format: '%(message)s'
    markup: false
    show_path: false
    show_level: false
    show_time: false
    log_time_format: '[%x %X]'
"""


def test_every_form_of_jina_3s_own_files_is_read(configured, tmp_path, capsys):
    configured(JINA_3.replace("OUT", str(tmp_path)))
    logs.get_logger("x").info("hello")
    assert capsys.readouterr().err.count("hello") == 2
    [file] = tmp_path.glob("jina-2*.log")
    assert json.loads(file.read_text())["message"] == "hello"


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nothing\.yml cannot be read"):
        logs.setup(LogPlan(config=str(tmp_path / "nothing.yml")), "w", environ={})


def test_each_process_writes_a_file_of_its_own_as_well(tmp_path, capsys):
    for name in ("a/rep-0", "gateway"):
        logs.setup(LogPlan(folder=str(tmp_path / "logs")), name, environ={})
        logs.get_logger("x").info("hello of %s", name)
    assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == ["a-rep-0.log", "gateway.log"]
    (line,) = (tmp_path / "logs" / "a-rep-0.log").read_text().splitlines()
    assert line.endswith(": hello of a/rep-0")
    assert line[:4].isdigit()
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_quiet_writes_nothing_anywhere(tmp_path):
    logs.setup(LogPlan(folder=str(tmp_path / "logs"), quiet=True), "w", environ={})
    logs.get_logger("x").error("unseen")
    assert not (tmp_path / "logs").exists()

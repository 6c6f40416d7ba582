"""Lines, levels and names of the log."""

import json
import logging
import subprocess
import sys

import pytest

from jina.errors import ConfigError, NotSupportedError
from jina.observe import logs
from jina.plan.plans import LogPlan


@pytest.fixture(autouse=True)
def _restore():
    root = logging.getLogger("jina")
    before = (list(root.handlers), root.level, root.propagate)
    yield
    root.handlers[:], root.level, root.propagate = before
    root.manager._clear_cache()


def written(capsys):
    return capsys.readouterr().err.splitlines()


def test_text_line_names_process_level_and_message(capsys):
    logs.setup(LogPlan(), "executor/rep-0", environ={})
    logs.get_logger("worker").success("ready on %d", 80)
    (line,) = written(capsys)
    assert " SUCCESS  executor/rep-0@" in line
    assert line.endswith(": ready on 80")
    assert "\x1b" not in line


@pytest.mark.parametrize(
    ("environ", "coloured"),
    [({"TERM": "xterm"}, True), ({}, True), ({"TERM": "dumb"}, False), ({"NO_COLOR": "1", "TERM": "xterm"}, False)],
)
def test_a_terminal_gets_colours_that_it_can_show(capsys, monkeypatch, environ, coloured):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    logs.setup(LogPlan(), "w", environ=environ)
    logs.get_logger("x").error("in red")
    (line,) = written(capsys)
    assert ("\x1b[31m" in line) is coloured


def test_request_id_is_in_the_line_where_known(capsys):
    logs.setup(LogPlan(), "w", environ={})
    token = logs.request_id.set("abc")
    logs.get_logger("x").info("in")
    logs.request_id.reset(token)
    logs.get_logger("x").info("out")
    inside, outside = written(capsys)
    assert inside.endswith("in [abc]")
    assert outside.endswith("out")


def test_json_is_one_object_a_line_also_with_traceback_and_newlines(capsys):
    logs.setup(LogPlan(format="json"), "w", environ={})
    try:
        raise ValueError("bad\nvalue")
    except ValueError:
        logs.get_logger("x").exception("went\nwrong", extra={"endpoint": "/foo", "odd": object()})
    (line,) = written(capsys)
    event = json.loads(line)
    assert event["message"] == "went\nwrong"
    assert event["level"] == "ERROR"
    assert event["logger"] == "jina.x"
    assert event["endpoint"] == "/foo"
    assert "ValueError: bad" in event["exception"]


def test_level_comes_from_plan_and_environment(capsys):
    logs.setup(LogPlan(level="error"), "w", environ={})
    logs.get_logger("x").warning("unseen")
    logs.setup(LogPlan(level="error"), "w", environ={"JINA_LOG_LEVEL": "SUCCESS"})
    logs.get_logger("x").success("seen")
    logs.get_logger("x").info("unseen")
    (line,) = written(capsys)
    assert line.endswith("seen")
    with pytest.raises(ConfigError, match=r"'EROR' is not one of DEBUG.*\n.*did you mean 'ERROR'"):
        logs.setup(LogPlan(), "w", environ={"JINA_LOG_LEVEL": "EROR"})


@pytest.mark.parametrize("name", ["default", "docker", "plain", "json", "quiet"])
def test_names_of_log_configurations_are_accepted(name, capsys):
    logs.setup(LogPlan(), "w", environ={"JINA_LOG_CONFIG": name})
    logs.get_logger("x").error("hello")
    lines = written(capsys)
    if name == "quiet":
        assert lines == []
    elif name == "json":
        assert json.loads(lines[0])["message"] == "hello"
    else:
        assert lines[0].endswith("hello")


def test_unknown_and_later_configurations_are_errors():
    with pytest.raises(ConfigError, match="did you mean 'json'"):
        logs.setup(LogPlan(), "w", environ={"JINA_LOG_CONFIG": "jsn"})
    with pytest.raises(NotSupportedError):
        logs.setup(LogPlan(config="remote"), "w", environ={})


def test_quiet_plan_wins(capsys):
    logs.setup(LogPlan(quiet=True), "w", environ={"JINA_LOG_CONFIG": "json"})
    logs.get_logger("x").critical("hello")
    assert written(capsys) == []


def test_asking_for_a_logger_configures_nothing():
    code = (
        "import logging, sys\n"
        "from jina.observe.logs import get_logger\n"
        "get_logger('x').error('unseen')\n"
        "assert type(logging.getLogger('other')) is logging.Logger\n"
        "assert logging.getLevelName(25) == 'Level 25'\n"
        "assert not logging.getLogger().handlers\n"
        "assert logging.getLogger('jina').propagate\n"
        "assert not {'rich', 'grpc', 'pydantic', 'numpy', 'prometheus_client', 'opentelemetry'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")


FORGED = "\n12:00:00.000 INFO     gateway@1: all is well"
HOSTILE = f"no endpoint /a{FORGED}\r\n\x1b[2J\x1b]0;owned\x07\x9b31m\x7f\u2028\u202e\x85end"


@pytest.mark.parametrize("where", ["message", "argument", "request id", "exception", "name"])
@pytest.mark.parametrize("form", ["text", "json"])
def test_what_clients_send_forges_no_line_and_reaches_no_terminal(where, form, capsys):
    logs.setup(LogPlan(format=form), "gateway")
    logger = logs.get_logger("gateway")
    if where == "request id":
        token = logs.request_id.set(HOSTILE)
        logger.warning("refused")
        logs.request_id.reset(token)
    elif where == "exception":
        try:
            raise ValueError(HOSTILE)
        except ValueError:
            logger.exception("failed")
    elif where == "name":
        logger.warning("refused %r of %s", HOSTILE, {HOSTILE: 1})
    else:
        logger.warning(*([HOSTILE] if where == "message" else ["refused: %s", HOSTILE]))
    written = capsys.readouterr().err
    assert "end" in written
    assert all(one in "\n\t" or one.isprintable() for one in written), written
    lines = written.splitlines()
    if form == "json":
        assert [json.loads(line)["level"] for line in lines] == ["ERROR" if where == "exception" else "WARNING"]
    else:
        assert [line for line in lines if not line.startswith("  ")] == lines[:1]


def test_json_keeps_what_text_escapes(capsys):
    logs.setup(LogPlan(format="json"), "gateway")
    logs.get_logger("gateway").warning("%s", HOSTILE + "\ud800 ü \U0001f600")
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["message"] == HOSTILE + "\ud800 ü \U0001f600"
    assert "ü" in line

"""Overview, performance, logs, keys; what is hostile stays text; everything with axe on a phone and a desktop."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import signal

import pytest

from jina import Deployment, __version__
from tests.console.conftest import SHOTS, Load, post
from tests.console.executors import ATTACK, Sample

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
VIEWS = ["overview", "playground", "performance", "state", "logs"]


def test_the_graph_has_the_deployments_and_what_flows(look, service):
    look.go("overview")
    with Load(service.port):
        look.page.get_by_role("button", name=re.compile(r"^encoder: ready, 2 of 2")).wait_for()
        look.page.get_by_role("img", name=re.compile(r"gateway to encoder: [1-9]")).wait_for()
        look.page.get_by_role("img", name=re.compile(r"pictures to ranker: [1-9]")).wait_for()
    where = {}
    for name in ("gateway", "encoder", "pictures", "ranker", "sample"):
        box = look.page.get_by_role("button", name=re.compile(f"^{name}: ")).locator("rect").first.bounding_box()
        where[name] = (box["x"], box["y"])
    assert where["gateway"] < where["encoder"] < where["ranker"] < where["sample"]
    assert where["encoder"][0] == where["pictures"][0]


def test_the_graph_goes_down_on_a_phone(open_console, service):
    look = open_console(service.port, width=390, height=844).go("overview")
    gateway = look.page.get_by_role("button", name=re.compile("^gateway: ")).bounding_box()
    encoder = look.page.get_by_role("button", name=re.compile("^encoder: ")).bounding_box()
    assert gateway["y"] < encoder["y"]
    # The page itself never scrolls sideways.
    assert look.page.evaluate("document.documentElement.scrollWidth") <= 390


def test_processes_are_listed_with_where_they_run(look):
    look.go("overview")
    row = look.page.get_by_role("row", name=re.compile(r"encoder\/rep-1"))
    row.get_by_text("ready").wait_for()
    assert re.search(r"\d+(\.\d)? MB", row.inner_text())
    assert "process" in row.inner_text() or "container" in row.inner_text() or "pod" in row.inner_text()


def test_versions_are_shown(look):
    """Those of the Executor, with jina's beside it; what somebody has written there is text."""
    look.go("overview")
    row = look.page.get_by_role("row", name=re.compile(r"encoder\/rep-1"))
    row.get_by_role("cell", name=f"2.1 · jina {__version__}").wait_for()
    look.page.get_by_role("button", name=re.compile(r"^encoder .*Encoder · 2\.1 · 2 of 2")).wait_for()
    row = look.page.get_by_role("row", name=re.compile(r"sample\/rep-0"))
    row.get_by_role("cell", name=re.compile(re.escape(ATTACK.format("version")[:60]))).wait_for()
    look.page.get_by_role("row", name=re.compile("gateway")).get_by_role("cell", name=f"jina {__version__}").wait_for()


def test_a_node_of_the_graph_opens_its_deployment(look):
    look.go("overview")
    look.page.get_by_role("button", name=re.compile("^ranker: ")).press("Enter")
    look.page.get_by_role("button", name=re.compile("^ranker: "), pressed=True).wait_for()
    look.page.get_by_role("row", name=re.compile(r"ranker\/rep-0")).wait_for()
    look.page.get_by_role("row", name=re.compile(r"encoder\/rep-0")).wait_for(state="detached")


def test_a_replica_that_dies_is_seen_to_die_and_to_come_back(look, service):
    look.go("overview")
    row = look.page.get_by_role("row", name=re.compile(r"^encoder\/rep-0"))
    row.get_by_text("ready").wait_for()
    restarts = int(row.locator("td").nth(5).inner_text())
    pid = next(one for one in service._processes[0].workers if one.name == "encoder/rep-0").pid
    os.kill(pid, signal.SIGKILL)
    look.page.get_by_role("row", name=re.compile("last end: .*(killed|SIGKILL|signal 9)")).wait_for()
    # A new process loads all that the old one had loaded, on a machine that may be busy.
    row.get_by_text("ready").wait_for(timeout=100_000)
    look.until(
        """([name, many]) => [...document.querySelectorAll("tr")].some(
            row => row.innerText.startsWith(name) && Number(row.cells[6].innerText) > many)""",
        ["encoder/rep-0", restarts],
    )


def test_a_service_that_stops_is_told_and_found_again(open_console):
    with Deployment(name="gone", uses=Sample, protocol="http") as deployment:
        port = deployment.port
        look = open_console(port).go("overview")
        look.page.get_by_role("status").get_by_text("live").wait_for()
    look.page.get_by_role("status").get_by_text("no connection").wait_for()
    with Deployment(name="gone", uses=Sample, protocol="http", port=port):
        look.page.get_by_role("status").get_by_text("live").wait_for()
    look.said.clear()  # the browser writes a line for each connection that was refused


def test_the_playground_finds_new_endpoints_after_a_restart(open_console, alone):
    look = open_console(alone.port).endpoint("/add")
    look.page.get_by_role("link", name="/words").wait_for()


def test_curves_show_what_was_asked(look, service):
    look.go("performance")
    with Load(service.port):
        look.page.get_by_role("img", name=re.compile(r"Throughput: requests [1-9]")).wait_for()
        look.page.get_by_role("img", name=re.compile(r"Latency: p50 [\d.]+ ms")).wait_for()
        look.page.get_by_role("img", name=re.compile(r"Memory: resident [1-9]")).wait_for()
    assert look.page.locator(".curve .line").first.get_attribute("d")


def test_curves_of_one_process_and_longer_times(look, service):
    with Load(service.port):
        look.go("performance")
        look.page.get_by_role("combobox", name="what is shown").select_option("process:encoder/rep-1")
        look.page.get_by_role("combobox", name="how long").select_option("15 minutes")
        look.page.get_by_role("img", name=re.compile(r"Memory: resident [1-9]")).wait_for()


def test_a_curve_tells_its_values_under_the_pointer(look, service):
    with Load(service.port):
        look.go("performance")
        look.page.get_by_role("img", name=re.compile(r"Throughput: requests [1-9]")).wait_for()
        chart = look.page.locator(".chart").first
        box = chart.locator("svg").bounding_box()
        look.page.mouse.move(box["x"] + box["width"] - 4, box["y"] + 20)
        chart.get_by_text(re.compile(r"\d\d:\d\d:\d\d")).wait_for()


def test_the_slowest_requests_have_their_spans(look, service):
    look.go("performance")
    with Load(service.port):
        slow = look.page.get_by_role("region", name=re.compile("^Slowest requests"))
        slow.get_by_role("button", name=re.compile(r"\/encode")).first.click()
        for part in ("gateway", "hop encoder", "queue", "handler"):
            slow.get_by_role("cell", name=part, exact=True).first.wait_for()
    slow.get_by_role("link", name=re.compile("the log of")).first.click()
    look.page.get_by_role("heading", name="Logs").wait_for()


def test_failures_are_counted_by_their_kind(look, service):
    look.endpoint("/fail").send().answered("500")
    look.go("performance")
    row = look.page.get_by_role("row", name=re.compile(r"sample\/fail"))
    row.wait_for()
    row.get_by_text(re.compile(r"\w+ \d+")).last.wait_for()


def test_lines_of_the_log_come_as_they_are_written(look, service):
    look.go("logs")
    look.page.get_by_role("main").get_by_text("live").wait_for()
    post(service.port, "/say", '{"text": "a line to be seen"}')
    look.page.get_by_role("log").get_by_text("a line to be seen").wait_for()


def test_the_log_is_filtered(look, service):
    for level in ("info", "warning", "error"):
        post(service.port, "/say", f'{{"text": "told as {level}", "level": "{level}"}}')
    look.go("logs")
    log = look.page.get_by_role("log")
    log.get_by_text("told as error").last.wait_for()
    look.page.get_by_role("combobox", name="least level").select_option("WARNING")
    log.get_by_text("told as warning").last.wait_for()
    assert log.get_by_text("told as info").count() == 0
    look.page.get_by_role("searchbox", name="text in the lines").fill("AS ERROR")
    log.get_by_text("told as error").last.wait_for()
    look.until("() => !document.querySelector('[role=log]').innerText.includes('told as warning')")
    look.page.get_by_role("combobox", name="process").select_option("encoder")
    look.sees("No lines yet")


def test_an_answer_leads_to_its_lines_in_the_log(look):
    look.endpoint("/say")
    look.field("text").fill("of this request")
    look.send().answered("200 OK")
    look.page.get_by_title("the log of this request").click()
    look.page.get_by_role("log").get_by_text("of this request").first.wait_for()
    look.button("lines of all requests").click()
    assert look.page.evaluate("location.hash") == "#/logs"


def test_the_log_can_be_held(look, service):
    from playwright.sync_api import TimeoutError as NotYet

    look.go("logs")
    log = look.page.get_by_role("log")
    before = log.get_by_text("before").first
    for _ in range(20):  # the page shows what is written once it listens
        post(service.port, "/say", '{"text": "before"}')
        with contextlib.suppress(NotYet):
            before.wait_for(timeout=1000)
            break
    assert before.is_visible()
    look.button("hold").click()
    post(service.port, "/say", '{"text": "meanwhile"}')
    look.button("follow").wait_for()
    assert log.get_by_text("meanwhile").count() == 0
    look.button("follow").click()
    log.get_by_text("meanwhile").first.wait_for()


def test_without_groups_the_state_says_so(look):
    look.go("state").sees("No state is replicated here")


def test_a_service_with_keys_asks_for_one(open_console, closed):
    look = open_console(closed.port).go("overview")
    dialog = look.page.get_by_role("dialog")
    dialog.get_by_label("API key").fill("wrong")
    dialog.get_by_role("button", name="Open").click()
    dialog.get_by_text("does not know that key").wait_for()
    dialog.get_by_label("API key").fill("sesame-open")
    dialog.get_by_role("button", name="Open").click()
    look.page.get_by_role("status").get_by_text("live").wait_for()
    assert look.page.get_by_role("dialog").count() == 0
    look.endpoint("/add")
    look.field("a").fill("40")
    look.send().answered("42")
    assert "$JINA_API_KEY" in look.snippet("curl")
    assert "sesame-open" not in look.snippet("curl")
    look.page.reload()
    look.endpoint("/add")


def test_a_key_in_the_address_is_taken_and_removed(open_console, closed):
    look = open_console(closed.port)
    look.page.goto(f"{look.origin}/console#key=sesame-open")
    look.page.get_by_role("status").get_by_text("live").wait_for()
    assert "sesame-open" not in look.page.evaluate("location.href")


@pytest.mark.parametrize("typed", ["ключ", "%zz", "\N{SNOWMAN}"])
def test_what_cannot_be_a_key_is_told_to_be_none(open_console, closed, typed):
    look = open_console(closed.port)
    look.page.goto(f"{look.origin}/console#key={typed}")
    dialog = look.page.get_by_role("dialog")
    dialog.get_by_text("does not know that key").wait_for()
    dialog.get_by_label("API key").fill(typed)
    dialog.get_by_role("button", name="Open").click()
    dialog.get_by_text("does not know that key").wait_for()


def test_who_asks_for_the_key_cannot_be_sent_away(open_console, closed):
    """A browser closes a dialog at the second Escape, whatever its page says; behind it nothing could be done."""
    look = open_console(closed.port).go("overview")
    dialog = look.page.get_by_role("dialog")
    dialog.wait_for()
    for _ in range(4):
        look.page.keyboard.press("Escape")
    dialog.get_by_label("API key").fill("sesame-open")
    dialog.get_by_role("button", name="Open").click()
    look.page.get_by_role("status").get_by_text("live").wait_for()
    assert dialog.count() == 0


def test_a_browser_that_keeps_nothing_takes_a_key_all_the_same(open_console, closed):
    look = open_console(closed.port)
    look.page.add_init_script(
        """for (const name of ["sessionStorage", "localStorage"])
            Object.defineProperty(window, name, {get() { throw new Error("not here"); }});"""
    )
    look.page.goto(f"{look.origin}/console#key=sesame-open")
    look.page.get_by_role("status").get_by_text("live").wait_for()
    look.button("colours: system; change to light").click()
    look.button("colours: light; change to dark").wait_for()


def test_without_scripts_the_page_says_what_does_without_them(open_console, alone):
    look = open_console(alone.port, java_script_enabled=False)
    look.page.goto(f"{look.origin}/console")
    assert "The console needs JavaScript" in look.page.locator("body").inner_text()
    links = [link.evaluate("element => element.href") for link in look.page.locator("noscript a").all()]
    assert [look.page.request.get(link).status for link in links] == [200, 200]


def test_a_key_without_the_scope_opens_nothing(open_console, closed):
    look = open_console(closed.port)
    look.page.goto(f"{look.origin}/console#key=barley-field")
    look.page.get_by_role("dialog").get_by_text(re.compile("scope|may not")).wait_for()


def test_hostile_names_and_texts_stay_text(look, service):
    """Class names are identifiers; what else somebody writes is shown as it was written."""
    look.endpoint("/odd")
    look.sees("<script>window.attacked='method docstring'</script>")
    look.sees(ATTACK.format("field description"))
    look.page.get_by_role("textbox", name="plain").fill(ATTACK.format("document"))
    look.send().answered(ATTACK.format("document"))
    for tab in ("JSON", "Headers"):
        look.answer.get_by_role("tab", name=tab).click()


def test_hostile_errors_stay_text(look):
    look.endpoint("/fail").send().answered(re.compile(re.escape("<img src=x")))
    look.page.get_by_text("traceback", exact=True).click()


def test_hostile_streams_stay_text(look):
    look.endpoint("/tokens")
    look.field("prompt").fill(ATTACK.format("stream"))
    look.send().answered(re.compile(re.escape("<script>window.attacked='stream'")))


def test_hostile_lines_of_the_log_stay_text(look, service):
    post(service.port, "/say", '{"text": "<img src=x onerror=window.attacked=1><script>window.attacked=1</script>"}')
    look.go("logs")
    look.page.get_by_role("log").get_by_text("<script>window.attacked=1</script>").first.wait_for()


def test_hostile_request_ids_stay_text(look, service):
    look.go("logs", "<img src=x onerror=window.attacked=2>")
    look.page.get_by_role("group", name="which lines").get_by_text("<img src=x").wait_for()


def test_hostile_documents_of_all_kinds_stay_text(look):
    look.endpoint("/untyped")
    look.page.get_by_role("tab", name="JSON").first.click()
    link = "javascript:window.attacked=3"
    markup = "<img src=x onerror=window.attacked=3>"
    page = base64.b64encode(b"<script>window.attacked=3</script>").decode()
    drawing = base64.b64encode(b'<svg xmlns="http://www.w3.org/2000/svg" onload="window.attacked=3"/>').decode()
    files = [f"data:text/html;base64,{page}", f"data:image/svg+xml;base64,{drawing}"]
    body = json.dumps([{"text": link, "uri": link, "tags": {markup: ["<b>x</b>", *files]}}])
    look.page.get_by_role("textbox", name="request body").fill(body)
    look.send().answered("<b>x</b>")
    assert look.page.locator("a[href^='javascript']").count() == 0


def test_the_page_allows_itself_little(open_console, alone):
    look = open_console(alone.port).go("overview")
    answer = look.page.request.get(f"{look.origin}/console")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    # A script that gets into the page all the same does not run.
    look.page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.attacked = 4'}))"
    )
    assert look.page.evaluate("window.attacked") is None
    assert any("Content Security Policy" in line for line in look.said)
    look.said.clear()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_nothing(open_console, service, view, width, scheme):
    look = open_console(service.port, width=width, height=844 if width == 390 else 900, scheme=scheme)
    with Load(service.port):
        look.go(view)
        look.page.get_by_role("status").get_by_text("live").first.wait_for()
        if view == "performance":
            look.page.get_by_role("button", name=re.compile(r"\/encode")).first.click()
        elif view == "playground":
            look.endpoint("/person")
            look.button("add address").click()
            look.button("add to addresses").click()
            look.send().answered("200 OK")
        elif view == "logs":
            post(service.port, "/say", '{"text": "something went wrong", "level": "error"}')
            look.sees("something went wrong")
        elif view == "overview":
            look.page.get_by_role("img", name=re.compile("gateway to encoder: [1-9]")).wait_for()
        shot(look, f"{view}-{width}-{scheme}")
        assert look.violations() == []
    assert look.page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_axe_finds_nothing_in_answers_and_dialogs(open_console, closed, width, scheme):
    look = open_console(closed.port, width=width, scheme=scheme).go("overview")
    look.page.get_by_role("dialog").wait_for()
    assert look.violations() == []
    look.page.get_by_label("API key").fill("sesame-open")
    look.page.get_by_role("dialog").get_by_role("button", name="Open").click()
    for path in ("/fail", "/grid", "/sound", "/search"):
        look.endpoint(path).send().answered(re.compile("200 OK|500"))
        shot(look, f"answer{path.replace('/', '-')}-{width}-{scheme}")
        assert look.violations() == []


def test_the_colours_can_be_chosen(look):
    look.go("overview")
    look.page.get_by_role("button", name=re.compile("^colours: system")).click()
    look.page.get_by_role("button", name=re.compile("^colours: light")).click()
    assert look.page.evaluate("document.documentElement.dataset.theme") == "dark"
    look.page.reload()
    look.page.get_by_role("button", name=re.compile("^colours: dark")).wait_for()


def test_views_are_reached_by_the_keyboard(look):
    look.go("overview")
    look.page.get_by_role("status").get_by_text("live").wait_for()
    look.page.keyboard.press("Tab")
    assert look.page.evaluate("document.activeElement.textContent") == "to the content"
    look.page.keyboard.press("Enter")
    assert look.page.evaluate("document.activeElement.id") == "main"
    look.page.get_by_role("link", name="Logs").focus()
    look.page.keyboard.press("Enter")
    look.page.get_by_role("heading", name="Logs").wait_for()
    look.page.go_back()
    look.page.get_by_role("heading", name="Overview").wait_for()


def shot(look, name: str) -> None:
    """A picture for people to look at."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    look.page.screenshot(path=SHOTS / f"{name}.png")

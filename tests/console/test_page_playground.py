"""The playground: forms, answers of all kinds, streams, errors, history, and the same request from elsewhere."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from tests.console.executors import png

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def test_numbers_are_added(look):
    look.endpoint("/add")
    look.field("a").fill("40")
    look.send().answered("42")
    look.answered("200 OK")


def test_a_field_that_is_left_out_gets_what_the_method_says(look):
    look.endpoint("/add")
    look.field("a").fill("1")
    look.field("b").fill("1")
    look.send().answered("2")
    look.field("b").fill("")
    look.send().answered("3")


def test_integers_that_no_float_holds_keep_their_value(look):
    look.endpoint("/big")
    look.field("number").fill("9007199254740993")
    look.send().answered("9007199254740993")
    assert "9007199254740993" in look.snippet("curl")


def test_a_nested_document_is_filled_in_and_comes_back(look):
    look.endpoint("/person")
    assert look.field("name").input_value() == "Ada"
    look.button("add address").click()
    look.field("street").fill("High Street")
    look.button("add to tags").click()
    look.field("tags 1").fill("kind")
    look.page.get_by_role("switch", name="active").click()
    look.page.get_by_role("combobox", name="colour").select_option("blue")
    look.page.get_by_role("textbox", name="name for a new value of scores").fill("clarity")
    look.page.get_by_role("group", name="scores").get_by_role("button", name="add").click()
    look.field("clarity").fill("0.5")
    look.send()
    for text in ("High Street", "kind", "blue", "0.5", "false"):
        look.answered(text)


def test_lists_of_documents_grow_and_shrink(look):
    look.endpoint("/person")
    look.button("add to addresses").click()
    look.button("add to addresses").click()
    streets = look.page.get_by_role("textbox", name="street", exact=True)
    streets.nth(0).fill("first")
    streets.nth(1).fill("second")
    look.button("remove addresses 1").click()
    look.send().answered("second")
    assert look.answer.get_by_text("first").count() == 0


def test_a_union_takes_either_kind(look):
    look.endpoint("/person")
    look.page.get_by_role("combobox", name="kind of either").select_option("1")
    look.field("either").fill("words")
    look.send().answered("words")


def test_parameters_have_fields_of_their_own(look):
    look.endpoint("/person")
    look.button("add a Person").click()
    look.field("limit").fill("1")
    look.send().answered("200 OK")
    look.page.get_by_role("tab", name="JSON").nth(1).click()
    shown = json.loads(look.answer.locator("pre").inner_text())
    assert len(shown["data"]) == 1


def test_wrong_fields_are_marked_where_they_are(look):
    look.endpoint("/person")
    look.button("add to addresses").click()
    look.field("number").fill("-1")
    look.send().answered("422")
    wrong = look.field("number")
    assert wrong.get_attribute("aria-invalid") == "true"
    look.page.locator(".ask").get_by_text("greater than or equal to 0").wait_for()


def test_what_is_no_number_is_said_by_the_server(look):
    look.endpoint("/add")
    look.field("a").fill("many")
    look.send().answered("422")
    look.page.locator(".ask").get_by_text("valid integer").wait_for()


def test_form_and_json_are_two_ways_to_write_one_request(look):
    look.endpoint("/person")
    look.field("name").fill("Grace")
    look.page.get_by_role("tab", name="JSON").first.click()
    body = look.page.get_by_role("textbox", name="request body")
    written = json.loads(body.input_value())
    assert written["data"][0]["name"] == "Grace"
    written["data"][0]["name"] = "Alan"
    body.fill(json.dumps(written))
    look.page.get_by_role("tab", name="Form").click()
    assert look.field("name").input_value() == "Alan"


def test_json_that_is_none_is_no_form(look):
    look.endpoint("/person")
    look.page.get_by_role("tab", name="JSON").first.click()
    look.page.get_by_role("textbox", name="request body").fill("{")
    look.page.get_by_role("tab", name="Form").click()
    look.sees("not JSON yet")
    look.send().answered("400")


def test_a_picture_is_chosen_and_comes_back(look):
    look.endpoint("/flip")
    look.page.locator("input[type=file]").set_input_files({"name": "dot.png", "mimeType": "image/png", "buffer": png()})
    look.page.locator(".ask img").wait_for()
    look.send()
    image = look.answer.locator("img")
    image.wait_for()
    assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 24


def test_a_picture_is_dropped_on_a_field_of_bytes(look):
    look.endpoint("/person")
    data = look.page.evaluate_handle(
        """bytes => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], "dot.png", {type: "image/png"}));
            return data;
        }""",
        list(png()),
    )
    look.page.locator(".field.file .drop").first.dispatch_event("drop", {"dataTransfer": data})
    look.page.locator(".ask img").wait_for()
    look.send()
    assert look.answer.locator("img").evaluate("image => image.decode().then(() => image.naturalHeight)") == 16


def test_numbers_of_an_array_are_typed(look):
    look.endpoint("/person")
    look.field("vector").fill("1, 2 3.5")
    look.page.get_by_text("[3]", exact=True).wait_for()
    look.send().answered("200 OK")
    look.page.get_by_role("tab", name="JSON").nth(1).click()
    assert json.loads(look.answer.locator("pre").inner_text())["data"][0]["vector"] == [1, 2, 3.5]


def test_an_array_comes_from_a_npy_file(look, tmp_path):
    np.save(tmp_path / "v.npy", np.array([1.5, -2.0, 3.0], dtype=np.float32))
    look.endpoint("/person")
    look.page.locator("input[type=file][accept='.npy']").set_input_files(tmp_path / "v.npy")
    assert json.loads(look.field("vector").input_value()) == [1.5, -2.0, 3.0]
    look.page.locator("input[type=file][accept='.npy']").set_input_files(
        {"name": "x.npy", "mimeType": "", "buffer": b"no array"}
    )
    look.sees("this is no .npy file")


def test_a_sound_can_be_played(look):
    look.endpoint("/sound").send()
    audio = look.answer.locator("audio")
    audio.wait_for()
    audio.evaluate(
        """audio => audio.readyState >= 1 || new Promise((resolve, reject) => {
            audio.onloadedmetadata = resolve;
            audio.onerror = reject;
        })"""
    )


def test_an_array_is_shown_as_a_picture(look):
    look.endpoint("/grid").send().answered("[32, 48, 3]")
    canvas = look.answer.locator("canvas")
    assert canvas.evaluate("canvas => [canvas.width, canvas.height]") == [48, 32]
    last = canvas.evaluate("canvas => [...canvas.getContext('2d').getImageData(47, 31, 1, 1).data]")
    assert last[3] == 255
    assert last[0] > 250


def test_matches_are_a_table(look):
    look.endpoint("/search")
    look.field("text").fill("query")
    look.send().answered("hit 2")
    assert look.answer.get_by_role("columnheader", name="score").count() == 1


def test_anything_goes_to_an_endpoint_without_types(look):
    look.endpoint("/untyped")
    look.page.get_by_role("tab", name="JSON").first.click()
    look.page.get_by_role("textbox", name="request body").fill('[{"text": "free", "tags": {"x": 1}}]')
    look.send().answered("free")


def test_an_endpoint_that_takes_get_only(look):
    look.endpoint("/read", "GET")
    look.field("text").fill("a b&c")
    look.send().answered("a b&c")


def test_any_endpoint_is_named_in_the_body(look):
    look.endpoint("/post")
    look.page.get_by_label("endpoint", exact=True).last.fill("/encode")
    look.page.get_by_role("tab", name="JSON").first.click()
    look.page.get_by_role("textbox", name="request body").fill(
        '{"execEndpoint": "/encode", "data": [{"text": "named"}]}'
    )
    look.send().answered("named")


def test_a_stream_of_documents_is_shown_as_text_as_it_comes(look):
    look.endpoint("/words")
    look.field("text").fill(" ".join(f"word{number}" for number in range(40)))
    # Looked at from within: this machine may be too busy to look in time from outside.
    look.page.evaluate(
        """() => {
            window.seen = new Set();
            const look = () => window.seen.add(document.querySelector(".flowing")?.textContent.length ?? 0);
            new MutationObserver(look).observe(document.body, {subtree: true, childList: true, characterData: true});
        }"""
    )
    look.button("Send").click()
    look.answered("word39")
    look.answered("40 parts")
    assert look.page.evaluate("window.seen.size") > 5
    look.page.get_by_role("tab", name="Parts").click()
    look.answered("word5")


def test_a_stream_of_text(look):
    look.endpoint("/tokens")
    look.field("prompt").fill("x")
    look.send().answered("x0 x1 x2 x3 x4")


def test_a_stream_over_a_websocket(look):
    look.endpoint("/words")
    look.field("text").fill("one two three")
    look.page.get_by_role("combobox", name="transport").select_option("over WebSocket")
    look.send().answered("one two three")
    look.answered("3 parts")


def test_a_stream_of_plain_values_over_a_websocket(look):
    look.endpoint("/tokens")
    look.field("prompt").fill("y")
    look.page.get_by_role("combobox", name="transport").select_option("over WebSocket")
    look.send().answered("y0 y1 y2 y3 y4")


def test_a_stream_is_stopped(look):
    look.endpoint("/words")
    look.field("text").fill("word " * 2000)
    look.button("Send").click()
    look.answered("word word")
    look.button("Stop").click()
    look.answered("stopped")


def test_a_stream_that_breaks_says_so_below_what_came(look):
    look.endpoint("/breaks")
    look.field("prompt").fill("begun")
    look.send().answered("begun")
    look.answered("broke in the middle")


def test_a_request_that_takes_long_is_stopped(look):
    look.endpoint("/slow")
    look.button("Send").click()
    look.button("Stop").click()
    look.answered("stopped")


def test_an_error_of_a_handler_has_its_traceback(look):
    look.endpoint("/fail").send().answered("500")
    look.answered("ExecutorError in")
    look.page.get_by_text("traceback", exact=True).click()
    look.answered("raise ValueError")


def test_the_history_fills_the_form_again(look):
    look.endpoint("/add")
    look.field("a").fill("5")
    look.send().answered("7")
    look.field("a").fill("6")
    look.send().answered("8")
    look.page.get_by_title("fill the form with this request").nth(1).click()
    assert look.field("a").input_value() == "5"
    look.page.reload()
    look.page.get_by_title("fill the form with this request").nth(1).click()
    assert look.field("a").input_value() == "5"


def test_the_copied_curl_does_the_same(look):
    look.endpoint("/person")
    look.field("name").fill('O\'Neill $HOME `id` "x" \\ @file')
    command = look.snippet("curl")
    answer = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True, timeout=60).stdout
    assert json.loads(answer)["data"][0]["name"] == 'O\'Neill $HOME `id` "x" \\ @file'


def test_the_copied_python_does_the_same(look):
    look.endpoint("/add")
    look.field("a").fill("20")
    code = look.snippet("Python")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("22", "")


def test_the_copied_python_of_documents_does_the_same(look):
    look.endpoint("/person")
    look.page.locator(".field.file input[type=file]").set_input_files(
        {"name": "dot.png", "mimeType": "image/png", "buffer": png()}
    )
    look.button("add to addresses").click()
    look.field("street").fill("it's\nhere")
    code = look.snippet("Python")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert "it's\\nhere" in done.stdout, done
    assert "PNG" in done.stdout, done


def test_the_copied_python_of_a_stream_does_the_same(look):
    look.endpoint("/words")
    look.field("text").fill("it's\nso")
    code = look.snippet("Python")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert "it's" in done.stdout, done


def test_ctrl_and_enter_send(look):
    look.endpoint("/add")
    look.field("a").fill("1")
    look.field("a").press("Control+Enter")
    look.answered("3")


def test_the_keyboard_alone_is_enough(look):
    look.endpoint("/add")
    look.field("a").focus()
    look.page.keyboard.press("Control+a")
    look.page.keyboard.type("7")
    for _ in range(12):
        look.page.keyboard.press("Tab")
        if look.page.evaluate("document.activeElement.textContent") == "Send":
            break
    look.page.keyboard.press("Enter")
    look.answered("9")


def test_an_executor_without_a_gateway(open_console, alone):
    look = open_console(alone.port).endpoint("/add")
    look.field("a").fill("40")
    look.send().answered("42")

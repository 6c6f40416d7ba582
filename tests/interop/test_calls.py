"""Each call of `calls.py`, by both clients, to both servers and to a Jina 3 gateway before our server."""

import json

import pytest

from tests.interop.matrix import CLIENTS, FACES, LOST_OR_RAISED, SERVERS, STREAMED, Case, Differs, Raises, check

pytestmark = [pytest.mark.interop, pytest.mark.timeout(150)]

HTTP = "*.http *.flow-http"
FORMS = ("object", "method", "optional", "partial", "mock", "function")
REQUEST_ERROR = Raises("BadClient", "ValueError")
SERVER_ERROR = Raises("BadServer")


def rich(vector="float32", text="näïve ☃ \0 end", empty="float64", shape=(2, 0, 3), **changed):
    """The documents of `calls.rich_docs`; `changed` are fields of the first that a handler changed."""
    values = [0.375, -0.5625, 7.500000013744389e37 if vector == "float32" else 7.5e37]
    matrix = [[i * 2**40 for i in row] for row in ((0, 1, 2), (3, 4, 5))]
    bare = {
        "text": "", "maybe": None, "count": 0, "price": 0.0, "flag": False, "blob": {"bytes": ""}, "tags": {},
        "names": [], "vector": None, "matrix": None, "part": None, "parts": [],
    }  # fmt: skip
    full = {
        "text": text, "maybe": "some", "count": 2**31 - 2, "price": -1.5e-300, "flag": True,
        "blob": {"bytes": b"plain \x7f".hex()}, "tags": {"a": 1.5, "b": [True, None, "x"], "c": {"d": "e"}},
        "names": ["x", "y"], "vector": {"dtype": vector, "shape": [3], "values": values},
        "matrix": {"dtype": "int64", "shape": [2, 3], "values": matrix}, "part": {"name": "p", "size": -3},
        "parts": [{"name": "q", "size": 1}, {"name": "r", "size": 2}],
    }  # fmt: skip
    arrays = {
        **bare,
        "vector": {"dtype": empty, "shape": [0], "values": []},
        "matrix": {"dtype": "float64", "shape": list(shape), "values": [[], []]},
    }
    return [full | changed, bare, arrays]


def echoed(**options):
    return {"docs": rich(**options), "ids": [True] * 3, "class": "Rich"}


def changed(vector="float32", **options):
    first, bare, arrays = rich(vector, **options)
    doubled = {"dtype": vector, "shape": [3], "values": [2 * value for value in first["vector"]["values"]]}
    seen = {"seen": True}
    parts = [*first["parts"], {"name": "p", "size": -2}]
    return [
        first | {"text": "~NÄÏVE ☃ \0 END", "count": 2**31 - 1, "tags": first["tags"] | seen, "vector": doubled, "parts": parts},
        bare | {"text": "~", "count": 1, "tags": seen},
        arrays | {"text": "~", "count": 1, "tags": seen},
    ]  # fmt: skip


def as_json(make):
    return make(vector="float64", shape=(2, 0))


def results(count, name="direct/rep-0"):
    return {
        "names": [name],
        "values": [{"count": count, "nested": {"names": ["a", "b"], "none": None}}],
        "docs": ["a", "b"],
    }


def same_numbers(expected):
    """Equal, and integers where integers are expected."""

    def check_exactly(seen):
        assert json.dumps(seen, sort_keys=True) == json.dumps(expected, sort_keys=True)

    return check_exactly


GIVEN = {"i": 3, "big": 2**60 + 1, "f": 1.5, "n": None, "l": [1, "x"], "d": {"e": {"g": True}}}
AS_FLOATS = {"i": 3.0, "big": float(2**60 + 1), "f": 1.5, "n": None, "l": [1.0, "x"], "d": {"e": {"g": True}}}
FAILURE = [[1, "ValueError('no good', 7)", "ValueError", ["no good", "7"]], ["Interop", True]]

CASES = [
    Case("echo", echoed(), differs=(
        Differs("ours>ours.grpc ours>ours.unary ours>ours.ws", "empty-arrays", echoed(empty="float32")),
        Differs(HTTP, "binary-http", as_json(echoed)),
    )),
    Case("change", changed(), differs=(
        Differs("ours>ours.grpc ours>ours.unary ours>ours.ws", "empty-arrays", changed(empty="float32")),
        Differs(HTTP, "binary-http", as_json(changed)),
    )),
    Case("untyped_answer", {"count": 2**31 - 1, "flag": True, "names": ["x", "y"], "part": "p", "text": "~NÄÏVE ☃ \0 END"},
         differs=(
             Differs("ours>ours.http", "untyped-http", {"count": 2**31 - 1, "flag": True, "names": ["x", "y"], "part": "p", "text": "~NÄÏVE ☃ \0 END"}),
             Differs(HTTP, "untyped-http", Raises(text="'dict' object has no attribute 'name'")),
         )),
    Case("other_class", ["s:3.0", "t:0.0"]),
    Case("lengths", [["a!", "b!"], ["a0", "a1", "b0", "b1"], []]),
    Case("one_document", ["Note", "alone!"]),
    Case("generator_of_documents", [f"{i}!" for i in range(7)], listeners=STREAMED),
    Case("no_documents", ['{"a": "b"}']),
    Case("single_document_method", ["one x", "one y"]),
    Case("many_requests", {
        "ids": 9, "sizes": [1] + [3] * 8, "status": [0], "texts": sorted(f"{i}!" for i in range(25)),
    }, differs=(
        Differs("theirs>theirs.http", "request-id",
                {"ids": 1, "sizes": [1] + [3] * 8, "status": [0], "texts": sorted(f"{i}!" for i in range(25))}),
    )),
    Case("in_order", [str(i) for i in range(6)], listeners=STREAMED),
    Case("callbacks", [[["done", ["a!"]], ["always"]], None], listeners=STREAMED),
    Case("metadata", ["m!"]),
    Case("headers", ["h!"], listeners=STREAMED),
    Case("async_post", [f"{i}!" for i in range(5)], listeners=STREAMED),
    Case("compressed", True, listeners=STREAMED, differs=(
        Differs("ours>*.http ours>*.flow-http ours>*.ws ours>*.flow-ws", "compression", Raises(text="only on gRPC")),
    )),
    Case("target_executor", ["t!"], {"pattern": "dir.*"}, label="that matches"),
    Case("target_executor", ["t"], {"pattern": "nobody"}, label="that does not match", differs=(
        Differs("ours>ours.flow-*", "target-nobody", Raises("BadClient", text="nobody")),
        Differs("theirs>ours.flow-ws", "websocket-errors", LOST_OR_RAISED),
        Differs("theirs>ours.flow-*", "target-nobody", Raises()),
        Differs("*>ours.grpc *>ours.unary *>ours.http *>ours.ws *>theirs.grpc *>theirs.unary *>theirs.http",
                "target-executor", ["t!"]),
    )),
    Case("parameters", lambda seen: same_numbers(AS_FLOATS)(json.loads(seen)), {"given": GIVEN}, differs=(
        Differs("ours>ours.* ours>front.*", "integers-of-parameters",
                lambda seen: same_numbers(GIVEN)(json.loads(seen))),
    )),
    Case("parameters", lambda seen: same_numbers({"only": {"direct__x": "y"}})(json.loads(seen)),
         {"given": {"only": {"direct__x": "y"}}}, label="nested keys are not scoped"),
    Case("parameters", lambda seen: same_numbers({"k": "mine", "v": "all"})(json.loads(seen)),
         {"given": {"direct__k": "mine", "k": "general", "v": "all"}}, label="scoped", differs=(
        Differs("*>theirs.grpc *>theirs.unary *>theirs.http", "scoped-parameters",
                lambda seen: same_numbers({"direct__k": "mine", "k": "general", "v": "all"})(json.loads(seen))),
    )),
    Case("parameters_back", same_numbers(AS_FLOATS), {"given": GIVEN}, differs=(
        Differs("ours>*.grpc ours>*.unary ours>*.ws ours>*.flow-grpc ours>*.flow-ws ours>ours.http",
                "integers-of-parameters", same_numbers(GIVEN)),
    )),
    Case("parameters_model", ["3"], {"given": {"limit": 3}}, label="that fit"),
    Case("parameters_model", REQUEST_ERROR, {"given": {"limit": "x"}}, label="that do not fit", differs=(
        Differs("theirs>*.ws theirs>*.flow-ws", "websocket-errors", LOST_OR_RAISED),
        Differs("ours>theirs.flow-http", "request-errors", REQUEST_ERROR),
        Differs("theirs>ours.unary theirs>front.*", "request-errors", Raises("BadServerFlow")),
        Differs("theirs>*.http theirs>*.flow-http", "http-server-errors", Raises("ValueError")),
        Differs("theirs>* ours>theirs.grpc ours>theirs.unary ours>theirs.flow-*", "request-errors", SERVER_ERROR),
    )),
    Case("results", same_numbers(results(2.0)), differs=(
        Differs("theirs>theirs.http", "dict-results-http", Raises("ValueError", text="Internal Server Error")),
        Differs("ours>theirs.http", "dict-results-http", Raises("BadServer", text="Internal Server Error")),
        Differs("ours>ours.* ours>front.*", "integers-of-parameters", same_numbers(results(2))),
    )),
    Case("failing", Raises("BadServer", text="no good"), differs=(
        Differs("theirs>*.ws theirs>*.flow-ws", "websocket-errors", LOST_OR_RAISED),
        Differs("theirs>*.http theirs>*.flow-http", "http-server-errors", Raises("ValueError", text="no good")),
    )),
    Case("failing_response", [FAILURE, ["b!"]], differs=(
        Differs("theirs>*.http theirs>*.flow-http", "on-error-http", Raises("ValueError", text="no good")),
        Differs("ours>theirs.http ours>theirs.flow-http", "http-server-errors", lambda seen: None),
    )),
    *(
        Case(call, {key: {"on_done": [[1, []]], "on_error": [[1, []]], "on_always": [[1, []]] * 2} for key in FORMS},
             differs=(
            Differs("theirs>*.http theirs>*.flow-http", "on-error-http", Raises("ValueError", text="no good")),
        ))
        for call in ("callback_arguments", "callback_arguments_async")
    ),
    Case("failing_some", [["a", "b", "c"], ["KeyError('bad')"]], listeners=STREAMED, differs=(
        Differs("theirs>*.http theirs>*.flow-http", "on-error-http", Raises("ValueError", text="KeyError('bad')")),
        Differs("ours>theirs.http ours>theirs.flow-http", "http-server-errors", lambda seen: None),
    )),
    Case("wrong_return", Raises("BadServer", text="TypeError"), differs=(
        Differs("theirs>*.ws theirs>*.flow-ws", "websocket-errors", LOST_OR_RAISED),
        Differs("theirs>*.http theirs>*.flow-http", "http-server-errors", Raises("ValueError", text="TypeError")),
    )),
    Case("unknown_endpoint", Raises("BadClient", text="/no_such"), differs=(
        Differs("theirs>ours.ws", "websocket-errors", LOST_OR_RAISED),
        Differs("*>theirs.grpc *>theirs.unary *>theirs.flow-grpc *>theirs.flow-ws", "unknown-endpoint", ["a"]),
        Differs("theirs>ours.grpc", "unknown-endpoint", Raises("BadServer", text="/no_such")),
        Differs("theirs>ours.unary", "unknown-endpoint", Raises("ConnectionError", text="/no_such")),
        Differs("theirs>*.http theirs>*.flow-http", "text-of-detail", Raises("BadClient", text="no such endpoint")),
    )),
    Case("wrong_type", REQUEST_ERROR, differs=(
        Differs("theirs>*.ws theirs>*.flow-ws", "websocket-errors", LOST_OR_RAISED),
        Differs("ours>theirs.flow-http", "request-errors", REQUEST_ERROR),
        Differs("theirs>ours.unary theirs>front.*", "request-errors", Raises("BadServerFlow")),
        Differs("theirs>*.http theirs>*.flow-http", "http-server-errors", Raises("ValueError")),
        Differs("theirs>* ours>theirs.grpc ours>theirs.unary ours>theirs.flow-*", "request-errors", SERVER_ERROR),
    )),
    Case("stream_doc", ["s 0", "s 1", "s 2"], listeners=STREAMED, differs=(
        Differs("theirs>*.flow-ws theirs>*.ws", "stream-over-websocket", Raises(text="__aiter__")),
        Differs("ours>theirs.flow-ws", "stream-over-websocket", SERVER_ERROR),
    )),
    Case("stream_doc_fails", [["first"], ["BadServer", "BadServerFlow"]], listeners=STREAMED, differs=(
        Differs("theirs>*.ws theirs>*.flow-ws", "stream-over-websocket", [[], []]),
        Differs("ours>theirs.flow-ws", "stream-over-websocket", [[], ["BadServer", "BadServerFlow"]]),
        Differs("*>theirs.flow-grpc *>theirs.flow-http", "stream-failure", [["first"] * 4, None]),
        Differs("ours>theirs.http", "stream-failure", [["first"], ["ConnectionError"]]),
        Differs("theirs>ours.grpc", "stream-failure", [["first"], ["BadServer"]]),
        Differs("theirs>theirs.grpc", "stream-failure", [["first"], ["BadServerFlow"]]),
        Differs("theirs>ours.http", "stream-failure", [["first"], None]),
        Differs("theirs>theirs.http", "stream-failure", [["first"], []]),
    )),
    Case("stream_doc_of_no_generator", Raises("BadClient"), listeners=STREAMED, differs=(
        Differs("theirs>*.ws theirs>*.flow-ws", "stream-over-websocket", Raises(text="__aiter__")),
        Differs("theirs>*.http theirs>*.flow-http", "stream-of-no-generator", []),
        Differs("theirs>ours.grpc", "request-errors", Raises("BadServerFlow", text="cannot be streamed")),
        Differs("*>theirs.grpc *>theirs.flow-grpc", "request-errors", Raises("BadServer", text="must be generator")),
    )),
    Case("ready", [True, True], listeners=STREAMED, differs=(
        Differs("theirs>theirs.grpc theirs>theirs.http", "dry-run", [False, False]),
    )),
    Case("ready_async", True, listeners=STREAMED, differs=(
        Differs("theirs>theirs.grpc theirs>theirs.http", "dry-run", False),
    )),
]  # fmt: skip


def combinations():
    for case in CASES:
        for client in CLIENTS:
            for server in SERVERS:
                for listener in FACES[server]:
                    if listener in case.listeners and not (listener == "unary" and case.listeners is STREAMED):
                        where = f"{client}>{server}.{listener}"
                        label = f" {case.label}" if case.label else ""
                        yield pytest.param(case, client, server, listener, id=f"{case.call}{label}-{where}")


@pytest.mark.parametrize(("case", "client", "server", "listener"), list(combinations()))
def test_call(clients, servers, case, client, server, listener):
    arguments = case.arguments | ({"stream": False} if listener == "unary" else {})
    url = servers[f"{server}.{'grpc' if listener == 'unary' else listener}"]
    seen = clients[client].ask({"call": case.call, "url": url, "arguments": arguments})
    check(seen, case.expectation(f"{client}>{server}.{listener}"))

"""Attacks over HTTP: bodies, heads, paths, keys."""

import asyncio
import functools
import gzip
import json
import zlib

from tests.attacks.rows import BAD, Answer, Try, as_json, one_answer, one_of, raw_http, request, row, things
from tests.attacks.world import KEY, KEYS, OPTIONS
from tests.fuzz.mutations import worse, worse_json

WRONG = {
    "text": [{}, [], {"a": 1}, [1], ["x"]],
    "number": ["x", {}, [], [1], 1.5, "1e999"],
    "ratio": ["x", {}, [], [0.5]],
    "flags": ["x", 1, [], [True], {"x": "maybe"}, {"x": {}}],
    "parts": ["x", 1, {"weights": 1}, [{"weights": "x"}], [{"weights": [{}]}], [[]], [1]],
    "blob": [{}, [], 1.5, [1]],
}
"""By field of the class that `/openapi.json` describes: values of which no reading makes a good one."""
ODD = [None, True, 0, -1, 2**31, 2**63, 2**64, 10**400, -(10**30), 1.5, "", "x" * 2000, "\u0000", "\ud800", "\u202e",
       [], {}, [[]], [None], {"": ""}, {"id": None}, {"$ref": "#"}, [1, "a", {}], "1", "true", "NaN"]  # fmt: skip
ENDPOINTS = ["/typed", "/wishes", "/loose", "/post", "/stream"]
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "PRI", "get", "X" * 40]
ROUTES = ["/", "/typed", "/stream", "/docs", "/redoc", "/openapi.json", "/livez", "/readyz", "/startupz", "/metrics",
          "/status", "/dry_run", "/post", "/nothing"]  # fmt: skip
COUNTED = '"count":3'
"""In the answer to three documents that were all read."""


# --- bodies --------------------------------------------------------------------------------------------------


@row("wrong types by field", 0.05, raw_http)
def wrong_types(chance, number):
    field = chance.choice([*WRONG])
    good = things(3)
    good["data"][chance.randrange(3)][field] = chance.choice(WRONG[field])
    return request("/typed", as_json(good)), BAD


@row("fields that are missing", 0.02, raw_http)
def missing(chance, number):
    good = things(3)
    for _ in range(chance.randint(1, 3)):
        good["data"][chance.randrange(3)].pop("text", None)
    return (request("/typed", as_json(good)), one_of("422")) if "text" not in str(good) else request(body=as_json(good))


@row("odd values anywhere", 0.05, raw_http)
def odd_values(chance, number):
    good = {**things(2), "parameters": {"limit": 2, "words": ["w"]}, "header": {"request_id": "r"},
            "execEndpoint": "/typed", "targetExecutor": ""}  # fmt: skip
    for _ in range(chance.randint(1, 3)):
        place = chance.choice([good, good.get("header"), *(good["data"] if isinstance(good["data"], list) else [])])
        if isinstance(place, dict):
            place[chance.choice([*place, "id", "parts", "new"])] = chance.choice(ODD)
    return request(chance.choice(ENDPOINTS), as_json(good))


@row("JSON made worse", 0.05, raw_http)
def worse_bodies(chance, number):
    body = worse_json({**things(2), "parameters": {"limit": 1}, "execEndpoint": "/typed"}, chance)
    return request(chance.choice(ENDPOINTS), body)


@row("bytes that are no JSON", 0.02, raw_http)
def no_json(chance, number):
    text = as_json(things(2))
    body = chance.choice([text[: chance.randrange(1, len(text))], b"\xff\xfe" + text, b"\xef\xbb\xbf\xef" + text, text + text,
                          text.replace(b'"', b"'"), b"{" * 99, chance.randbytes(50), text[:-1] + b",}", b"\x80", b'"\\u12"',
                          b"[1,]", b"{'a': 1}", b"01", b"+1", b"nul", b"truth", b".5", b"[NaN", b"Inf"])  # fmt: skip
    return request(chance.choice(["/typed", "/loose", "/post"]), body), BAD


@row("depth of parameters and documents", 0.03, raw_http)
def depth(chance, number):
    levels = chance.choice([30, 60, 130, 150, 700, 5000, 100_000])
    opening, closing = chance.choice([("[", "]"), ('{"a":', "}")])
    deep = opening * levels + "1" + closing * levels
    if chance.random() < 0.2:
        deep = opening * levels
    place = chance.choice(['{"data": [{"id": "1"}], "parameters": {"a": %s}}', '[{"tags": %s}]', '{"a": %s}', "%s"])
    path = chance.choice(["/loose", "/wishes", "/typed", "/post"])
    return request(path, (place % deep).encode()), (BAD if levels > 100 else frozenset())


@row("numbers of documents", 0.02, raw_http)
def many_documents(chance, number):
    count = chance.choice([1, 500, 1999, 2000, 2001, 2500, 50_000, 500_000])
    empty = chance.choice(["{}", '{"id":"1"}', '{"label":"x"}']) if count < 300_000 else "{}"
    body = "[" + ",".join([empty] * count) + "]"
    path = chance.choice(["/loose", "/wishes"])
    body = body if chance.random() < 0.5 else f'{{"data": {body}}}'
    return request(path, body.encode()), one_of("413" if count > OPTIONS["max_documents"] else "200")


@row("numbers of fields", 0.01, raw_http)
def many_fields(chance, number):
    count = chance.choice([100, 2000, 20_000, 100_000])
    fields = {f"f{at}": chance.choice([1, "x", None]) for at in range(count)}
    place = chance.choice(
        [{"data": [fields]}, {"data": [{}], "parameters": fields}, {**things(1), **fields}, [fields] * 2]
    )
    return request(chance.choice(["/loose", "/wishes", "/typed"]), as_json(place))


@row("names of fields", 0.02, raw_http)
def names_of_fields(chance, number):
    names = ["__class__", "__init__", "__dict__", "_id", "", " ", "\u0000", "a.b", "a__b", "$ref", "model_config", "x" * 5000,
             "__fields__", "constructor", "__proto__", "id ", "Text", "ｔｅｘｔ", "\u202etext", "text\n"]  # fmt: skip
    good = things(2)
    for _ in range(chance.randint(1, 4)):
        chance.choice([good, *good["data"]])[chance.choice(names)] = chance.choice(ODD[:12])
    return request(chance.choice(["/typed", "/loose"]), as_json(good))


@row("the same key twice", 0.01, raw_http)
def doubled(chance, number):
    first, second = chance.sample(['"data": [{"text": "a"}]', '"data": 1', '"data": [{"text": "b"}]', '"parameters": {}',
                                   '"parameters": 1', '"text": "a"', '"text": []'], 2)  # fmt: skip
    return request("/typed", f"{{{first}, {second}, {first}}}".encode())


# --- target_executor -----------------------------------------------------------------------------------------

BROKEN = ["(", ")", "[", "*", "+", "?", "a**", "(?=a)", "(?!a)", "(?<=a)b", "(?P<n>a)(?P=n)", "(a)\\1", "(?i)a",
          "(?x) a", "[z-a]", "a{5,2}", "\\", "(?#", "(?P<", "[[:alpha", "(?>a)", "(?R)", "\\g<1>", "(?(1)a|b)"]  # fmt: skip
SLOW = [r"(((\w?){9}){9}){9}X", "(a*)*X", "(a+)+$", "(a|a)*b", "(a|aa)+$", "(?:(?:x?){30}x{30}){9}", "(.*)*(.*)*(.*)*X",
        "(x+x+)+y", "([a-z]+)*1", "(t?a?k?e?r?)*Z", "(.*){1,1000}X", "a{1000}{1000}", "((a{0,100}){0,100}){0,100}"]  # fmt: skip


def a_pattern(chance):
    """A regular expression, and whether it is none for sure."""
    match chance.randrange(5):
        case 0:
            return chance.choice(BROKEN), True
        case 1:
            return chance.choice(SLOW) * chance.randint(1, 3), False
        case 2:
            return chance.choice(["(", "(?:", "(a|"]) * chance.choice([5, 900, 20_000]) + "x", True
        case 3:
            return "|".join(
                chance.choice(["a", "taker", "t.*", "[a-z]+"]) for _ in range(chance.choice([3, 3000]))
            ), False
    return "".join(
        chance.choice([*"takerab.*+?()[]{}|^$\\1,9-", "\u0000", "é"]) for _ in range(chance.randint(1, 60))
    ), False


@row("patterns of target_executor", 0.08, raw_http)
def patterns(chance, number):
    pattern, broken = a_pattern(chance)
    want = one_of("400") if broken else one_of("200", "400", "404")
    return request("/typed", as_json({**things(3), "targetExecutor": pattern})), want


# --- heads ---------------------------------------------------------------------------------------------------

UPGRADES = ["h2c", "websocket", "WebSocket", "h2c, websocket", "TLS/1.0", "h2", "HTTP/2.0", "IRC/6.9", "", ",", "\t", "h2c\x0b",
            "websocket;q=1", "x" * 3000, "WEBSOCKET", "é"]  # fmt: skip


@row("Upgrade on every method", 0.05, raw_http)
def upgrades(chance, number):
    token, method = chance.choice(UPGRADES), chance.choice(METHODS[:8])
    fields = [f"{chance.choice(['Upgrade', 'upgrade', 'UPGRADE'])}: {token}"]
    fields += [
        f"Connection: {chance.choice(['Upgrade', 'upgrade, HTTP2-Settings', 'close, Upgrade', 'keep-alive', ''])}"
    ]
    extra = ["HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8",
             "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==", "Sec-WebSocket-Key: x", "Upgrade: h2c", "Expect: 100-continue"]  # fmt: skip
    fields += chance.sample(extra, chance.randint(0, 4))
    data = request("/typed", as_json(things(3)), *fields, method=method)
    # What is answered as a request has been read with its body.
    return Try((data, False), expected=COUNTED if method == "POST" else "")


LENGTHS = ["{n}, {n}", "{n},{m}", "-{n}", "+{n}", "0x{n}", "{n}.0", "{n} {n}", "", " ", "99999999999999999999999", "{n}\r\n ",
           "1e2", "{n};", "０", "\t{m}"]  # fmt: skip
CODINGS = ["chunked", "Chunked", "chunked, chunked", "identity", "xchunked", "chunked\x0b", "gzip, chunked", "chunked, identity",
           "\tchunked", "chunked;q=1", '"chunked"', ",chunked", "", "chunke\x64 "]  # fmt: skip


NAMES = ["Transfer-Encoding", "transfer-encoding", "Transfer-Encoding ", " Transfer-Encoding", "Transfer_Encoding"]


@row("lengths and codings that disagree", 0.06, raw_http, check=lambda world: nothing_smuggled(world))
def lengths(chance, number):
    first, second = chance.choice([*LENGTHS, "{n}", "{m}", "{n}"]), chance.choice(CODINGS)
    name = chance.choice([*NAMES, "Content-Length"])
    if name == "Content-Length":
        second = "{m}"
    # Where one length alone counts, what follows is a request like any other.
    plain = first.strip() == "{m}" and name in {"Content-Length", "Transfer_Encoding"}
    hidden = request("/typed", as_json({"data": [{"text": "followed" if plain else "smuggled"}]}))
    chunk = as_json(things(1))
    body = b"%x\r\n%s\r\n" % (len(chunk), chunk) if chance.random() < 0.5 else b""
    body += b"0\r\n\r\n" + hidden
    fields = [f"Content-Length: {first}", f"{name}: {second}"]
    chance.shuffle(fields)
    head = "\r\n".join(["POST /typed HTTP/1.1", "Host: x", *fields, "", ""]).format(
        n=len(body), m=len(body) - len(hidden)
    )
    if chance.random() < 0.1:
        head = head.replace("\r\n", "\n")
    return head.encode() + body, chance.random() < 0.5


@row("mistakes in chunks", 0.04, raw_http)
def chunks(chance, number):
    text = as_json(things(3))
    size = chance.choice([f"{len(text):x}", f"{len(text):X};a=b", "-1", "0x10", "g", "", "f" * 15, "f" * 40, " 5", "5 ", "00000000005",
                          f"{len(text) + 1:x}", f"{len(text) - 1:x}", f"{len(text):x};{'x' * 9000}", "1\n"])  # fmt: skip
    end = chance.choice(["\r\n0\r\n\r\n", "0\r\n\r\n", "\r\n0\r\nA: b\r\n\r\n", "\r\n0\r\nContent-Length: 1\r\n\r\n", "\n0\n\n", "\r\n", "",
                         "\r\n0\r\n" + "a: b\r\n" * 3000 + "\r\n"])  # fmt: skip
    head = b"POST /typed HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + size.encode() + b"\r\n" + text + end.encode(), chance.random() < 0.5


@row("heads made worse", 0.05, raw_http)
def worse_heads(chance, number):
    data = request("/typed?parameters={}", as_json(things(3)), "Accept: */*", "x-request-timeout: 5", "x-request-id: r")
    return worse(data, chance), chance.random() < 0.7


@row("request lines", 0.03, raw_http)
def request_lines(chance, number):
    version = chance.choice(
        ["HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/9.9", "HTTP/1.10", "http/1.1", "", "HTTP/1.1 x", "RTSP/1.0"]
    )
    target = chance.choice(["/typed", "*", "http://x/typed", "//typed", "x:80", "", "/" + "a" * 70_000, "/\u0000", "/typed#x",
                            "http://[::1/typed", "http:///typed", "?", "/typed?" + "a=b&" * 9000])  # fmt: skip
    line = f"{chance.choice(METHODS)} {target} {version}"
    return (line + "\r\nHost: x\r\nContent-Length: 0\r\n\r\n").encode(), True


FIELDS = {
    "jina-consistency": ["nonsense", "", "EVENTUAL", "session,", "\x00", "é", "linearizable;x", "x" * 5000],
    "jina-index": ["x", "taker=", "=1", "taker=-1", "taker=99999999999999999999", "a=1," * 2000, "\x00", "taker=1;a", "é=1"],
    "jina-session": ["x", "", ":", "a:1:b", "a:99999999999999999999", "-1", "x" * 9000, "a 1", "\x00"],
    "x-request-timeout": ["x", "-1", "nan", "inf", "0", "1e999", "", "5s", "0x5", "１", "5,5"],
    "x-request-id": ["", "x" * 30_000, "\x1b[31m", "a\tb", "é", "\u202e", "%00", "<script>", "'; drop"],
    "traceparent": ["x", "00-0-0-00", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "ff-" + "a" * 32 + "-" + "b" * 16 + "-01", "é"],
    "x-jina-parameters": ["{", "[1]", "1", "null", '{"a": NaN}', "é", '{"a":' * 500, "{}" * 2, '{"limit": "x"}', '"' * 3000],
    "accept": ["", "x", "*/*;q=x", "a/b," * 3000, "application/vnd.docarray.doclist+protobuf", "text/event-stream", "\x00", "é/é"],
    "content-type": ["", "x", "text/plain", "application/json; charset=utf-16", "multipart/form-data; boundary=", "application/xml", "é",
                     "application/vnd.docarray.doclist+protobuf"],
    "expect": ["100-continue", "200-ok", "", "x"],
    "host": ["", "y", "x\x00", "[::1", "a" * 3000, "é"],
    "origin": ["null", "http://evil", "x" * 9000, "é"],
    "range": ["bytes=0-", "bytes=" + "0-1," * 2000],
    "cookie": ["a=b; " * 2000, "é"],
    "authorization": ["Bearer", "Basic !", "Bearer " + "x" * 20_000, "é", "Bearer  \t"],
    "x-api-key-name": ["alice", "é"],
    "te": ["trailers, x"],  # codespell:ignore te
    "x-forwarded-for": ["1.2.3.4, " * 1000, "x"],
    "__results_in_order__": ["true", "x"],
}  # fmt: skip


@row("values of headers", 0.08, raw_http)
def headers(chance, number):
    names = chance.sample([*FIELDS], chance.randint(1, 3))
    fields = [f"{name}: {chance.choice(FIELDS[name])}" for name in names]
    return request(chance.choice(["/typed", "/wishes", "/stream"]), as_json(things(3)), *fields)


@row("sizes of heads", 0.02, raw_http)
def big_heads(chance, number):
    count, size = chance.choice([(1, 70_000), (1, 500_000), (3000, 30), (100_000, 3), (70, 1000), (1, 3_000_000)])
    fields = [f"x-{at if chance.random() < 0.9 else 0}: {'v' * size}" for at in range(count)]
    return request("/typed", as_json(things(3)), *fields), one_of("431", "400", "closed")


@row("methods on routes", 0.03, raw_http)
def methods(chance, number):
    body = chance.choice([b"", as_json(things(1)), b"x"])
    fields = chance.choice([[], ["Origin: http://evil", "Access-Control-Request-Method: POST"], ["Accept: text/plain"]])
    method = chance.choice(METHODS)
    data = request(chance.choice(ROUTES), body, *fields, "Connection: close", method=method)
    return data, method != "HEAD"


# --- paths and queries ---------------------------------------------------------------------------------------

PIECES = ["..", ".", "%2e%2e", "%00", "%", "%zz", "%c0%ae", "%ff", "typed", "TYPED", "typed;x=1", "typed%2f", "%2ftyped", "a" * 3000,
          "é", "\u202e", "<script>", "'", '"', "\\", "{x}", "*", " ", "%20", "%0d%0aX:y", "\x7f", "~", "|", "post", "docs"]  # fmt: skip


@row("paths", 0.05, raw_http)
def paths(chance, number):
    path = "/" + "/".join(chance.choice(PIECES) for _ in range(chance.choice([1, 1, 2, 3, 400])))
    if chance.random() < 0.3:
        path = path.replace("/", "//")
    return request(path, as_json(things(3)), method=chance.choice(["POST", "GET"]))


@row("names of endpoints", 0.03, raw_http)
def endpoints(chance, number):
    name = "/" * chance.randint(0, 2) + "/".join(chance.choice(PIECES) for _ in range(chance.randint(1, 3)))
    name = chance.choice([name, name, name, 1, None, [], {}, "", "/" * 5000])
    body = as_json({**things(3), "execEndpoint": name})
    return request("/post", body), one_of("200", "400", "404", "405", "422")


@row("queries", 0.04, raw_http)
def queries(chance, number):
    parts = ["label=x", "weights=1", "weights=x", "weights=1&weights=2", "parameters={}", "parameters=[1]", "parameters={", "label=%ff",
             "label=%", "=", "&&&", "a=b" * 3000, "a&" * 5000, "parameters=" + "[" * 3000, "label[]=x", "id=%00", "é=é", "label=" + "x" * 20_000,
             "parameters=%7B%22a%22%3A" * 300, "weights=1e999", "weights=nan", "verbose", "routes", "text=a;b", "+", "%u1234"]  # fmt: skip
    query = "&".join(chance.sample(parts, chance.randint(1, 3)))
    path = chance.choice(["/stream", "/stream", "/stream", "/readyz", "/dry_run", "/typed", "/docs", "/openapi.json"])
    method = "GET" if path != "/typed" else "POST"
    return request(f"{path}?{query}", b"", method=method)


# --- compressed ----------------------------------------------------------------------------------------------


@functools.cache
def bomb(size, times=1):
    """Blanks, packed so many times."""
    content = b"[" + b" " * size + b"]"
    for _ in range(times):
        content = gzip.compress(content, 9)
    return content


@functools.cache
def deflated_bomb():
    return zlib.compress(b" " * 30_000_000, 9)


@row("compressed bodies", 0.04, raw_http)
def compressed(chance, number):
    good = as_json(things(3))
    packed = gzip.compress(good)
    kind, body, want = chance.choice([
        ("gzip", packed, "200"), ("deflate", zlib.compress(good), "200"),
        ("gzip", b"".join(gzip.compress(good[at : at + 9]) for at in range(0, len(good), 9)), "200"),
        ("gzip", bomb(chance.choice([4_100_000, 30_000_000])), "413"), ("deflate", deflated_bomb(), "413"),
        ("gzip", bomb(30_000_000, 2), "400"),
        ("gzip", packed[:-3], "400"), ("gzip", packed[: len(packed) // 2], "400"), ("gzip", packed + b"rest", "400"),
        ("gzip", gzip.compress(b"") * 3000 + packed, "400"), ("gzip", packed[:12] + b"\xff" + packed[13:], "400"),
        ("gzip", good, "400"), ("deflate", good, "400"), ("gzip", b"", ""), ("br", good, ""), ("gzip, gzip", gzip.compress(packed), ""),
        ("x" * 500, good, ""), ("identity", good, "200"), ("gzip", packed[:10], "400"), ("zstd", good, ""),
        ("gzip", worse(packed, chance), ""), ("deflate", worse(zlib.compress(good), chance), ""),
    ])  # fmt: skip
    answer = Try(request("/typed", body, f"Content-Encoding: {kind}"), one_of(want) if want else frozenset())
    answer.expected = COUNTED if want == "200" else ""
    return answer


@row("sizes of bodies", 0.01, raw_http)
def big_bodies(chance, number):
    size = chance.choice([3_900_000, 4_000_001, 6_000_000, 12_000_000])
    text = b'[{"text": "' + b"x" * size + b'"}]'
    if chance.random() < 0.5:
        return request("/typed", text), one_of("200" if len(text) <= 4_000_000 else "413", "closed")
    head = b"POST /typed HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    parts = b"".join(
        b"%x\r\n%s\r\n" % (len(part), part) for part in (text[at : at + 65_536] for at in range(0, len(text), 65_536))
    )
    return head + parts + b"0\r\n\r\n", one_of("200" if len(text) <= 4_000_000 else "413", "closed")


# --- the binary form -----------------------------------------------------------------------------------------


@row("the binary form", 0.04, raw_http)
def binary(chance, number):
    from docarray import DocList

    from tests.attacks.executors import Part, Thing

    docs = DocList[Thing]([Thing(text="a", flags={"x": True}, parts=[Part(weights=[1.0])], blob=b"b")] * 2)
    body = worse(docs.to_protobuf().SerializeToString(), chance)
    kind = "application/vnd.docarray.doclist+protobuf"
    parameters = chance.choice(["{}", "{", '{"limit": []}', "[" * 900, "é"])
    fields = [f"Content-Type: {kind}", f"x-jina-parameters: {parameters}", f"Accept: {chance.choice([kind, '*/*'])}"]
    return request(chance.choice(["/typed", "/wishes", "/loose"]), body, *fields).replace(
        b"Content-Type: application/json\r\n", b""
    )


# --- keys ----------------------------------------------------------------------------------------------------


@row("keys", 0.05, raw_http, service="keyed")
def keys(chance, number):
    bob = KEYS["bob"]["key"]
    shown = chance.choice(["", "x", KEY[:-1], KEY + "x", KEY.upper(), f"{KEY},{KEY}", "\x00" + KEY, "é", "x" * 60_000, "alice", "sha256:00",
                           f"{KEY}\t{KEY}", "alice:" + KEY, "'" + KEY, KEY[::-1]])  # fmt: skip
    name, prefix = chance.choice([("X-API-Key", ""), ("Authorization", "Bearer "), ("authorization", "bearer "), ("X_API_KEY", ""),
                                  ("Authorization", "Basic "), ("Authorization", ""), ("Cookie", "x-api-key=")])  # fmt: skip
    fields = [f"{name}: {prefix}{shown}"]
    path = chance.choice(
        [
            "/typed",
            "/stream",
            "/metrics",
            "/status",
            "/docs",
            "/redoc",
            "/openapi.json",
            "/nothing",
            "/post",
            "/dry_run",
        ]
    )
    method = "POST" if path in {"/typed", "/post", "/nothing"} else "GET"
    want = one_of("401", "400", "431")
    if chance.random() < 0.3:  # a good key that does not open it
        # The key opens `/wishes`, and `/dry_run` as any key does.
        fields, want = [f"X-API-Key: {bob}"], one_of("200" if path == "/dry_run" else "403", "404")
        if path == "/post":
            return request(path, as_json({**things(3), "execEndpoint": "/typed"}), *fields, method=method), one_of(
                "403"
            )
    elif chance.random() < 0.2:  # a good one and a wrong one
        fields, want = (
            [*fields, f"X-API-Key: {bob}"],
            one_of("401", "403", "400", "404", "431", *(["200"] if path == "/dry_run" else [])),
        )
    return request(path, as_json(things(3)) if method == "POST" else b"", *fields, method=method), want


# --- slowness ------------------------------------------------------------------------------------------------


async def begun(world, data):
    """Send a beginning, then a byte now and then; the connection has to be ended, by either side."""
    reader, writer = await asyncio.open_connection("127.0.0.1", world.ports["http"])
    try:
        writer.write(data)
        ending = asyncio.ensure_future(one_answer(reader))
        while not (await asyncio.wait([ending], timeout=0.5))[0]:
            writer.write(b"x")
        return await ending
    except ConnectionError:
        return Answer("closed")
    finally:
        writer.transport.abort()


@row("requests that do not end", 0.01, begun, crowd=200)
def slow(chance, number):
    good = request("/typed", as_json(things(3)))
    head = good.index(b"\r\n\r\n") + 4
    return chance.choice([good[: chance.randrange(1, head)].rstrip(b"\r\n"), good[:head] + b"{",
                          b"POST /typed HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
                          b"POST /typed HTTP/1.1\r\nHost: x\r\nContent-Length: 3000\r\n\r\n"])  # fmt: skip


def nothing_smuggled(world):
    """Complaints where a document came in that was hidden in the body of another request."""
    answer = asyncio.run(raw_http(world, request("/smuggled", b"[{}]")))
    count = json.loads(answer.text)["data"][0]["count"]
    return [f"{count} hidden documents came in"] if count else []

"""The scenario table: Flows with what they must answer, run by us (processes, in process) and by Jina 3.34.

Each function gets `F`, which makes a Flow of the scenario's protocol and port, and a folder of its own; it gives the
Flow and a function that asks it and returns plain JSON values. Only what Jina 3 offers as well is used here.
"""

import asyncio
import dataclasses
import os
import pathlib
import time
import typing

import executors as e
from docarray import DocList
from executors import Count, Doc

from jina import Client

ALL = ("grpc", "http", "websocket")
TABLE: dict = {}


@dataclasses.dataclass(frozen=True)
class Scenario:
    """`expected` is what `make`'s question gives.

    `jina3` names the difference where Jina 3.34 gives something else. `sockets`: clients connect by themselves, so that
    it cannot run in process.
    """

    name: str
    make: typing.Callable
    protocols: tuple
    expected: typing.Any
    jina3: typing.Optional[str] = None  # noqa: UP045 - this file runs with older Pythons' habits
    sockets: bool = False


def scenario(expected, *, protocols=("grpc",), jina3=None, sockets=False):
    """Put a scenario into the table."""

    def add(make):
        TABLE[make.__name__] = Scenario(make.__name__, make, protocols, expected, jina3, sockets)
        return make

    return add


def rows():
    """(scenario, protocol) for each row of the table."""
    return [(name, protocol) for name, one in TABLE.items() for protocol in one.protocols]


def docs_of(*texts):
    return DocList[Doc]([Doc(text=text, n=i) for i, text in enumerate(texts)])


def texts(docs):
    return [doc.text for doc in docs]


def sides(docs):
    return [[doc.text, doc.left, doc.right] for doc in docs]


def post(flow, *words, on="/", **arguments):
    arguments.setdefault("return_type", DocList[Doc])
    return flow.post(on, docs_of(*words), **arguments)


def outcome(function):
    """What a failing call shows: the kinds of error that programs catch."""
    from jina import excepts

    known = {name: getattr(excepts, name) for name in ("BadServer", "BadClient")} | {"ConnectionError": ConnectionError}
    try:
        return {"result": function()}
    except Exception as error:  # the observation
        return {"raises": sorted(name for name, kind in known.items() if isinstance(error, kind)) or ["other"]}


def says(function, text):
    try:
        function()
    except Exception as error:  # the observation
        return text in f"{error} {error.args!r}"
    return "nothing was raised"


def mark(flow, letter, **options):
    return flow.add(name=letter, uses=e.Mark, uses_with={"mark": letter}, **options)


def field(flow, name, **options):
    return flow.add(name=name, uses=e.Field, uses_with={"field": name, "value": name[0]}, **options)


# --- chains -------------------------------------------------------------------------------------------------


@scenario(["xa", "ya"], protocols=ALL)
def one_step(F, folder):
    return mark(F(), "a"), lambda f: texts(post(f, "x", "y"))


@scenario(["xab", "yab"], protocols=ALL)
def two_steps(F, folder):
    return mark(mark(F(), "a"), "b"), lambda f: texts(post(f, "x", "y"))


@scenario(["xabcde"], protocols=("grpc", "http"))
def five_steps(F, folder):
    flow = F()
    for letter in "abcde":
        flow = mark(flow, letter)
    return flow, lambda f: texts(post(f, "x"))


@scenario(["xab"])
def async_handlers(F, folder):
    flow = F().add(name="a", uses=e.AsyncMark, uses_with={"mark": "a"})
    return flow.add(name="b", uses=e.AsyncMark, uses_with={"mark": "b"}), lambda f: texts(post(f, "x"))


@scenario(["x??"])
def one_class_twice(F, folder):
    return F().add(uses=e.Mark).add(uses=e.Mark), lambda f: texts(post(f, "x"))


@scenario(["x0a", "x1a", "y0a", "y1a"], protocols=("grpc", "http"))
def more_documents_on_the_way(F, folder):
    return mark(F().add(uses=e.Twice), "a"), lambda f: texts(post(f, "x", "y"))


@scenario(["ya"])
def fewer_documents_on_the_way(F, folder):
    return mark(F().add(uses=e.Drop), "a"), lambda f: texts(post(f, "x", "y", "z"))


@scenario(["x1a", "y1a"], protocols=("grpc", "http"))
def one_document_at_a_time(F, folder):
    return mark(F().add(uses=e.Single), "a"), lambda f: texts(post(f, "x", "y"))


@scenario([[6, "xya"], [4, "za"]], protocols=("grpc", "http"))
def another_class_on_the_way(F, folder):
    flow = mark(F(), "a").add(uses=e.Measure).add(uses=e.Double)

    def ask(f):
        return [[doc.length, doc.source] for doc in post(f, "xy", "z", return_type=DocList[Count])]

    return flow, ask


@scenario([])
def no_documents(F, folder):
    return mark(mark(F(), "a"), "b"), lambda f: texts(f.post("/", return_type=DocList[Doc]))


@scenario([500, "0ab", "499ab"], protocols=("grpc", "http"))
def many_requests(F, folder):
    def ask(f):
        got = sorted(texts(post(f, *map(str, range(500)), request_size=20)), key=lambda text: int(text[:-2]))
        return [len(got), got[0], got[-1]]

    return mark(mark(F(), "a"), "b"), ask


@scenario([2_000_002, "ab"], protocols=("grpc", "http"))
def large_documents(F, folder):
    def ask(f):
        (got,) = texts(post(f, "x" * 2_000_000))
        return [len(got), got[-2:]]

    return mark(mark(F(), "a"), "b"), ask


@scenario([f"{i}s" for i in range(6)])
def results_in_order(F, folder):
    return F().add(uses=e.Slow), lambda f: texts(post(f, *map(str, range(6)), request_size=1, results_in_order=True))


@scenario([True], protocols=("grpc", "http"))
def ids_are_kept(F, folder):
    def ask(f):
        docs = docs_of("x", "y")
        return [[doc.id for doc in f.post("/", docs, return_type=DocList[Doc])] == [doc.id for doc in docs]]

    return mark(mark(F(), "a"), "b"), ask


@scenario(["x~a"])
def untyped_after_typed_is_typed_again(F, folder):
    return F().add(uses=e.Loose), lambda f: [f"{text}a" for text in texts(post(f, "x"))]


# --- branches -----------------------------------------------------------------------------------------------


def forked(F, **join):
    flow = field(field(F(), "left", needs="gateway"), "right", needs="gateway")
    return flow.add(name="join", needs=["left", "right"], **join)


@scenario([["x", "lx", "rx"], ["y", "ly", "ry"]], protocols=ALL)
def two_branches_joined(F, folder):
    return forked(F, uses=e.Pass), lambda f: sides(post(f, "x", "y"))


@scenario([["x", "lx", "rx"]], protocols=("grpc", "http"), jina3="default-joiner")
def joined_by_nobody_in_particular(F, folder):
    flow = field(field(F(), "left", needs="gateway"), "right", needs="gateway")
    return flow.needs_all(), lambda f: sides(post(f, "x"))


@scenario([["xa", "lxa", "rxa"]])
def forked_behind_a_step(F, folder):
    flow = field(field(mark(F(), "a"), "left", needs="a"), "right", needs="a")
    return flow.add(uses=e.Pass, needs=["left", "right"]), lambda f: sides(post(f, "x"))


@scenario([["xz", "lx", "rx"]])
def a_step_behind_the_join(F, folder):
    return mark(forked(F, uses=e.Pass), "z"), lambda f: sides(post(f, "x"))


@scenario([["x", "lx", "rx"]])
def needs_makes_a_join(F, folder):
    flow = field(field(F(), "left", needs="gateway"), "right", needs="gateway")
    return flow.needs(["left", "right"], uses=e.Pass), lambda f: sides(post(f, "x"))


@scenario([["xb", None, None]])
def a_branch_that_nobody_waits_for(F, folder):
    return mark(field(F(), "left"), "b", needs="gateway"), lambda f: sides(post(f, "x"))


@scenario([["x", "lx", "rx"]])
def a_branch_is_longer(F, folder):
    flow = field(F(), "left", needs="gateway").add(name="more", uses=e.Pass).add(name="most", uses=e.Pass)
    flow = field(flow, "right", needs="gateway")
    return flow.add(uses=e.Pass, needs=["most", "right"]), lambda f: sides(post(f, "x"))


@scenario([["x", "lx", "rx", ["n"]]], jina3="merged-dicts")
def three_branches(F, folder):
    flow = field(field(F(), "left", needs="gateway"), "right", needs="gateway")
    flow = flow.add(name="third", uses=e.Tag, needs="gateway")
    flow = flow.add(uses=e.Pass, needs=["left", "right", "third"])
    return flow, lambda f: [[d.text, d.left, d.right, sorted(d.tags)] for d in post(f, "x")]


@scenario([["x", "lx", "rx"]])
def a_diamond_in_a_diamond(F, folder):
    flow = F().add(name="top", uses=e.Pass)
    flow = field(flow, "left", needs="top")
    flow = field(flow, "right", needs="top")
    flow = flow.add(name="inner", uses=e.Pass, needs=["left", "right"])
    flow = flow.add(name="side", uses=e.Pass, needs="top")
    return flow.add(uses=e.Pass, needs=["inner", "side"]), lambda f: sides(post(f, "x"))


@scenario([4, ["x0", "x0", "x1", "x1"]])
def documents_that_only_one_branch_has(F, folder):
    flow = F().add(name="one", uses=e.Twice, needs="gateway").add(name="two", uses=e.Twice, needs="gateway")

    def ask(f):
        got = sorted(texts(post(f, "x")))
        return [len(got), got]

    return flow.add(uses=e.Pass, needs=["one", "two"]), ask


@scenario([['{"left": ["x", "y"], "right": ["x", "y"]}', 2]], protocols=("grpc", "http"))
def each_branch_by_itself(F, folder):
    return forked(F, uses=e.Matrix, no_reduce=True), lambda f: [[d.text, d.n] for d in post(f, "x", "y")]


@scenario([['{"left": ["x"], "right": ["x"]}', 2]])
def each_branch_by_itself_by_the_other_name(F, folder):
    return forked(F, uses=e.Matrix, disable_reduce=True), lambda f: [[d.text, d.n] for d in post(f, "x")]


# --- conditions ---------------------------------------------------------------------------------------------


def divided(F, first, second):
    flow = F().add(name="top", uses=e.Pass)
    flow = flow.add(name="few", uses=e.Mark, uses_with={"mark": "-"}, needs="top", when=first)
    flow = flow.add(name="many", uses=e.Mark, uses_with={"mark": "+"}, needs="top", when=second)
    return flow.add(uses=e.Pass, needs=["few", "many"])


def sorted_texts(f, count=5):
    return sorted(texts(post(f, *"vwxyz"[:count])))


@scenario(["v-", "w-", "x+", "y+", "z+"], protocols=("grpc", "http"))
def documents_part_ways(F, folder):
    return divided(F, {"n": {"$lt": 2}}, {"n": {"$gte": 2}}), sorted_texts


@scenario(["v-", "w+", "x+", "y+", "z-"])
def conditions_combined(F, folder):
    inside = {"$and": [{"n": {"$gt": 0}}, {"n": {"$lt": 4}}]}
    return divided(F, {"$or": [{"n": {"$eq": 0}}, {"n": {"$eq": 4}}]}, inside), sorted_texts


@scenario(["v-", "w+", "x+", "y+", "z+"])
def conditions_on_text(F, folder):
    return divided(F, {"text": {"$in": ["v"]}}, {"text": {"$nin": ["v"]}}), sorted_texts


@scenario(["v+", "w+", "x-", "y-", "z-"])
def conditions_by_pattern(F, folder):
    return divided(F, {"text": {"$regex": "^[x-z]"}}, {"text": {"$regex": "^[vw]"}}), sorted_texts


@scenario(["big+", "small-"])
def conditions_on_tags(F, folder):
    flow = divided(F, {"tags__size": {"$lt": 5}}, {"tags__size": {"$gte": 5}})

    def ask(f):
        docs = DocList[Doc]([Doc(text="small", tags={"size": 1}), Doc(text="big", tags={"size": 9})])
        return sorted(texts(f.post("/", docs, return_type=DocList[Doc])))

    return flow, ask


@scenario(["v-", "w", "x", "y", "z+"], jina3="when-loses-nothing")
def documents_that_no_branch_takes(F, folder):
    return divided(F, {"n": {"$lt": 1}}, {"n": {"$gt": 3}}), sorted_texts


@scenario(["v", "w", "x!", "y!", "z!"], jina3="when-loses-nothing")
def a_condition_in_a_chain(F, folder):
    flow = F().add(name="top", uses=e.Pass)
    flow = flow.add(name="some", uses=e.Mark, uses_with={"mark": "!"}, when={"n": {"$gte": 2}})
    return flow, lambda f: texts(post(f, *"vwxyz"))


# --- floating and inspection --------------------------------------------------------------------------------


def lines_of(file, count, seconds=10.0):
    """The lines of a file, once there are `count`."""
    path, limit = pathlib.Path(file), time.monotonic() + seconds
    while time.monotonic() < limit:
        if path.exists() and len(lines := path.read_text().split()) >= count:
            return lines
        time.sleep(0.02)
    return ["too few lines"]


@scenario([["xa"], ["xa"]], protocols=("grpc", "http"))
def floating_at_the_end(F, folder):
    file = os.path.join(folder, "seen")
    flow = mark(F(), "a").add(uses=e.Leave, uses_with={"file": file}, floating=True)
    return flow, lambda f: [texts(post(f, "x")), lines_of(file, 1)]


@scenario([["xab"], ["xa"], True])
def floating_in_the_middle(F, folder):
    file = os.path.join(folder, "seen")
    flow = mark(F(), "a").add(uses=e.Leave, uses_with={"file": file, "wait": 0.8}, floating=True)

    def ask(f):
        began = time.monotonic()
        got = texts(post(f, "x"))
        return [got, lines_of(file, 1), time.monotonic() - began > 0.7]

    return mark(flow, "b"), ask


@scenario([["xab"], ["xa"]])
def inspected(F, folder):
    file = os.path.join(folder, "seen")
    flow = mark(F(inspect="HANG"), "a").inspect(name="look", uses=e.Leave, uses_with={"file": file})
    return mark(flow, "b"), lambda f: [texts(post(f, "x")), lines_of(file, 1)]


@scenario([["xab"], False])
def inspection_removed(F, folder):
    file = os.path.join(folder, "seen")
    flow = mark(F(inspect="REMOVE"), "a").inspect(name="look", uses=e.Leave, uses_with={"file": file})
    return mark(flow, "b"), lambda f: [texts(post(f, "x")), os.path.exists(file)]


# --- endpoints and parameters -------------------------------------------------------------------------------


@scenario(["xAABB"], protocols=("grpc", "http"))
def an_endpoint_of_all(F, folder):
    return mark(mark(F(), "a"), "b"), lambda f: texts(post(f, "x", on="/other"))


@scenario(["xao"], protocols=("grpc", "http"), jina3="edges-without-default")
def an_endpoint_of_one(F, folder):
    return mark(F(), "a").add(uses=e.Only), lambda f: texts(post(f, "x", on="/only"))


@scenario(["xa"], jina3="edges-without-default")
def a_step_without_the_endpoint_is_passed(F, folder):
    return mark(F(), "a").add(uses=e.Only), lambda f: texts(post(f, "x", on="/anything"))


@scenario({"raises": ["BadClient"]}, protocols=("grpc", "http"), jina3="unknown-endpoint")
def an_endpoint_of_none(F, folder):
    return F().add(uses=e.Only), lambda f: outcome(lambda: texts(post(f, "x", on="/nothing")))


@scenario([["xb"], ["xa"], ["xab"]], protocols=("grpc", "http"))
def only_some_executors(F, folder):
    def ask(f):
        return [texts(post(f, "x", target_executor=pattern)) for pattern in ("b", "^a$", "a|b")]

    return mark(mark(F(), "a"), "b"), ask


@scenario({"raises": ["BadClient"]}, protocols=("grpc", "http"), jina3="target-nobody")
def executors_that_do_not_exist(F, folder):
    return mark(F(), "a"), lambda f: outcome(lambda: texts(post(f, "x", target_executor="nobody")))


@scenario(["x[Bound]", "x[other]"], jina3="edges-without-default")
def endpoints_and_names_set_from_outside(F, folder):
    flow = F().add(uses=e.Bound, uses_requests={"/new": "handle"})
    flow = flow.add(uses=e.Bound, uses_requests={"/newer": "handle"}, uses_metas={"name": "other"})
    return flow, lambda f: [texts(post(f, "x", on=on))[0] for on in ("/new", "/newer")]


@scenario([['{"k": "mine", "v": "all"}', '{"k": "general", "v": "all"}']], protocols=("grpc", "http"))
def parameters_for_one_executor(F, folder):
    flow = F().add(name="first", uses=e.Parameters).add(name="second", uses=e.Parameters)
    given = {"first__k": "mine", "k": "general", "v": "all"}
    return flow, lambda f: [doc.names for doc in post(f, "x", parameters=given)]


@scenario(["xyyyayyy"])
def typed_parameters(F, folder):
    flow = mark(F().add(uses=e.Typed), "a").add(uses=e.Typed)
    return flow, lambda f: texts(post(f, "x", parameters={"times": 3, "word": "y"}))


@scenario({"first/rep-0": {"count": 2, "texts": ["x", "y"]}, "second/rep-0": {"count": 2, "texts": ["xa", "ya"]}})
def results_of_all_executors(F, folder):
    flow = mark(F().add(name="first", uses=e.Results), "a").add(name="second", uses=e.Results)

    def ask(f):
        (response,) = post(f, "x", "y", return_responses=True)
        return response.parameters["__results__"]

    return flow, ask


@scenario([["gateway", "a", "b"]])
def the_way_is_told(F, folder):
    def ask(f):
        return [[route.executor for route in response.routes] for response in post(f, "x", return_responses=True)]

    return mark(mark(F(), "a"), "b"), ask


# --- failures -----------------------------------------------------------------------------------------------


@scenario([{"raises": ["BadServer"]}, True])
def the_first_step_fails(F, folder):
    def ask(f):
        call = lambda: post(f, "bad")  # noqa: E731 - called twice
        return [outcome(call), says(call, "a bad document")]

    return mark(F().add(uses=e.Fail), "a"), ask


@scenario([{"raises": ["BadServer"]}, True])
def the_last_step_fails(F, folder):
    def ask(f):
        call = lambda: post(f, "bad")  # noqa: E731 - called twice
        return [outcome(call), says(call, "a bad document")]

    return mark(F(), "a").add(uses=e.Fail), ask


@scenario({"raises": ["BadServer"]})
def a_branch_fails(F, folder):
    flow = field(F(), "left", needs="gateway").add(name="fails", uses=e.Fail, needs="gateway")
    return flow.add(uses=e.Pass, needs=["left", "fails"]), lambda f: outcome(lambda: post(f, "bad"))


@scenario([["ga", "ha"], ["ga", "ha"]], protocols=("grpc", "http"))
def the_flow_lives_on_after_a_failure(F, folder):
    def ask(f):
        seen = []
        for _ in range(2):
            outcome(lambda: post(f, "bad"))
            seen.append(texts(post(f, "g", "h")))
        return seen

    return mark(F().add(uses=e.Fail), "a"), ask


@scenario([["ga"], ["ha"], ["ValueError"]])
def one_request_of_several_fails(F, folder):
    def ask(f):
        seen, failed = [], []
        post(
            f,
            "g",
            "bad",
            "h",
            request_size=1,
            on_done=lambda r: seen.append(texts(r.docs)),
            on_error=lambda r: failed.append(r.status.exception.name),
            continue_on_error=True,
        )
        return [*sorted(seen), failed]

    return mark(F().add(uses=e.Fail), "a"), ask


@scenario({"raises": ["ConnectionError"]})
def a_step_is_too_slow(F, folder):
    flow = F(timeout_send=200, retries=0).add(uses=e.Slow, uses_with={"seconds": 5.0})
    return flow, lambda f: outcome(lambda: post(f, "x"))


@scenario({"raises": ["ConnectionError"]}, protocols=("http",), jina3="gateway-timeouts-http")
def a_step_is_too_slow_for_http(F, folder):
    return a_step_is_too_slow(F, folder)


# --- streams ------------------------------------------------------------------------------------------------


def streamed(f, on, count=None, **arguments):
    async def collect():
        port = getattr(f, "port", None)  # in process there is none to connect to
        client = f if port is None else Client(host="127.0.0.1", port=port, protocol=f.protocol, asyncio=True)
        parameters = {} if count is None else {"parameters": {"count": count}}
        found = client.stream_doc(on=on, inputs=Doc(text="t"), return_type=Doc, **parameters, **arguments)
        return [doc.text async for doc in found]

    return asyncio.run(collect())


@scenario(["t0", "t1", "t2"], protocols=("grpc", "http"))
def a_stream(F, folder):
    return F().add(uses=e.Stream), lambda f: streamed(f, "/stream")


@scenario(["t0", "t1"], jina3="stream-parameters")
def a_stream_with_parameters(F, folder):
    return F().add(uses=e.Stream), lambda f: streamed(f, "/stream", 2)


@scenario(["t0+", "t1+", "t2+"], protocols=("grpc", "http", "websocket"), jina3="stream-through-steps")
def a_stream_goes_on(F, folder):
    return F().add(uses=e.Stream).add(uses=e.OnStream), lambda f: streamed(f, "/stream")


@scenario([True], jina3="stream-failure")
def a_stream_fails_on_the_way(F, folder):
    return F().add(uses=e.Stream), lambda f: [says(lambda: streamed(f, "/fail_stream"), "in the middle")]


# --- options ------------------------------------------------------------------------------------------------


@scenario([50, ["a"]])
def replicas(F, folder):
    def ask(f):
        got = texts(post(f, *["x"] * 50, request_size=1))
        return [len(got), sorted({text[1:] for text in got})]

    return F().add(uses=e.Mark, uses_with={"mark": "a"}, replicas=2), ask


@scenario(["executor0", "named", "executor2"])
def names(F, folder):
    flow = F().add(uses=e.Pass).add(name="named", uses=e.Pass).add(uses=e.Pass)
    return flow, lambda f: [flow[i].name for i in range(3)]


@scenario([4, 4, True])
def counts_and_readiness(F, folder):
    flow = mark(mark(mark(F(), "a"), "b"), "c")
    return flow, lambda f: [flow.num_deployments, flow.num_pods, f.is_flow_ready()]


YAML = """
jtype: Flow
version: '1'
with:
  protocol: {protocol}
  port: {port}
executors:
  - name: top
    uses: Mark
    uses_with: {{mark: t}}
  - name: left
    uses: Field
    uses_with: {{field: left, value: l}}
    needs: top
  - name: right
    uses: Field
    uses_with: {{field: right, value: r}}
    needs: [top]
  - name: join
    uses: Pass
    needs: [left, right]
  - name: last
    uses: Mark
    uses_with:
      mark: ${{{{ ENV.LAST_MARK }}}}
"""


@scenario([["xt!", "lxt", "rxt"]], protocols=("grpc", "http"))
def from_yaml(F, folder):
    os.environ["LAST_MARK"] = "!"
    options = F.keywords
    text = YAML.format(protocol=options["protocol"], port=options["port"])
    return F.func.load_config(text), lambda f: sides(post(f, "x"))


@scenario([["xa"], ["xab"]], sockets=True)
def several_clients_at_once(F, folder):
    async def collect(port):
        clients = [Client(host="127.0.0.1", port=port, protocol="grpc", asyncio=True) for _ in range(8)]

        async def one(client, pattern):
            return [text async for docs in client.post(
                "/", docs_of("x"), target_executor=pattern, return_type=DocList[Doc]
            ) for text in texts(docs)]  # fmt: skip

        got = await asyncio.gather(*(one(client, "a|b" if i % 2 else "a") for i, client in enumerate(clients)))
        return sorted({text for found in got for text in found})

    def ask(f):
        first, second = asyncio.run(collect(f.port))
        return [[first], [second]]

    return mark(mark(F(), "a"), "b"), ask


# --- shards -------------------------------------------------------------------------------------------------


def sharded(F, **options):
    return F().add(name="d", uses=e.Divided, shards=3, **options)


def query(flow, on, **fields):
    return flow.post(on, DocList[e.Query]([e.Query(id="q", **fields)]), return_type=DocList[e.Query])


def found(docs):
    return [[doc.text, sorted(doc.tags), [match.id for match in doc.matches]] for doc in docs]


WHOLE = ["t", ["shard 0", "shard 1", "shard 2"], ["m0", "everywhere", "m1", "m2"]]


@scenario([WHOLE], protocols=ALL)
def search_asks_all_shards(F, folder):
    return sharded(F), lambda f: found(query(f, "/search", text="t"))


@scenario(["0", "1", "2"])
def index_asks_the_shards_in_turn(F, folder):
    return sharded(F, polling="ALL"), lambda f: sorted(query(f, "/index")[0].text for _ in range(3))


@scenario([[WHOLE], 1])
def polling_by_endpoint(F, folder):
    polling = {"/ask": "ALL", "/search": "ANY"}
    return sharded(F, polling=polling), lambda f: [
        found(query(f, "/ask", text="t")), len(query(f, "/search")[0].tags),
    ]  # fmt: skip


@scenario(["n0", "n1", "n2"])
def new_documents_of_all_shards(F, folder):
    return sharded(F, polling="ALL"), lambda f: texts(query(f, "/new"))


@scenario(["00", "10", "20", "01", "11", "21"], jina3="shards-scores")
def matches_of_shards_by_score(F, folder):
    return sharded(F, polling="ALL"), lambda f: [match.text for match in query(f, "/scored")[0].matches]


@scenario(["mine", "same", "s0", "same", "s1", "same", "s2"], jina3="shards-lists")
def what_shards_add_to_a_list(F, folder):
    return sharded(F, polling="ALL"), lambda f: query(f, "/lists", names=["mine"])[0].names


@scenario({"raises": ["BadServer"]}, jina3="shards-partial")
def one_of_the_shards_fails(F, folder):
    return sharded(F, polling="ALL"), lambda f: outcome(lambda: texts(query(f, "/fail", text="t")))


@scenario(["t", "t", "t"], jina3="shards-unmerged")
def shards_that_are_not_reduced(F, folder):
    return sharded(F, no_reduce=True), lambda f: texts(query(f, "/search", text="t"))


@scenario(["before  3 of 3"] * 3)
def an_executor_before_and_one_after_all_shards(F, folder):
    flow = sharded(F, uses_before=e.Before, uses_after=e.After)
    return flow, lambda f: texts(query(f, "/search"))


@scenario(["before 0 1 of 1", "before 1 1 of 1", "before 2 1 of 1"])
def an_executor_before_and_one_after_any_shard(F, folder):
    flow = sharded(F, uses_before=e.Before, uses_after=e.After)
    return flow, lambda f: sorted(query(f, "/index")[0].text for _ in range(3))


@scenario(["0", "1", "2"])
def shards_with_replicas(F, folder):
    return sharded(F, replicas=2), lambda f: sorted({query(f, "/index")[0].text for _ in range(6)})

"""What a client does, for either client: each call gives what it saw as plain JSON values.

`client.py` runs these with the `jina` of its Python.
"""

import asyncio
import contextlib
import functools
from unittest.mock import Mock

import numpy as np
from docarray import BaseDoc, DocList
from docarray.documents.legacy import LegacyDocument
from executors import Note, Part, Rich

from jina import Client, excepts

CALLS = {}


def call(function):
    """Register a call under its name."""
    CALLS[function.__name__] = function
    return function


def run(name, url, **arguments):
    """What the call saw: `{"result": ...}` or `{"raises": [names of the classes that would catch it], ...}`."""
    try:
        return {"result": CALLS[name](url, **arguments)}
    except Exception as error:  # the observation
        return {"raises": caught_by(error), "class": type(error).__name__, "text": f"{error} {error.args!r}"}


def caught_by(error):
    """Names of the classes, of those that programs catch, that the error belongs to."""
    known = {name: getattr(excepts, name) for name in ("BadServer", "BadServerFlow", "BadClient", "BadClientInput")}
    known |= {"ConnectionError": ConnectionError, "ValueError": ValueError}
    return sorted(name for name, kind in known.items() if isinstance(error, kind))


def plain(value):
    """A field's value as JSON values that keep what matters: array types, bytes, classes."""
    if isinstance(value, BaseDoc):
        return {name: plain(getattr(value, name)) for name in type(value).model_fields if name != "id"}
    if isinstance(value, np.ndarray):
        return {"dtype": str(value.dtype), "shape": list(value.shape), "values": value.tolist()}
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, DocList)):
        return [plain(item) for item in value]
    return value


def rich_docs():
    """Documents that use each field, and one that uses none."""
    full = Rich(
        text="näïve ☃ \u0000 end",
        maybe="some",
        count=2**31 - 1 - 1,
        price=-1.5e-300,
        flag=True,
        blob=b"plain \x7f",
        tags={"a": 1.5, "b": [True, None, "x"], "c": {"d": "e"}},
        names=["x", "y"],
        vector=np.array([1.5, -2.25, 3e38], dtype=np.float32) / 4,
        matrix=np.arange(6, dtype=np.int64).reshape(2, 3) * 2**40,
        part=Part(name="p", size=-3),
        parts=DocList[Part]([Part(name="q", size=1), Part(name="r", size=2)]),
    )
    return DocList[Rich](
        [full, Rich(), Rich(vector=np.zeros((0,), dtype=np.float32), matrix=np.zeros((2, 0, 3), dtype=np.float64))]
    )


def notes(*texts):
    return DocList[Note]([Note(text=str(text)) for text in texts])


def texts(docs):
    return [doc.text for doc in docs]


@contextlib.contextmanager
def client(url, **options):
    """A sync client; Jina 3's has nothing to close."""
    made = Client(host=url, **options)
    try:
        yield made
    finally:
        if hasattr(made, "close"):
            made.close()


def in_loop(coroutine_function, url, **options):
    """Run with an async client in a loop of its own."""

    async def go():
        made = Client(host=url, asyncio=True, **options)
        try:
            return await coroutine_function(made)
        finally:
            if hasattr(made, "close"):
                await made.close()

    return asyncio.run(go())


# --- documents ----------------------------------------------------------------------------------------------


@call
def echo(url, **options):
    with client(url) as c:
        docs = rich_docs()
        got = c.post("/echo", docs, return_type=DocList[Rich], **options)
        return {"docs": plain(got), "ids": [a.id == b.id for a, b in zip(got, docs)], "class": got.doc_type.__name__}


@call
def change(url, **options):
    with client(url) as c:
        return plain(c.post("/change", rich_docs(), return_type=DocList[Rich], **options))


@call
def compressed(url):
    with client(url) as c:
        docs = notes(*["word " * 2000] * 3)
        return texts(c.post("/in_place", docs, return_type=DocList[Note], compression="Gzip")) == [
            f"{text}!" for text in texts(docs)
        ]


@call
def untyped_answer(url, **options):
    """Without return_type the fields are there all the same."""
    with client(url) as c:
        got = c.post("/change", rich_docs()[:1], **options)
        doc = got[0]
        return {"text": doc.text, "count": doc.count, "flag": doc.flag, "names": list(doc.names), "part": doc.part.name}


@call
def other_class(url, **options):
    with client(url) as c:
        docs = DocList[Rich]([Rich(text="s", vector=np.array([1, 2], dtype=np.float32)), Rich(text="t")])
        return texts(c.post("/measure", docs, return_type=DocList[Note], **options))


@call
def lengths(url, **options):
    """None keeps the documents as they were changed, a list replaces them."""
    with client(url) as c:
        return [
            texts(c.post(on, notes("a", "b"), return_type=DocList[Note], **options))
            for on in ("/in_place", "/twice", "/nothing")
        ]


@call
def one_document(url, **options):
    with client(url) as c:
        got = c.post("/in_place", Note(text="alone"), return_type=Note, **options)
        return [type(got).__name__, got.text]


@call
def generator_of_documents(url):
    with client(url) as c:
        made = (Note(text=str(i)) for i in range(7))
        return sorted(texts(c.post("/in_place", made, request_size=2, return_type=DocList[Note])))


@call
def no_documents(url, **options):
    with client(url) as c:
        return texts(c.post("/parameters", return_type=DocList[Note], parameters={"a": "b"}, **options))


@call
def single_document_method(url, **options):
    with client(url) as c:
        return texts(c.post("/single", notes("x", "y"), return_type=DocList[Note], **options))


# --- requests -----------------------------------------------------------------------------------------------


@call
def many_requests(url, **options):
    with client(url) as c:
        docs = notes(*range(25))
        got = c.post("/in_place", docs, request_size=3, return_responses=True, return_type=DocList[Note], **options)
        return {
            "sizes": sorted(len(response.docs) for response in got),
            "texts": sorted(text for response in got for text in texts(response.docs)),
            "ids": len({response.header.request_id for response in got}),
            "status": sorted({response.status.code for response in got}),
        }


@call
def in_order(url):
    with client(url) as c:
        return texts(
            c.post("/slow", notes(*range(6)), request_size=1, results_in_order=True, return_type=DocList[Note])
        )


@call
def callbacks(url):
    seen = []
    with client(url) as c:
        result = c.post(
            "/in_place",
            notes("a"),
            on_done=lambda r: seen.append(["done", texts(r.docs)]),
            on_error=lambda r: seen.append(["error"]),
            on_always=lambda r: seen.append(["always"]),
            return_type=DocList[Note],
        )
        return [seen, result]


@call
def metadata(url, **options):
    with client(url) as c:
        return texts(
            c.post("/in_place", notes("m"), metadata=(("x-key", "value"),), return_type=DocList[Note], **options)
        )


@call
def headers(url):
    with client(url) as c:
        return texts(c.post("/in_place", notes("h"), headers={"x-key": "value"}, return_type=DocList[Note]))


@call
def target_executor(url, pattern, **options):
    with client(url) as c:
        return texts(c.post("/in_place", notes("t"), target_executor=pattern, return_type=DocList[Note], **options))


@call
def async_post(url):
    async def go(c):
        found = []
        async for docs in c.post("/in_place", notes(*range(5)), request_size=2, return_type=DocList[Note]):
            found += texts(docs)
        return sorted(found)

    return in_loop(go, url)


# --- parameters ---------------------------------------------------------------------------------------------


@call
def parameters(url, given, **options):
    """What the handler sees, as the JSON that it wrote."""
    with client(url) as c:
        return texts(c.post("/parameters", notes("p"), parameters=given, return_type=DocList[Note], **options))[0]


@call
def parameters_back(url, given, **options):
    """What the response carries."""
    with client(url) as c:
        got = c.post("/parameters", notes("p"), parameters=given, return_responses=True, **options)
        return got[0].parameters


@call
def parameters_model(url, given, **options):
    with client(url) as c:
        return texts(c.post("/model", notes("p"), parameters=given, return_type=DocList[Note], **options))


@call
def results(url, **options):
    """A dict that the handler returned; documents stay."""
    with client(url) as c:
        got = c.post("/results", notes("a", "b"), return_responses=True, return_type=DocList[Note], **options)
        found = got[0].parameters["__results__"]
        return {"names": sorted(found), "values": list(found.values()), "docs": texts(got[0].docs)}


# --- errors -------------------------------------------------------------------------------------------------


@call
def failing(url, **options):
    with client(url) as c:
        return texts(c.post("/fail", notes("a"), return_type=DocList[Note], **options))


@call
def failing_response(url, **options):
    """The response that on_error gets, and the server works on."""
    seen = []

    def on_error(response):
        status = response.header.status
        seen.append([status.code, status.description, status.exception.name, list(status.exception.args)])
        seen.append([status.exception.executor, any("no good" in line for line in status.exception.stacks)])

    with client(url) as c:
        c.post("/fail", notes("a"), on_error=on_error, **options)
        return [seen, texts(c.post("/in_place", notes("b"), return_type=DocList[Note], **options))]


class Called:
    """A callback that notes the arguments of its calls."""

    def __init__(self):
        self.counts = []

    def __call__(self, *args, **kwargs):
        self.counts.append([len(args), sorted(kwargs)])

    def method(self, *args):
        self.counts.append([len(args), []])

    def optional(self, response, more=None):
        self.counts.append([1 if more is None else 2, []])


def taking_any(called):
    """A function that passes on whatever it gets."""

    def callback(*args, **kwargs):
        called(*args, **kwargs)

    return callback


FORMS = {
    "object": lambda called: called,
    "method": lambda called: called.method,
    "optional": lambda called: called.optional,
    "partial": lambda called: functools.partial(called.optional),
    "mock": lambda called: Mock(side_effect=called),
    "function": taking_any,
}
"""Callbacks that could take more than one argument, and need not."""


def callbacks_of(form):
    """Callbacks of one form, and what they note."""
    called = {name: Called() for name in ("on_done", "on_error", "on_always")}
    made = {name: FORMS[form](one) for name, one in called.items()}
    seen = {name: one.counts for name, one in called.items()}
    good = {name: made[name] for name in ("on_done", "on_always")}
    bad = {name: made[name] for name in ("on_error", "on_always")}
    return good, bad, seen


@call
def callback_arguments(url, **options):
    """How many arguments the callbacks of each form get."""
    found = {}
    with client(url) as c:
        for form in FORMS:
            good, bad, found[form] = callbacks_of(form)
            c.post("/in_place", notes("a"), **good, **options)
            c.post("/fail", notes("a"), **bad, **options)
    return found


@call
def callback_arguments_async(url, **options):
    """The same with an asynchronous client."""
    found = {}

    async def go(c):
        for form in FORMS:
            good, bad, found[form] = callbacks_of(form)
            async for _ in c.post("/in_place", notes("a"), **good, **options):
                pass
            async for _ in c.post("/fail", notes("a"), **bad, **options):
                pass
        return found

    return in_loop(go, url)


@call
def failing_some(url):
    """Good requests get through beside a failing one."""
    good, bad = [], []
    with client(url) as c:
        c.post(
            "/fail_some",
            notes("a", "bad", "b", "c"),
            request_size=1,
            on_done=lambda r: good.append(r.docs[0].text),
            on_error=lambda r: bad.append(r.header.status.description),
            continue_on_error=True,
            return_type=DocList[Note],
        )
        return [sorted(good), bad]


@call
def wrong_return(url, **options):
    with client(url) as c:
        return texts(c.post("/wrong_return", notes("a"), return_type=DocList[Note], **options))


@call
def unknown_endpoint(url, **options):
    with client(url) as c:
        return texts(c.post("/no_such", notes("a"), return_type=DocList[Note], **options))


@call
def wrong_type(url, **options):
    """A document whose field has another type than the endpoint's class."""

    class Wrong(BaseDoc):
        text: str = "x"
        count: str = "no number"

    with client(url) as c:
        return texts(c.post("/echo", DocList[Wrong]([Wrong()]), return_type=DocList[Note], **options))


# --- streams ------------------------------------------------------------------------------------------------


@call
def stream_doc(url):
    async def go(c):
        return [doc.text async for doc in c.stream_doc(on="/stream", inputs=Note(text="s"), return_type=Note)]

    return in_loop(go, url)


@call
def stream_doc_fails(url):
    """What came before the failure, and the failure."""

    async def go(c):
        found = []
        try:
            async for doc in c.stream_doc(on="/stream_fail", inputs=Note(text="s"), return_type=Note):
                found.append(doc.text)
        except Exception as error:  # the observation
            return [found, caught_by(error)]
        return [found, None]

    return in_loop(go, url)


@call
def stream_doc_of_no_generator(url):
    async def go(c):
        return [doc.text async for doc in c.stream_doc(on="/in_place", inputs=Note(text="s"), return_type=Note)]

    return in_loop(go, url)


# --- schemaless ---------------------------------------------------------------------------------------------


@call
def loose(url, on, **options):
    """Documents without a class of their own."""
    doc = LegacyDocument(
        text="t",
        tags={"k": "v"},
        embedding=np.array([1.0, 2.0], dtype=np.float32),
        chunks=DocList([LegacyDocument(text="c")]),
    )
    with client(url) as c:
        (got,) = c.post(on, DocList[LegacyDocument]([doc]), return_type=DocList[LegacyDocument], **options)
        return {
            "text": got.text,
            "tags": dict(got.tags),
            "embedding": plain(np.asarray(got.embedding)),
            "chunks": [chunk.text for chunk in got.chunks or ()],
            "id": got.id == doc.id,
        }


# --- readiness ----------------------------------------------------------------------------------------------


@call
def ready(url):
    with client(url) as c:
        return [c.is_flow_ready(), c.dry_run()]


@call
def ready_async(url):
    async def go(c):
        return await c.is_flow_ready()

    return in_loop(go, url)


@call
def unreachable(url):
    """Whether a ConnectionError comes out, and whether `on_error` was called."""
    seen = []
    try:
        Client(host=url).post("/x", Note(text="a"), on_error=seen.append)
    except ConnectionError:
        return [True, bool(seen)]
    return [False, bool(seen)]

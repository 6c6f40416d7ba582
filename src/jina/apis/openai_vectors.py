"""Embeddings in OpenAI's form, and ranking in that of Jina AI, over endpoints that give vectors or scores."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from jina.apis.openai_models import Model, model_named
from jina.apis.openai_requests import EmbeddingsBody, RerankBody, parsed
from jina.codec import pb
from jina.codec.messages import Payload, Reply, Request
from jina.errors import BadRequest, BadServer
from jina.net.limits import Gate
from jina.server.http import Exchange, dumps
from jina.server.http_calls import guarded

NewRequest = Callable[..., Request]
_USAGE = b'{"prompt_tokens":0,"total_tokens":0}'
_MANY_NUMBERS = 64 * 1024
"""Numbers that take long to write: about 2 ms."""


async def answer_embeddings(
    exchange: Exchange, gate: Gate, models: Mapping[str, Model], value: dict[str, Any], new: NewRequest
) -> None:
    """The vector of each text; shortened ones have length 1 again, as those of OpenAI have."""
    _check_input(value.get("input"))
    asked = parsed(value, EmbeddingsBody)
    if asked.encoding_format not in {"float", "base64"}:
        raise BadRequest(f"encoding_format: {asked.encoding_format!r} is not one of float, base64")
    if asked.dimensions is not None and asked.dimensions < 1:
        raise BadRequest(f"dimensions: {asked.dimensions} is not a number from 1 on")
    model = model_named(models, asked.model, "embedding")
    texts = [asked.input] if isinstance(asked.input, str) else asked.input
    if not texts:
        raise BadRequest("input: there are no texts")
    parameters = {} if asked.dimensions is None else {"dimensions": asked.dimensions}
    request = new(model, [{model.text: text} for text in texts], **parameters)
    vectors = _vectors(await _answered(exchange, gate, request), model, len(texts))
    name = asked.model or model.endpoint.strip("/")
    if vectors.size <= _MANY_NUMBERS:
        body = _shown(vectors, asked, name)
    else:
        body = await guarded(exchange, asyncio.to_thread(_shown, vectors, asked, name), request.deadline)
    await exchange.respond_json(body)


def _check_input(given: Any) -> None:
    items = given if isinstance(given, list) else []
    if any(isinstance(one, int | list) for one in items):
        raise BadRequest(
            "input: this server takes texts, not tokens, as it does not know by which tokenizer they were made",
            help="send the texts; LangChain's OpenAIEmbeddings does with check_embedding_ctx_length=False",
        )


def _shown(vectors: npt.NDArray[Any], asked: EmbeddingsBody, name: str) -> bytes:
    """The answer as JSON."""
    if asked.dimensions is not None and asked.dimensions < vectors.shape[1]:
        vectors = _unit(vectors[:, : asked.dimensions])
    vectors = np.ascontiguousarray(vectors, dtype="<f4")
    if asked.encoding_format == "base64":
        shown = [b'"%b"' % base64.b64encode(vector.data) for vector in vectors]
    else:
        shown = [dumps(vector) for vector in vectors]
    data = [b'{"object":"embedding","index":%d,"embedding":%b}' % (at, one) for at, one in enumerate(shown)]
    return b'{"object":"list","data":[%b],"model":%b,"usage":%b}' % (b",".join(data), dumps(name), _USAGE)


async def answer_rerank(
    exchange: Exchange, gate: Gate, models: Mapping[str, Model], value: dict[str, Any], new: NewRequest
) -> None:
    """The documents, those that fit the query best first."""
    asked = parsed(value, RerankBody)
    texts = [one if isinstance(one, str) else str(one.get("text", "")) for one in asked.documents]
    if not texts:
        raise BadRequest("documents: there are none")
    model = model_named(models, asked.model, "rerank")
    if model.result == "scores":
        request = new(model, [{"query": asked.query, "documents": texts}])
        scores = _arrays(await _answered(exchange, gate, request), "scores", model)[0]
        if len(scores) != len(texts):
            raise BadServer(f"{model.endpoint} gave {len(scores)} scores for {len(texts)} documents")
    else:
        request = new(model, [{model.text: text} for text in (asked.query, *texts)])
        vectors = _unit(_vectors(await _answered(exchange, gate, request), model, len(texts) + 1))
        scores = vectors[1:] @ vectors[0]
    order = np.argsort(-scores, kind="stable")[: asked.top_n]
    results: list[dict[str, Any]] = [{"index": int(at), "relevance_score": float(scores[at])} for at in order]
    if asked.return_documents is not False:
        for one in results:
            one["document"] = {"text": texts[one["index"]]}
    name = asked.model or model.endpoint.strip("/")
    content = {"model": name, "object": "list", "usage": {"total_tokens": 0, "prompt_tokens": 0}, "results": results}
    await exchange.respond_json(dumps(content))


async def _answered(exchange: Exchange, gate: Gate, request: Request) -> Payload:
    """What the method gave, as its objects where it is in this process: their numbers are all that is used."""
    request.takes_objects = True
    reply: Reply = await guarded(exchange, gate.call(request), request.deadline)
    return reply.payload


def _vectors(payload: Payload, model: Model, count: int) -> npt.NDArray[Any]:
    """A vector in each row; raises `BadServer`."""
    found = _arrays(payload, model.result, model)
    if len(found) != count or len({vector.shape for vector in found}) != 1 or found[0].ndim != 1:
        raise BadServer(f"{model.endpoint} did not give one vector for each of the {count} texts, all of one size")
    vectors = np.stack(found)
    payload.count_sent(vectors.nbytes)
    return vectors


def _unit(vectors: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The vectors with length 1; zeros stay."""
    vectors = vectors.astype(np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: npt.NDArray[Any] = vectors / np.where(lengths == 0, 1.0, lengths)
    return unit


def _arrays(payload: Payload, field: str, model: Model) -> list[npt.NDArray[Any]]:
    """The numbers in a field of each document; raises `BadServer` where one has none."""
    docs = payload.objects()
    found = None if docs is None else _arrays_of_objects(docs, field)
    return _arrays_of_messages(payload, field, model) if found is None else found


def _arrays_of_objects(docs: Iterable[Any], field: str) -> list[npt.NDArray[Any]] | None:
    """The numbers without a message between; None where one is neither an array nor a list, such as one of PyTorch."""
    found = []
    for doc in docs:
        value = doc.get(field) if isinstance(doc, dict) else getattr(doc, field, None)
        if isinstance(value, np.ndarray) and value.dtype.kind in "fiu":
            found.append(np.asarray(value))
        elif isinstance(value, list) and all(type(number) in {float, int} for number in value):
            found.append(np.asarray(value, dtype=np.float64))
        else:
            return None
    return found


def _arrays_of_messages(payload: Payload, field: str, model: Model) -> list[npt.NDArray[Any]]:
    from jina.codec.tensors import dtype_named

    found = []
    for doc in pb.DocListProto.FromString(payload.to_bytes()).docs:
        node = doc.data[field]  # an empty one where there is none
        if node.WhichOneof("content") not in {"ndarray", "list"}:
            raise BadServer(f"{model.endpoint} gave a document without numbers in its field {field!r}")
        if node.WhichOneof("content") == "ndarray":
            dense = node.ndarray.dense
            found.append(np.frombuffer(dense.buffer, dtype_named(dense.dtype)).reshape(tuple(dense.shape)))
        else:
            items = [getattr(item, item.WhichOneof("content")) for item in node.list.data]
            found.append(np.asarray(items, dtype=np.float64))
    return found

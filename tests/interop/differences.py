"""Where we answer otherwise than Jina 3.34 does, and why.

Each is asserted, on both sides, by the tests of this folder that name it. `KNOWN` feeds
`docs/explanation/differences.md`.
"""

from typing import NamedTuple


class Difference(NamedTuple):
    """`jina3` and `ours` say what is seen from outside."""

    topic: str
    jina3: str
    ours: str
    reason: str


KNOWN = {
    # --- documents and parameters -------------------------------------------------------------------------
    "integers-of-parameters": Difference(
        "parameters",
        "Integers in parameters and in dicts that handlers return arrive as floats.",
        "They stay integers of any size between our clients and servers, also with a Jina 3 gateway between them.",
        "They travel as JSON too, in a protobuf field that Jina 3 ignores and passes on.",
    ),
    "empty-arrays": Difference(
        "tensors",
        "An array without elements arrives as float64, whatever it was.",
        "Its dtype is kept on gRPC, and on HTTP between our client and our server.",
        "The dtype is in the message; DocArray does not read it for an empty buffer.",
    ),
    "binary-http": Difference(
        "tensors",
        "HTTP carries JSON: float32 arrives as float64, a shape with a zero may lose its end.",
        "Our client and server speak protobuf over HTTP once they know each other: types and shapes are kept.",
        "JSON of numbers has no types. Any other peer is sent JSON.",
    ),
    "untyped-http": Difference(
        "client",
        "Without return_type, nested documents of an HTTP answer are dicts.",
        "So they are with a Jina 3 server; from ours they are documents.",
        "JSON does not say which objects are documents.",
    ),
    "scalar-tensors": Difference(
        "tensors",
        "A number in JSON is not a tensor: 422.",
        "It is one without dimensions, as which such a tensor is written.",
        "What we write we read.",
    ),
    "big-integers": Difference(
        "documents",
        "An integer field above 2**31 - 1 answers 500 without a reason through an HTTP gateway.",
        "HTTP carries it as it is, with no hop that would turn it into protobuf.",
        "Only protobuf's field has 32 bits.",
    ),
    "schemaless-json": Difference(
        "documents",
        "An endpoint without a return annotation answers with all fields of LegacyDocument, null where unset.",
        "The documents are written with the fields that they have.",
        "The handler returned (or kept) documents of a class that is known.",
    ),
    "ids-through-gateways": Difference(
        "documents",
        "A Flow's HTTP gateway answers `id: null` for documents that came without an id.",
        "The id that the document got is in the answer.",
        "The id identifies the document from then on.",
    ),
    "dict-results-http": Difference(
        "results",
        "A worker served directly on HTTP answers 500 when the handler returns a dict.",
        "`parameters.__results__` has it, as on gRPC.",
        "A defect of Jina 3.",
    ),
    "parameters-as-sent": Difference(
        "parameters",
        "The HTTP answer of an endpoint with a parameters model has the model's defaults in `parameters`.",
        "It has the parameters that were sent.",
        "They are the request's, not the handler's.",
    ),
    # --- errors -------------------------------------------------------------------------------------------
    "unknown-endpoint": Difference(
        "errors",
        "On gRPC and WebSocket an endpoint that does not exist gives the documents back unchanged.",
        "NOT_FOUND, with the endpoints that exist and the nearest: BadClient in our client. Jina 3's client raises "
        "BadServer on a stream and ConnectionError with stream=False.",
        "A typing error must not look like success. A passing Executor (without endpoints) still passes documents.",
    ),
    "request-errors": Difference(
        "errors",
        "Documents or parameters of a wrong type fail as the server's fault (BadServer).",
        "INVALID_ARGUMENT, or 422: ValidationFailed (a BadClient and a ValueError), with the list of errors. Jina 3's "
        "client raises BadServer on a stream and BadServerFlow with stream=False.",
        "The request is at fault, and retrying does not help.",
    ),
    "http-server-errors": Difference(
        "errors",
        "Over HTTP the client raises ValueError with the body for whatever failed.",
        "ExecutorError (a BadServer), as on gRPC, with the remote traceback; from a Jina 3 server BadServer.",
        "One class for one cause, whichever protocol.",
    ),
    "on-error-http": Difference(
        "client",
        "Over HTTP `on_error` and `continue_on_error` do nothing: the call raises.",
        "They work as on gRPC.",
        "A defect of Jina 3.",
    ),
    "on-error-unreachable": Difference(
        "client",
        "Where no server is reached, `post` raises ConnectionError, and `on_error` is not called.",
        "`on_error` and `on_always` are called with the failure, then `post` raises Unavailable, a ConnectionError.",
        "What counts failures in a callback counts this one too.",
    ),
    "error-members": Difference(
        "errors",
        'An HTTP error is `{"detail": ...}`.',
        "Beside `detail` there are `type`, `title`, `status`, `code`, `errors`, and what describes the exception.",
        "RFC 9457; from them the client rebuilds the class.",
    ),
    "text-of-detail": Difference(
        "errors",
        "`Not Found`, `Method Not Allowed`, or `The return type must be ...`.",
        "The text names the path, what exists, and what to do.",
        "The status is the same.",
    ),
    "validation-location": Difference(
        "errors",
        "Each fault of a document is told twice: for the body as a list (`loc` holds `list[Note]`) and as one document.",
        "Once, with `body.data.<number>.<field>`; the message of a wrong container is ours.",
        "`data` is either, and which it is shows.",
    ),
    "not-json": Difference(
        "errors",
        "A body that is not JSON answers 422.",
        "400.",
        "422 is for JSON that does not fit the endpoint.",
    ),
    "missing-parameters": Difference(
        "parameters",
        "An endpoint with a parameters model needs `parameters` in the body, also when all fields have defaults.",
        "The error names the missing field; a model with defaults needs no `parameters`.",
        "An absent object is an empty one.",
    ),
    # --- HTTP ---------------------------------------------------------------------------------------------
    "header-of-workers": Difference(
        "HTTP",
        "`header` is in the answers of Flow gateways only.",
        "It is in all answers.",
        "Every server assigns a request id, and logs name it.",
    ),
    "header-without-id": Difference(
        "HTTP",
        "A `header` needs `request_id`.",
        "It may be left out, and be written `requestId`.",
        "Jina 3 with pydantic 1 took both.",
    ),
    "bare-bodies": Difference(
        "HTTP",
        "A body needs `data`.",
        "A list, an object with none of the envelope's keys, an empty body, or no `data`: documents, or none of them.",
        "Requests without documents exist; and curl users write what they mean.",
    ),
    "media-type": Difference(
        "HTTP",
        "A body that is not declared as JSON answers 422, except through the load balancer.",
        "The body is read as JSON.",
        "Nothing else could be meant.",
    ),
    "trailing-slash": Difference(
        "HTTP",
        "A path with `/` at its end answers 307, which POST clients rarely follow.",
        "It is the endpoint.",
        "Jina 3's load balancer follows it by itself too.",
    ),
    "dry-run": Difference(
        "health",
        "`/dry_run` exists at gateways only, and `is_flow_ready()` is False for a worker served directly.",
        "Every server answers it. Our client takes any answer of a worker without it as ready.",
        "A server that serves is ready.",
    ),
    "status-members": Difference(
        "health",
        "`_status` and `/status` tell an id made from the network address, a session id, the processor and more.",
        "Versions, platform, uptime and `JINA_*` settings; nothing that identifies machine or user.",
        "Whoever reaches the port can read it.",
    ),
    "chained-schemaless": Difference(
        "routing",
        "Its gateway knows the untyped documents of its own workers by their exact schema.",
        "An untyped Executor of Jina 3 directly before an untyped one of ours is refused by its gateway, as "
        "incompatible; give both the same document class, or move both.",
        "Jina 3 cannot read a schema that refers to itself, so ours does not.",
    ),
    "request-id": Difference(
        "HTTP",
        "Each request over HTTP has an id only behind a gateway.",
        "Always.",
        "See `header`.",
    ),
    # --- streams ------------------------------------------------------------------------------------------
    "stream-over-websocket": Difference(
        "streams",
        "stream_doc raises TypeError over WebSocket.",
        "It works; from a Jina 3 gateway the answer is an error.",
        "All three protocols can stream.",
    ),
    "stream-failure": Difference(
        "streams",
        "A generator that raises: the worker cuts the connection; a gateway sends the documents four times and then "
        "ends as if all were well.",
        "The client raises the handler's error after the documents that came before it. HTTP sends it as "
        "`event: error`, which Jina 3's HTTP client does not know: it sees a stream that ends early.",
        "No result is partial silently, as far as the peer can be told.",
    ),
    "stream-of-no-generator": Difference(
        "streams",
        "stream_doc to an endpoint that does not stream: BadServer on gRPC, nothing at all over HTTP.",
        "BadRequest (a BadClient) on every protocol.",
        "The call is at fault.",
    ),
    "websocket-errors": Difference(
        "errors",
        "The WebSocket client shows a handler's failure in some runs and an empty result in others.",
        "Our client raises it; Jina 3's client still loses it with our servers.",
        "A failure must not look like an empty result.",
    ),
    "scoped-parameters": Difference(
        "parameters",
        "A worker served without a gateway gets `executor__key` as it is.",
        "`executor__key` reaches the Executor of that name as `key`, with and without a gateway.",
        "The same Executor sees the same parameters however it is served.",
    ),
    "stream-by-post": Difference(
        "streams",
        "A generator is reached by GET only, so parameters cannot be given.",
        "POST works too, with the usual body.",
        "GET stays as it was.",
    ),
    "unknown-query": Difference(
        "streams",
        "A query parameter that is no field of the document is ignored.",
        "422 with the nearest field.",
        "A typing error must not look like success.",
    ),
    # --- client -------------------------------------------------------------------------------------------
    "compression": Difference(
        "client",
        "`compression=` over HTTP and WebSocket is accepted and does nothing.",
        "NotSupportedError.",
        "An option that does nothing is worse than one that is refused.",
    ),
    "target-executor": Difference(
        "routing",
        "`target_executor` is read by gateways: one that matches no Executor gives the documents back unchanged.",
        "A Deployment is one Executor without a gateway, which is visited like Jina 3's worker served directly.",
        "There is nothing to choose from.",
    ),
    # --- Flows --------------------------------------------------------------------------------------------
    "default-joiner": Difference(
        "Flows",
        "A join without an Executor of its own (`needs_all()`, `needs([...])`) does not start behind typed Executors.",
        "It joins documents of any class.",
        "The gateway merges messages; it needs no class for that.",
    ),
    "merged-dicts": Difference(
        "Flows",
        "Where branches are joined, the one that answers first wins a field that several have set; tags may be lost.",
        "A field that a branch left as it was yields to one that changed it; of several changes the left-most wins.",
        "The same request gives the same answer.",
    ),
    "when-loses-nothing": Difference(
        "Flows",
        "Documents that match no `when` vanish from the answer.",
        "They pass by the Executor and stay in their place.",
        "Losing documents without a word is no routing.",
    ),
    "edges-without-default": Difference(
        "Flows",
        "A Flow does not start when an Executor has `/default` and a neighbour lacks it.",
        "It starts; an Executor that does not know an endpoint passes the documents through.",
        "Only types that do not fit are an error.",
    ),
    "target-nobody": Difference(
        "Flows",
        "A `target_executor` that matches no Executor gives the documents back unchanged.",
        "It is an error that lists the Executors.",
        "A typing error must not look like success.",
    ),
    "gateway-timeouts-http": Difference(
        "Flows",
        "An Executor that is too slow, or down, is a plain 500 of an HTTP gateway.",
        "504, or 503, naming it; clients raise ConnectionError as on gRPC.",
        "Callers must be able to tell the failure from a bug.",
    ),
    # --- shards -------------------------------------------------------------------------------------------
    "shards-scores": Difference(
        "shards",
        "Matches of all shards stand shard after shard, whatever their scores.",
        "Where each shard gave them ordered by score, they are ordered by score.",
        "A search over several shards answers as over one.",
    ),
    "shards-lists": Difference(
        "shards",
        "A list field of the answers of all shards has what the request had once for each shard.",
        "It has that once, then what each shard added.",
        "Only what was added comes from a shard.",
    ),
    "shards-partial": Difference(
        "shards",
        "A shard that fails, or is gone, is left out of the answer of the others without a word.",
        "The request fails and names the shard. Only a shard that raises `KeyError` or `IndexError` in a `@write` to all "
        "is left out while another answers, with a warning and the header `jina-missed`.",
        "An answer from two thirds of the data looks like one from all of it.",
    ),
    "shards-unmerged": Difference(
        "shards",
        "With `no_reduce` and several shards the answer has the documents of one of them.",
        "It has those of all shards, one after the other.",
        "Not merged does not mean lost.",
    ),
    "stream-parameters": Difference(
        "streams",
        "Parameters of `stream_doc` do not reach the Executor.",
        "They do.",
        "They were given.",
    ),
    "stream-through-steps": Difference(
        "streams",
        "Only a Flow of one Executor streams.",
        "Streams go through further steps, and over WebSocket.",
        "Each document goes on as it comes.",
    ),
}

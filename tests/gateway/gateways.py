"""Workers and a gateway on one loop, driven by the test."""

import asyncio
import functools
from contextlib import asynccontextmanager

from jina.codec import pb
from jina.codec.messages import Request
from jina.codec.payloads import BytesPayload
from jina.gateway.links import InProcessUpstream
from jina.gateway.service import GatewayService
from jina.plan.plans import ExecutorPlan, GatewayPlan, GraphPlan, ListenerPlan, NodePlan, UpstreamPlan, WorkerPlan
from jina.worker.service import WorkerService, close


def on_a_loop(test):
    """Run an `async def` test."""

    @functools.wraps(test)
    def run(**arguments):
        asyncio.run(test(**arguments))

    return run


def graph_of(nodes, ends=None, **options):
    """A graph plan from `name -> needs`, or `name -> dict of NodePlan fields`."""
    made = []
    for name, result in nodes.items():
        fields = dict(result) if isinstance(result, dict) else {"needs": result}
        upstreams = fields.pop("upstreams", [UpstreamPlan(kind="link", name=f"{name}/rep-0")])
        made.append(NodePlan(name=name, upstreams=upstreams, **fields))
    needed = {need for node in made if not node.floating for need in node.needs}
    ends = ends or [node.name for node in made if node.name not in needed and not node.floating]
    return GraphPlan(nodes=made, ends=ends, **options)


def plan_of(nodes, ends=None, *, strict=False, **options):
    options.setdefault("listeners", [])
    return GatewayPlan(graph=graph_of(nodes, ends, strict=strict), **options)


def http_face():
    return ListenerPlan(protocol="http", host="127.0.0.1", port=0)


@asynccontextmanager
async def workers(executors, **options):
    """The services of `name -> Executor class, or instance`, on the running loop, as `name -> WorkerService`."""
    loop = asyncio.get_running_loop()
    services = {}
    try:
        for name, made in executors.items():
            executor = made() if isinstance(made, type) else made
            deployment = name.partition("/")[0]
            plan = WorkerPlan(
                name=name if "/" in name else f"{name}/rep-0",
                deployment=deployment,
                executor=ExecutorPlan(),
                listeners=[],
                **options.get(deployment, {}),
            )
            service = WorkerService(executor, plan, protocol_loop=loop, user_loop=loop)
            service.watchdog.start()
            service.state = "ready"
            services[name] = service
        yield services
        for service in services.values():
            assert await service.dispatcher.quiet(5), f"a handler of {service.name} still runs"
    finally:
        for service in services.values():
            service.watchdog.stop()
            service.dispatcher.stop()
            await close(service.executor, service._owner.log)


@asynccontextmanager
async def gateway(
    executors, nodes=None, ends=None, *, wrap=lambda upstream: upstream, strict=False, worker=None, **options
):
    """A started GatewayService over direct upstreams; without `nodes` a chain in the order of `executors`.

    `service.workers` are the worker services; `wrap(upstream)` may put something around each upstream.
    """
    if nodes is None:
        names = list(executors)
        nodes = {name: [before] for before, name in zip(["gateway", *names], names, strict=False)}
    async with workers(executors, **(worker or {})) as services:
        upstreams = {}
        for name, service in services.items():
            upstreams.setdefault(name.partition("/")[0], []).append(wrap(InProcessUpstream(service)))
        service = GatewayService(plan_of(nodes, ends, strict=strict, **options), upstreams)
        await service.start()
        service.workers = services
        yield service


def request(endpoint, texts=(), **options):
    message = pb.DocListProto()
    for number, text in enumerate(texts):
        doc = message.docs.add()
        doc.data["id"].text = str(number)
        doc.data["text"].text = text
    return Request(endpoint, BytesPayload(message.SerializeToString()), **options)


def texts(reply):
    message = pb.DocListProto.FromString(reply.payload.to_bytes())
    return [doc.data["text"].text for doc in message.docs]


def visited(reply):
    return [route.executor for route in reply.routes]

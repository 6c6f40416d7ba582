"""Pictures of real plans and real classes."""

from __future__ import annotations

from collections.abc import AsyncIterator

from docarray import BaseDoc, DocList

from jina import Executor, requests
from jina.export.flowchart import render
from jina.export.picture import EndpointPicture, endpoints_of_class, picture_of
from jina.plan.plans import (
    DeploymentPlan,
    ExecutorPlan,
    FlowPlan,
    GatewayPlan,
    GraphPlan,
    ListenerPlan,
    NodePlan,
    TlsPlan,
    UpstreamPlan,
    WorkerPlan,
)


class Page(BaseDoc):
    text: str = ""


class Chunk(BaseDoc):
    text: str = ""


class Chunker(Executor):
    @requests(on=["/index", "/search"])
    async def chunk(self, docs: DocList[Page], **kwargs) -> DocList[Chunk]:
        return DocList[Chunk]()

    @requests(on="/stream")
    async def stream(self, doc: Page, **kwargs) -> AsyncIterator[Page]:
        yield doc

    def spare(self, docs: DocList[Chunk], **kwargs) -> None: ...


def node(name: str, *needs: str, upstreams: int = 1, **more) -> NodePlan:
    found = [UpstreamPlan(kind="link", name=f"{name}/rep-{i}") for i in range(upstreams)]
    return NodePlan(name=name, needs=list(needs), upstreams=found, **more)


def deployment(name: str, executor: ExecutorPlan, replicas: int = 1) -> DeploymentPlan:
    workers = [
        WorkerPlan(
            name=f"{name}/rep-{i}", deployment=name, executor=executor, listeners=[], replica_id=i, replicas=replicas
        )
        for i in range(replicas)
    ]
    return DeploymentPlan(name=name, workers=workers)


def plan() -> FlowPlan:
    listeners = [
        ListenerPlan(protocol="grpc", host="0.0.0.0", port=1, tls=TlsPlan(certfile="c", keyfile="k")),
        ListenerPlan(protocol="websocket", host="::1", port=2),
    ]
    elsewhere = [
        UpstreamPlan(kind="grpc", name="far/0", address="a.example:1", tls=True),
        UpstreamPlan(kind="grpc", name="far/1", address="b.example:2"),
    ]
    nodes = [
        node("chunker", "gateway", upstreams=2, when={"text": {"$exists": True}}),
        node("_aux_look", "chunker", upstreams=0),
        node("look", "chunker"),
        NodePlan(name="far", needs=["_aux_look"], upstreams=elsewhere, external=True),
        node("gather_inspect", "far", "look", upstreams=0),
        node("audit", "gather_inspect", floating=True, no_reduce=True),
    ]
    return FlowPlan(
        name="search",
        deployments=[
            deployment("chunker", ExecutorPlan(module="my.mod", qualname="outer.<locals>.Chunker"), replicas=2),
            deployment("look", ExecutorPlan(jtype="Look", py_modules=["look.py"])),
            deployment("audit", ExecutorPlan()),
        ],
        gateway=GatewayPlan(
            listeners=listeners,
            graph=GraphPlan(nodes=nodes, ends=["gather_inspect"]),
            custom=ExecutorPlan(module="m", qualname="MyGateway"),
        ),
    )


def test_a_picture_has_what_the_plan_has():
    picture = picture_of(plan(), classes={"audit": "Audit"})
    steps = {step.name: step for step in picture.steps}
    assert picture.addresses == ("grpcs://0.0.0.0:1", "ws://[::1]:2")
    assert picture.gateway == "MyGateway"
    assert picture.ends == ("gather_inspect",)
    assert (steps["chunker"].executor, steps["chunker"].replicas, steps["chunker"].when) == (
        "Chunker", 2, "text exists",
    )  # fmt: skip
    assert steps["look"].executor == "Look"
    assert steps["audit"].executor == "Audit"
    assert steps["audit"].floating
    assert steps["far"].external
    assert steps["far"].replicas == 2
    assert steps["far"].addresses == ("grpcs://a.example:1", "grpc://b.example:2")


def test_what_an_inspection_hands_on_is_no_step_of_the_picture():
    steps = {step.name: step for step in picture_of(plan()).steps}
    assert "_aux_look" not in steps
    assert steps["far"].needs == ("chunker",)
    assert steps["gather_inspect"].joins
    assert steps["gather_inspect"].needs == ("far", "look")


def test_classes_at_hand_tell_their_endpoints():
    assert endpoints_of_class(Chunker) == (
        EndpointPicture("/index", "Page", "Chunk"),
        EndpointPicture("/search", "Page", "Chunk"),
        EndpointPicture("/stream", "Page", "Page", is_generator=True),
    )
    assert endpoints_of_class(Chunker, {"/other": "chunk", "/spare": "spare"}) == (
        EndpointPicture("/stream", "Page", "Page", is_generator=True),
        EndpointPicture("/other", "Page", "Chunk"),
        EndpointPicture("/spare", "Chunk", "Chunk"),
    )


def test_a_plan_is_rendered_with_endpoints_and_classes():
    result = {"chunker": endpoints_of_class(Chunker)}
    text = render(plan(), ".txt", endpoints=result, classes={"audit": "Audit"}).decode()
    assert "/stream  Page → Page  (stream)" in text
    assert "audit (Audit)" in text
    assert render(plan(), ".svg", endpoints=result, vertical=True).startswith(b"<svg")

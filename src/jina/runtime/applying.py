"""Requests that the log brings back, applied one after another where the handler runs: one crossing for many."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextvars import copy_context
from typing import NamedTuple

from jina.errors import InternalError, JinaError
from jina.observe import traces
from jina.replication import outcomes
from jina.replication.outcomes import Outcome
from jina.runtime.dispatch import ResultJob
from jina.runtime.effort import size_of
from jina.runtime.handler import Handler, Invocation
from jina.wire.messages import Request

_TOGETHER = 0.002
"""Seconds after which a crossing ends, and those who wait for what is applied hear of it."""


class Step(NamedTuple):
    """One request, and the handler that is to take it."""

    handler: Handler
    request: Request
    span: traces.RequestSpan | None
    call: Invocation
    size: int
    """Of its documents as they came, in bytes."""


class Applying(ResultJob):
    """Calls of `@write` methods on one lane; its value are the outcomes of as many as took a moment, at least one."""

    __slots__ = ("_begin", "_calls", "steps")

    def __init__(
        self,
        calls: Sequence[tuple[Handler, Request]],
        begin: Callable[[Request, Handler], traces.RequestSpan | None],
    ) -> None:
        super().__init__(None)
        self._calls = calls
        self._begin = begin
        self.steps: list[Step] = []
        """Those that have been taken."""

    def work(self) -> list[Outcome]:
        """Call `def` methods; on a thread."""
        context, came = copy_context(), []
        for call in self._calls:
            came.append(context.copy().run(_called, self._step(*call)))
            if time.perf_counter() - self.began > _TOGETHER:
                break
        return came

    async def work_async(self) -> list[Outcome]:
        """Call `async def` methods; on the user loop."""
        context, came = copy_context(), []
        for call in self._calls:
            came.append(await asyncio.create_task(_awaited(self._step(*call)), context=context.copy()))
            if time.perf_counter() - self.began > _TOGETHER:
                break
        return came

    def _step(self, handler: Handler, request: Request) -> Step:
        span = self._begin(request, handler)
        step = Step(handler, request, span, Invocation(handler, request, span), size_of(request.payload))
        self.steps.append(step)
        return step


def _called(step: Step) -> Outcome:
    try:
        return outcomes.of_reply(step.call.work(), step.request)
    except JinaError as error:
        return outcomes.of_error(error)
    except Exception as error:  # noqa: BLE001 - the next operation must be applied whatever happened to this one
        return _unexpected(step, error)


async def _awaited(step: Step) -> Outcome:
    try:
        return outcomes.of_reply(await step.call.work_async(), step.request)
    except JinaError as error:
        return outcomes.of_error(error)
    except Exception as error:  # noqa: BLE001 - the next operation must be applied whatever happened to this one
        return _unexpected(step, error)


def _unexpected(step: Step, error: Exception) -> Outcome:
    return outcomes.of_error(InternalError(f"applying {step.request.endpoint} failed: {error!r}"))

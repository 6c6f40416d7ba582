"""The walk of one request along its route: a state machine that is told what happened and says what to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from jina.codec.messages import Payload
from jina.errors import ExecutorError, JinaError
from jina.routing.conditions import Split, rejoin
from jina.routing.graph import END, GATEWAY, Route, Step
from jina.routing.merge import merge, with_ids


class Send(msgspec.Struct, frozen=True):
    """Give these documents to the Executor; call `replied` or `failed` with the outcome.

    `branches`, at a join that does not merge: the documents of each branch under its name; `payload` is the first.
    """

    node: str
    payload: Payload
    branches: list[tuple[str, Payload]] | None = None


class Cancel(msgspec.Struct, frozen=True):
    """Cancel what was sent to the Executor; its outcome need not be reported any more."""

    node: str


class Done(msgspec.Struct, frozen=True):
    """The reply. Floating steps may still be on their way."""

    payload: Payload


class Fail(msgspec.Struct, frozen=True):
    """The request failed; nothing is in flight but floating steps."""

    error: JinaError


Action = Send | Cancel | Done | Fail


class Walk:
    """One request on its way.

    Each method gives the actions to take now, in order. There is one `Done` or one `Fail`, none after `cancel`;
    after it no Executor is asked but those that follow floating ones in the side branch of a request that succeeded.
    Floating steps are neither waited for nor cancelled; what they raise is dropped.

    It knows no time: who sends the requests ends those that are late, and tells `failed`.
    `new_id` gives ids for documents that have none and will be merged.
    """

    __slots__ = (
        "_failed", "_new_id", "_outputs", "_over", "_reads", "_request_id", "_sent", "_splits", "_waits", "route",
    )  # fmt: skip

    def __init__(self, route: Route, *, new_id: Callable[[], str], request_id: str = "") -> None:
        self.route = route
        self._new_id = new_id
        self._request_id = request_id
        self._waits = dict(route.waits)
        self._reads = dict(route.reads)
        self._outputs: dict[str, Payload] = {}
        self._splits: dict[str, Split] = {}
        self._sent: dict[str, None] = {}
        self._over = False
        self._failed = False

    @property
    def over(self) -> bool:
        """Whether the request is answered, failed or cancelled."""
        return self._over

    @property
    def in_flight(self) -> Sequence[str]:
        """The Executors that were sent something and have not been heard of, floating ones too."""
        return list(self._sent)

    def begin(self, payload: Payload) -> list[Action]:
        """Start with the documents of the request."""
        actions: list[Action] = []
        self._settle(GATEWAY, payload, actions)
        return actions

    def replied(self, node: str, payload: Payload) -> list[Action]:
        """An Executor gave these documents back; one that is not in flight is too late and ignored."""
        actions: list[Action] = []
        if not self._remove(node) or self._failed:
            return actions
        if self._splits and node in self._splits:
            try:
                payload = rejoin(self._splits.pop(node), payload)
            except JinaError as error:
                if not self.route.steps[node].floating:
                    self._fail(named(error, node, self._request_id), actions)
                return actions
        self._settle(node, payload, actions)
        return actions

    def failed(self, node: str, error: JinaError) -> list[Action]:
        """An Executor could not be asked, or raised."""
        actions: list[Action] = []
        if self._remove(node) and not self.route.steps[node].floating:
            self._fail(named(error, node, self._request_id), actions)
        return actions

    def _remove(self, node: str) -> bool:
        """Take the Executor from those in flight; returns whether it was one of them."""
        if node not in self._sent:
            return False
        del self._sent[node]
        return True

    def cancel(self) -> list[Action]:
        """The client left."""
        actions: list[Action] = []
        if not self._over:
            self._stop(actions)
        return actions

    def _settle(self, name: str, payload: Payload, actions: list[Action]) -> None:
        """A step has its documents; so may those that need no Executor, one after the other."""
        route = self.route
        settled = [(name, payload)]
        for source, found in settled:
            if source in route.forks:
                try:
                    found = with_ids(found, self._new_id)  # noqa: PLW2901 - the same documents
                except JinaError as error:
                    self._broken(source, error, actions)
                    continue
            if source in self._reads:
                self._outputs[source] = found
            for follower in route.feeds[source]:
                self._waits[follower] -= 1
                if self._waits[follower] or self._failed:
                    continue
                passed = self._reach(follower, actions)
                if passed is not None:
                    settled.append((follower, passed))

    def _reach(self, name: str, actions: list[Action]) -> Payload | None:
        """Everything that a step needs is there; its documents where no Executor need be asked."""
        try:
            if name != END:
                return self._enter(self.route.steps[name], actions)
            actions.append(Done(self._gather(self.route.end)))
            self._over = True
        except JinaError as error:
            self._broken(name, error, actions)
        return None

    def _enter(self, step: Step, actions: list[Action]) -> Payload | None:
        if step.branches:
            documents = {need: self._read(need) for need in step.needs}
            branches = [(label, documents[source]) for label, source in step.branches]
            actions.append(Send(step.name, branches[0][1], branches))
        else:
            payload = self._gather(step)
            if not step.runs:
                return payload
            if step.condition is not None:
                split = step.condition.split(payload)
                if split.size and not split.places:
                    return payload
                if len(split.places) < split.size:
                    self._splits[step.name] = split
                payload = split.matching
            actions.append(Send(step.name, payload))
        self._sent[step.name] = None
        return None

    def _gather(self, step: Step) -> Payload:
        if not step.merges:
            return self._read(step.needs[0])
        return merge([self._read(need) for need in step.needs], self._read(step.fork))

    def _read(self, name: str) -> Payload:
        """The documents of a step, held no longer than a step needs them."""
        left = self._reads[name] - 1
        self._reads[name] = left
        return self._outputs[name] if left else self._outputs.pop(name)

    def _broken(self, name: str, error: JinaError, actions: list[Action]) -> None:
        """Documents could not be read: an error of a side branch is dropped."""
        step = self.route.steps.get(name)
        if step is None or not step.floating:
            self._fail(error, actions)

    def _fail(self, error: JinaError, actions: list[Action]) -> None:
        self._stop(actions)
        actions.append(Fail(error))

    def _stop(self, actions: list[Action]) -> None:
        """Cancel what is in flight; what was to be sent just now is not sent at all."""
        steps = self.route.steps
        unsent = {action.node for action in actions if isinstance(action, Send)}
        actions[:] = [action for action in actions if not isinstance(action, Send)]
        for node in list(self._sent):
            if node in unsent:
                del self._sent[node]
            elif not steps[node].floating:
                del self._sent[node]
                actions.append(Cancel(node))
        self._over = self._failed = True
        self._outputs.clear()
        self._splits.clear()


def named(error: JinaError, node: str, request_id: str) -> JinaError:
    """The error, told where it happened.

    The message of an `ExecutorError` is what the handler raised, as clients of Jina 3 read it; there the help says it.
    """
    where = f"{node}, request {request_id}" if request_id else node
    if isinstance(error, ExecutorError):
        error.help = "\n".join(filter(None, (error.help, f"raised in {where}")))
    else:
        error.prefix(where)
    return error

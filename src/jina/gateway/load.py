"""How long requests wait for each step of a gateway, how many replicas that asks for, and waiting for the first one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from jina.errors import DeadlineExceeded, JinaError, Overloaded, Unavailable
from jina.net.service import Load, Upstream
from jina.observe import logs
from jina.observe.metrics import StepLoad
from jina.plan.plans import AutoscalePlan, NodePlan
from jina.routing.autoscale import INTERVAL, Autoscaler, Sample, WaitMeter

_GOING = 5.0
"""Seconds that requests wait for replicas that are there and cannot be reached: these have ended, or start again."""
_ASKED = 1.0
"""Seconds in which a worker elsewhere tells its load; none is asked more often."""
_log = logs.get_logger("gateway.load")


class Hold:
    """The requests that wait for a replica of a step which may have none: so many, each until its deadline."""

    __slots__ = ("_arrived", "_name", "_plan", "count", "on_first")

    def __init__(self, name: str, plan: AutoscalePlan) -> None:
        self._name = name
        self._plan = plan
        self._arrived: asyncio.Event | None = None
        self.count = 0
        """How many wait."""
        self.on_first: Callable[[], None] = lambda: None
        """Called when one begins to wait and no other does."""

    async def wait(self, deadline: float | None, there: Callable[[], bool], *, going: bool = False) -> None:
        """Return when `there()`, or, for a step whose replicas are `going`, after a moment.

        Raises `Overloaded` where as many wait as may, `DeadlineExceeded`, and `Unavailable` after `held_time`.
        """
        if self.count >= self._plan.max_held:
            text = f"{self._name} has no replica, and {self.count} requests wait for one, which is its limit"
            raise Overloaded(f"{text} (max_held of autoscale)", retry_after=1.0)
        until = time.monotonic() + (_GOING if going else self._plan.held_time)
        until = until if deadline is None else min(until, deadline)
        self.count += 1
        try:
            if self.count == 1:
                self.on_first()
            async with asyncio.timeout(max(0.0, until - time.monotonic())):
                while not there():
                    self._arrived = self._arrived or asyncio.Event()
                    await self._arrived.wait()
        except TimeoutError:
            if until == deadline:
                late = f"the deadline of the request passed while it waited for a replica of {self._name}"
                raise DeadlineExceeded(late) from None
            if not going:
                raise Unavailable(
                    f"no replica of {self._name} was ready within the {self._plan.held_time:g} s of held_time",
                    help="see why none starts: in the log of the program or the events of the cluster",
                ) from None
        finally:
            self.count -= 1

    def wake(self) -> None:
        """Something has changed: those that wait look again."""
        if self._arrived is not None:
            self._arrived.set()
            self._arrived = None


class Part(Protocol):
    """Replicas of one Executor."""

    hold: Hold | None

    @property
    def up(self) -> bool:
        """Whether a request could arrive."""
        ...

    @property
    def upstreams(self) -> list[Upstream]:
        """Those that there are."""
        ...

    @property
    def held(self) -> int:
        """Requests that wait for one to be there."""
        ...

    @property
    def in_flight(self) -> int:
        """Requests that were given to them and are not answered."""
        ...

    @property
    def done(self) -> int:
        """Requests that they have answered, however."""
        ...


class Step(Protocol):
    """A step of a graph."""

    plan: NodePlan

    @property
    def parts(self) -> Sequence[Part]:
        """Its replicas, or those of each shard."""
        ...


class _StepMeter:
    """One step: what is counted of it, and how many replicas it should have, if that is decided here."""

    def __init__(self, step: Step) -> None:
        self.step = step
        plan = step.plan.autoscale
        self.scaler = None if plan is None else Autoscaler(plan, len(step.plan.upstreams))
        self.meter = WaitMeter() if self.scaler is None else self.scaler.meter
        self.load = StepLoad(0, 0.0, 0, None)
        """The newest figures; any thread may read them."""
        self._reported: dict[Upstream, Load] = {}
        """What workers elsewhere told last."""
        self._reported_done = 0

    def observe(self, now: float) -> bool:
        """Take a sample; returns whether another number of replicas is wanted than before."""
        sample, before, wanted = self._sample(now), self.load.wanted, None
        if self.scaler is None:
            self.meter.add(sample)
        else:
            wanted = self.scaler.observe(sample)
        self.load = StepLoad(sample.waiting, self.meter.wait, sample.replicas, wanted)
        return before != wanted

    def report(self, loads: dict[Upstream, Load]) -> None:
        """What workers elsewhere report of themselves; one that is new counts from now on."""
        for upstream, load in loads.items():
            if upstream in self._reported:
                self._reported_done += max(0, load.done - self._reported[upstream].done)
        self._reported = loads

    def _sample(self, now: float) -> Sample:
        held = sum(part.held for part in self.step.parts)
        waiting = in_flight = done = replicas = 0
        for part in self.step.parts:
            replicas += sum(upstream.up for upstream in part.upstreams)
            waiting += sum(upstream.waiting for upstream in part.upstreams)
            in_flight += part.in_flight
            done += part.done
        if self._reported:  # by the workers themselves: other gateways may send them requests as well
            waiting = sum(one.waiting for one in self._reported.values())
            in_flight = max(in_flight, sum(one.in_flight for one in self._reported.values()))
            done = self._reported_done
        return Sample(now, waiting + held, in_flight + held, done, replicas)


class LoadSampler:
    """Looks at the queues of all steps a few times a second, and says when one should have more or fewer replicas."""

    def __init__(self, steps: Mapping[str, Step]) -> None:
        self._steps = {name: _StepMeter(step) for name, step in steps.items() if step.plan.upstreams}
        self._sampling: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[None] | None = None
        self._changed: list[Callable[[], None]] = []
        for name, one in self._steps.items():
            for part in one.step.parts:
                if part.hold is not None:
                    part.hold.on_first = lambda name=name: self._look(name)  # type: ignore[misc]

    def start(self) -> None:
        """Begin, on the running loop."""
        loop = asyncio.get_running_loop()
        self._sampling = loop.create_task(self._sample_on())
        if any(one.scaler is not None for one in self._steps.values()):
            self._asking = loop.create_task(self._ask_on())

    def stop(self) -> None:
        """Look no more."""
        for task in filter(None, (self._sampling, self._asking)):
            task.cancel()

    def listen(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Call `changed` whenever another number of replicas is wanted; gives the function that ends it."""
        self._changed.append(changed)
        return lambda: self._changed.remove(changed)

    @property
    def loads(self) -> dict[str, StepLoad]:
        """By step."""
        return {name: one.load for name, one in self._steps.items()}

    @property
    def wanted(self) -> dict[str, int]:
        """By step, of those whose number of replicas is decided here."""
        return {name: one.load.wanted for name, one in self._steps.items() if one.load.wanted is not None}

    @property
    def scaled(self) -> list[str]:
        """The steps whose number of replicas is decided here."""
        return [name for name, one in self._steps.items() if one.scaler is not None]

    def stats(self) -> dict[str, int]:
        """The figures as whole numbers by name, see `jina.runtime.process`."""
        found: dict[str, int] = {}
        for name, load in self.loads.items():
            found |= {f"waiting:{name}": load.waiting, f"wait_ms:{name}": round(1000 * load.wait)}
            if load.wanted is not None:
                found[f"wanted:{name}"] = load.wanted
        return found

    async def _sample_on(self) -> None:
        while True:
            for name in self._steps:
                self._look(name)
            await asyncio.sleep(INTERVAL)

    def _look(self, name: str) -> None:
        one = self._steps[name]
        for part in one.step.parts:
            if part.hold is not None and part.hold.count and part.up:
                part.hold.wake()
        if one.observe(time.monotonic()):
            for changed in list(self._changed):
                changed()

    async def _ask_on(self) -> None:
        """Ask workers that are elsewhere, of steps whose number of replicas is decided here."""
        while True:
            for one in self._steps.values():
                if one.scaler is not None:
                    upstreams = [upstream for part in one.step.parts for upstream in part.upstreams]
                    found = await asyncio.gather(*map(_load_of, upstreams))
                    one.report({upstream: load for upstream, load in zip(upstreams, found, strict=True) if load})
            await asyncio.sleep(2 * INTERVAL)


async def _load_of(upstream: Upstream) -> Load | None:
    try:
        async with asyncio.timeout(_ASKED):
            return await upstream.load()
    except (JinaError, TimeoutError) as error:
        _log.debug("%s does not tell its load: %r", upstream.name, error)
        return None

"""A loop in virtual time, and connections in memory: nothing waits for a clock, a socket or a thread.

Time stands still while anything can be done, and then jumps to the next timer, so that a run of a minute takes a moment
and is the same each time.
"""

import asyncio


class Stuck(AssertionError):
    """Something is waited for that cannot happen any more."""


class VirtualLoop(asyncio.BaseEventLoop):
    """`servers` maps paths to what takes connections there: a call of `accept(wire)`, or None without a listener."""

    def __init__(self):
        super().__init__()
        self._selector = self
        self._now = 1000.0
        self.servers = {}
        self._verdict = None
        self.set_exception_handler(lambda _, context: self.found(context.get("exception") or Stuck(context["message"])))

    def found(self, error):
        """Something is wrong: the run ends, even where the error is caught."""
        if self._verdict is not None and not self._verdict.done():
            self._verdict.set_exception(error)

    def run(self, work):
        """What comes of the work, if nothing wrong is found meanwhile and it leaves no task."""
        with asyncio.Runner(loop_factory=lambda: self) as runner:
            return runner.run(self._watched(work))

    async def _watched(self, work):
        task, self._verdict = self.create_task(work), self.create_future()
        await asyncio.wait({task, self._verdict}, return_when=asyncio.FIRST_COMPLETED)
        if self._verdict.done():
            self._verdict.result()
        result = task.result()
        if left := asyncio.all_tasks() - {asyncio.current_task()}:
            raise Stuck(f"tasks are left: {left}")
        return result

    def time(self):
        return self._now

    def select(self, timeout):
        """What `BaseEventLoop` takes for a selector: it never blocks."""
        if timeout is None:
            raise Stuck("all tasks wait, and nothing is on its way")
        self._now += timeout
        return []

    def _process_events(self, events):
        """There are none."""

    def _write_to_self(self):
        """No task sleeps that could be woken."""

    async def create_unix_connection(self, protocol_factory, path, **options):
        await asyncio.sleep(0)
        accept = self.servers.get(path)
        if accept is None:
            raise ConnectionRefusedError(path)
        wire = Wire(self, protocol_factory())
        accept(wire)
        return wire, wire.protocol


class Pipe:
    """One direction: bytes arrive in order, in pieces, after a while; not while `held()` gives a time in the future."""

    def __init__(self, loop, chance, deliver, held=lambda: 0.0):
        self._loop, self._chance, self._deliver, self._held = loop, chance, deliver, held
        self._bytes = bytearray()
        self._timer = None

    def __len__(self):
        return len(self._bytes)

    def write(self, data):
        self._bytes += data
        if self._timer is None:
            self._wait()

    def _wait(self):
        self._timer = self._loop.call_later(self._chance.choice((0.0, 0.0001, 0.001, 0.02)), self._arrive)

    def _arrive(self):
        self._timer = None
        if (until := self._held()) > self._loop.time():
            self._timer = self._loop.call_at(until, self._arrive)
            return
        size = len(self._bytes)
        if self._chance.random() < 0.3:
            size = self._chance.randint(1, size)
        self._hand_over(size)
        if self._bytes and self._timer is None:
            self._wait()

    def _hand_over(self, size):
        data = bytes(self._bytes[:size])
        del self._bytes[:size]
        self._deliver(data)

    def cut(self, *, deliver=True):
        """Some of the bytes that are on their way arrive, often in the middle of a frame; the others do not."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if deliver and (size := self._chance.randint(0, len(self._bytes))):
            self._hand_over(size)
        self._bytes.clear()


class Wire(asyncio.Transport):
    """The worker's end of a connection; an agent that accepts it calls `join`."""

    def __init__(self, loop, protocol):
        super().__init__()
        self._loop, self.protocol = loop, protocol
        self._closing = self._paused = False
        self._high = 0
        self._out = self._in = None
        self._gone = None

    def join(self, chance, received, gone, held):
        """The agent's end: `received(data)` and `gone()` are called; the agent reads nothing while it is held."""
        self._high = chance.choice((64, 1000, 1 << 16))
        self._out, self._in = Pipe(self._loop, chance, received, held), Pipe(self._loop, chance, self._on_received)
        self._gone = gone
        self.protocol.connection_made(self)

    def tell(self, data):
        """The agent sends."""
        if not self._closing:
            self._in.write(data)

    def _on_received(self, data):
        """As a real transport fills the buffers of a `BufferedProtocol`."""
        while data and not self._closing:
            room = self.protocol.get_buffer(-1)
            size = min(len(room), len(data))
            room[:size], data = data[:size], data[size:]
            self.protocol.buffer_updated(size)

    def write(self, data):
        if self._closing:
            return
        self._out.write(data)
        if len(self._out) > self._high and not self._paused:
            self._paused = True
            self.protocol.pause_writing()
            self._loop.call_later(0.003, self._resume)

    def _resume(self):
        if self._paused and not self._closing:
            if len(self._out) > self._high:
                self._loop.call_later(0.003, self._resume)
                return
            self._paused = False
            self.protocol.resume_writing()

    def is_closing(self):
        return self._closing

    def close(self):
        """By the worker."""
        self._in.cut(deliver=False)
        self.lose()

    def lose(self):
        """By the agent, or because it broke: what is on its way may be lost in the middle of a frame."""
        if self._closing:
            return
        self._in.cut()
        self._out.cut()
        self._closing = True
        self._gone()
        self._loop.call_soon(self.protocol.connection_lost, None)

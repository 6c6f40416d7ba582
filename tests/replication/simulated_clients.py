"""Clients of a simulated group: each write is sent until it is answered, often more than once, at any replica."""

import asyncio

from msgspec.structs import replace

from jina.codec.messages import Request
from jina.codec.payloads import BytesPayload
from jina.codec.session_headers import INDEX, SESSION, SessionRef, index_of, numbers
from jina.errors import BadRequest, DeadlineExceeded, SessionExpired, Unavailable

from .model import require
from .simulated_workers import GROUP, Lost


def request_of(text, key, size=0):
    return Request("/add", BytesPayload(b""), {"text": text, "more": "." * size}, key)


class Client:
    """One that writes `count` texts."""

    sizes = (0,) * 15 + (5_000, 50_000)
    gone = False
    """Whether it has dropped a number."""

    def __init__(self, name, group, places, count):
        self.name, self.group, self.places, self.count = name, group, places, count
        self.chance, self.model = group.chance, group.model
        self.at = self.chance.choice(places[: self.chance.randint(1, len(places))])

    async def pause(self, *seconds):
        await asyncio.sleep(self.chance.choice(seconds or (0.0, 0.01, 0.2, 1.0)))

    def texts(self):
        for number in range(self.count):
            yield f"{self.name}-{number}" + ("!" if self.chance.random() < 0.2 else "")

    async def run(self):
        """Some write one text after another, others do not wait."""
        pauses = self.chance.choice(((0.0, 0.0, 0.001, 0.01), (0.0, 0.01, 0.2, 1.0)))
        patient = self.chance.random() < 0.4
        await self.pause()
        async with asyncio.TaskGroup() as tasks:
            for text in self.texts():
                writing = tasks.create_task(self.write(text))
                if patient:
                    await writing
                await self.pause(*pauses)

    async def write(self, text):
        """Sent twice at once sometimes, and once more after the answer."""
        least = self.model.acknowledged
        times = self.chance.choice((1, 1, 1, 2))
        async with asyncio.TaskGroup() as tasks:
            for _ in range(times):
                tasks.create_task(self.sent(text, least))
        if self.chance.random() < 0.2:
            await self.pause()
            await self.sent(text, least)
        if self.chance.random() < 0.1:
            await self.another(text)
        if self.chance.random() < 0.05:
            reply = await self.until_answered(
                text, request_of("too large", f"{text} too large", 200_000), digest=b"large"
            )
            require(isinstance(reply, BadRequest) and reply.message == "refused", "an operation is too large")

    async def sent(self, text, least, key=None):
        """Answered."""
        request = request_of(text, key or text, self.chance.choice(self.sizes))
        reply = await self.until_answered(text, request)
        self.check_reply(text, reply, least)
        return reply

    def check_reply(self, text, reply, least):
        if isinstance(reply, SessionExpired):
            require(self.gone or self.model.forgets, text, "is not answered as its session has expired")
        elif isinstance(reply, BadRequest):
            self.model.answered(text, None, reply.message, least)
        else:
            place = index_of(reply.headers, GROUP)
            self.model.answered(text, place, reply.parameters["position"], least)

    async def until_answered(self, text, request, session=lambda: None, digest=None):
        """Asked at one replica after another."""
        while True:
            try:
                return await self.once(request, digest or text.encode(), session())
            except (BadRequest, SessionExpired) as error:
                return error
            except (Unavailable, DeadlineExceeded, Lost):
                self.at = self.chance.choice((self.at, *self.places))
                await self.pause(0.0, 0.01, 0.05, 0.3)

    async def once(self, request, digest, session):
        self.group.note("sends", request.request_id, self.at.agent.number)
        patience = self.chance.choice((None, None, 0.02, 0.2, 1.0))
        if patience is not None and self.chance.random() < 0.5:
            request = replace(request, deadline=asyncio.get_running_loop().time() + patience)
            patience = None
        return await self.at.call(lambda replica, _: replica.write(request, digest, session), patience)

    async def another(self, text):
        """Another request under the same id, which is refused."""
        reply = await self.until_answered(text, request_of("not this one", text), digest=b"another")
        if not (isinstance(reply, SessionExpired) and self.model.forgets):
            refused = isinstance(reply, BadRequest) and "another request" in reply.message
            require(refused, "the id of", text, "is used again")


class Gathering(Client):
    """Its writes wait at a replica for others, and are proposed together."""

    sizes = (0, 0, 0, 5_000)

    async def once(self, request, digest, session):
        if len(request.parameters["more"]) > max(self.sizes):
            return await super().once(request, digest, session)

        async def write(replica, machine):
            def gather(mark, operation):
                if not machine.held:
                    asyncio.get_running_loop().call_later(self.chance.choice((0.0, 0.01, 0.1)), propose)
                machine.held.append((mark, operation))

            def propose():
                held, machine.held = machine.held, []
                replica.propose(held)

            return await replica.write(request, digest, session, gather)

        return await self.at.call(write, self.chance.choice((None, 1.0)))


class InSession(Client):
    """Numbers its requests, of which several are on their way; each attempt has an id of its own."""

    opened = 0

    async def run(self):
        reply = await self.until_answered("", request_of(f"{self.name}-opens", f"{self.name}-opens"), self._opening)
        self.check_reply(f"{self.name}-opens", reply, 0)
        self.opened = numbers(reply.headers[SESSION])[GROUP]
        self._attempts, self._numbers, self._flying = 0, {}, set()
        await super().run()

    def _opening(self):
        return SessionRef(self.name, 0, 0, 0)

    async def write(self, text):
        self._numbers[text] = len(self._numbers)
        self._flying.add(self._numbers[text])
        await super().write(text)
        self._flying.discard(self._numbers[text])
        if self.chance.random() < 0.1:
            self.gone = True
            await self.pause()
            await self.sent(text, 0)

    async def sent(self, text, least, key=None):
        self._attempts += 1
        key = f"{self.name}-try-{self._attempts}"
        return await super().sent(text, least, key)

    async def until_answered(self, text, request, session=None, digest=None):
        if session is None:
            number = self._numbers[text]

            def session():
                return SessionRef(self.name, self.opened, number, min((number, *self._flying)))

        return await super().until_answered(text, request, session, digest)


class Reader(Client):
    """Reads, in all three ways."""

    seen = 0

    async def run(self):
        for _ in range(self.count):
            await self.pause()
            await self.chance.choice((self.covered, self.covered, self.in_session, self.eventually))()

    async def covered(self):
        while True:
            least = self.model.acknowledged
            try:
                lines, place = await self._read(lambda replica, request: replica.covered(request))
            except (Unavailable, Lost):
                self.at = self.chance.choice(self.places)
                await self.pause(0.01, 0.3)
                continue
            self.model.read(lines, least, "a linearizable read")
            self.model.check_index(lines, place, "a linearizable read")
            self.model.acknowledged = max(self.model.acknowledged, len(lines))
            self.seen = max(self.seen, place)
            return

    async def in_session(self):
        index = self.seen = max(self.seen, self.chance.choice(self.model.places[: self.model.acknowledged] or [0]))
        self.at = self.chance.choice(self.places)
        try:
            lines, place = await self._read(lambda replica, request: replica.seen(request), {INDEX: f"{GROUP}={index}"})
        except (Unavailable, Lost):
            return
        self.model.read(lines, self.model.count(index), "a read of a session")
        self.model.check_index(lines, place, "a read of a session")
        self.seen = max(self.seen, place)

    async def eventually(self):
        if self.at.machine is not None:
            self.model.read(self.at.machine.lines, 0, "an eventual read")
            await self.at.replica.refresh()

    async def _read(self, wait, headers=None):
        async def read(replica, machine):
            await wait(replica, Request("/all", BytesPayload(b""), headers=headers or {}))
            return list(machine.lines), index_of(replica.index_headers, GROUP)

        return await self.at.call(read, self.chance.choice((None, None, 0.5)))


KINDS = {"plain": Client, "gathering": Gathering, "session": InSession, "reader": Reader}

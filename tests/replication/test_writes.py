"""Writes that wait until the log brings them back."""

import asyncio

import msgspec

from jina.codec.messages import Reply
from jina.codec.payloads import BytesPayload
from jina.observe.counters import ConsensusMetrics
from jina.replication.agent_client import ERROR, AgentLink, Reader, frame_head
from jina.replication.replica import Writes


class Agent(asyncio.Transport):
    """Keeps what a replica proposes over one connection."""

    def __init__(self):
        super().__init__()
        self.proposed = []
        self.link = AgentLink(lambda frame: None)
        self.link.connection_made(self)

    def write(self, data):
        self.proposed += Reader().feed(data)

    def refuse(self, ident):
        body = msgspec.json.encode({"code": "unavailable", "text": "no leader"})
        data = frame_head(ERROR, ident, len(body)) + body
        self.link.get_buffer(-1)[: len(data)] = data
        self.link.buffer_updated(len(data))


def test_a_write_that_ends_does_not_silence_one_that_has_its_number_on_the_next_connection():
    """Otherwise the refusal of the other one would be lost, and its caller would wait for ever."""

    async def main():
        agent = Agent()
        writes = Writes("it", lambda: agent.link, lambda: False, ConsensusMetrics())
        first = writes.begin(("a", b""), (b"first",), 60.0)
        agent.link.connection_lost(None)
        agent = Agent()
        second = writes.begin(("b", b""), (b"second",), 60.0)
        writes.applied(("a", b""), Reply(BytesPayload(b"")))
        await first
        agent.refuse(agent.proposed[0].id)
        async with asyncio.timeout(10):
            while len(agent.proposed) < 2:
                await asyncio.sleep(0)
        assert [bytes(frame.body) for frame in agent.proposed] == [b"second", b"second"]
        writes.applied(("b", b""), Reply(BytesPayload(b"")))
        await second

    asyncio.run(main())

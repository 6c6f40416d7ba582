"""A gateway of a user that says what its process is."""

import os

from forkserver_cases import facts, tell

from jina import Gateway


class FactsOfGateway(Gateway):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        tell(self, {**facts(), "mood": os.environ.get("MOOD")})

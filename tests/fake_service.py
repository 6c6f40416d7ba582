"""What the small services of tests have in common."""

from jina.errors import Unavailable


class FakeService:
    """See `jina.net.service.LocalService`; subclasses have `name`, `endpoints`, `call` and `stream`."""

    forwards = False
    up = True
    started = True
    checks = {}
    awaits_endpoints = False
    load = scaling = None

    async def describe(self):
        return self.endpoints

    async def ready(self):
        if not self.up:
            raise Unavailable("not ready")
        return []

    def flush(self, *, on=True):
        return None

    def throttle(self, *, on=True):
        return None

    def freed(self):
        return None

    async def metrics(self, *, openmetrics=True):
        return b"# EOF\n"

    async def close(self):
        return None

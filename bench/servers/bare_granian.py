"""Granian, whose protocol is in Rust, with the same ASGI application as the bare server."""

import sys

from granian import Granian
from granian.constants import Interfaces

if __name__ == "__main__":
    server = Granian(
        "bare_http:app", address="127.0.0.1", port=int(sys.argv[-1]), interface=Interfaces.ASGI, log_enabled=False
    )
    server.serve()

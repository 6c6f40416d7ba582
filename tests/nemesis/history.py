"""What clients did, and what came of it: one line of JSON for each operation."""

import json
import math
import threading
from dataclasses import asdict, dataclass

NEVER = math.inf


@dataclass
class Op:
    """An operation of one client. Times are nanoseconds of a clock that all clients share.

    `kind` is append, read (linearizable, of the list), glance (eventual, of the list), set, swap or get (linearizable,
    of a register), or bound (how far in the log a read has to wait, as an agent says). `returned` is `NEVER` where no
    answer came: it may have happened, at any time or never.
    """

    client: str
    kind: str
    key: str
    value: object
    invoked: float
    returned: float = NEVER
    result: object = None


class History:
    """The operations of all clients, kept in memory and in a file."""

    def __init__(self, path=None):
        self.ops = []
        self._lock = threading.Lock()
        self._path = path

    def begin(self, client, kind, key, value, invoked):
        """Note that an operation began."""
        op = Op(client, kind, key, value, invoked)
        with self._lock:
            self.ops.append(op)
        return op

    def save(self, path):
        """Write it, in the order in which operations began."""
        with open(path, "w") as file:
            for op in sorted(self.ops, key=lambda op: op.invoked):
                result = asdict(op)
                result["returned"] = None if op.returned == NEVER else op.returned
                file.write(json.dumps(result) + "\n")


def load(path):
    """The operations that `save` wrote."""
    with open(path) as file:
        return [_read(json.loads(line)) for line in file]


def _read(result):
    result["returned"] = NEVER if result["returned"] is None else result["returned"]
    return Op(**result)

"""Whether the operations on one register are linearizable (pure): the search of Wing and Gong, with Lowe's memory.

Porcupine decides the same from the outside, see `porcupine/`; this one needs nothing but Python.
"""

from tests.nemesis.history import NEVER

UNKNOWN = object()


def step(state, op):
    """The state after an operation; `UNKNOWN` where it cannot have had its result there."""
    known = op.returned != NEVER
    if op.kind == "set":
        return op.value
    if op.kind == "get":
        return state if not known or op.result == state else UNKNOWN
    expected, value = op.value
    if known and op.result != int(state == expected):
        return UNKNOWN
    return value if state == expected else state


def linearizable(ops, initial=None):
    """Whether there is an order of the operations that fits their results and times."""
    ops = sorted(ops, key=lambda op: op.invoked)
    needed = sum(1 << n for n, op in enumerate(ops) if op.returned != NEVER)
    seen = set()
    work = [(0, initial)]
    while work:
        done, state = work.pop()
        if done & needed == needed:
            return True
        # What may come next began before the first end of those that are not done.
        first_end = NEVER
        candidates = []
        for n, op in enumerate(ops):
            if done >> n & 1:
                continue
            if op.invoked > first_end:
                break
            candidates.append(n)
            first_end = min(first_end, op.returned)
        for n in reversed(candidates):
            if ops[n].invoked > first_end or (after := step(state, ops[n])) is UNKNOWN:
                continue
            config = (done | 1 << n, after)
            if config not in seen:
                seen.add(config)
                work.append(config)
    return False

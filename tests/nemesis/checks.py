"""What a history has to be like: complete for a list that tells places, O(n log n)."""

from collections import Counter

from tests.nemesis.history import NEVER
from tests.nemesis.registers import linearizable
from tests.nemesis.state import link


def check_list(ops, lines):
    """What is wrong with the operations on the list, given what it is in the end; nothing if it is linearizable."""
    places = {line: place for place, line in enumerate(lines)}
    found = [f"applied twice: {line}" for line, count in Counter(lines).items() if count > 1]
    asked = {op.key for op in ops if op.kind == "append"}
    found += [f"not written by any client: {line}" for line in lines if line not in asked]
    chains = [""]
    for line in lines:
        chains.append(link(chains[-1], line))
    ordered = []
    for op in ops:
        if op.kind == "append":
            found += _check_append(op, places)
            if op.key in places:
                ordered.append(((places[op.key], 1, op.invoked), op))
        elif op.kind in {"read", "glance"} and op.returned != NEVER:
            count, chain = op.result["count"], op.result["chain"]
            if count > len(lines) or chains[count] != chain:
                found.append(f"{op.client} read {count} lines that are not the first {count}")
            elif op.kind == "read":
                ordered.append(((count, 0, op.invoked), op))
    return found + check_order(ordered) + check_glances(ops) + check_bounds(ops)


def _check_append(op, places):
    if op.returned == NEVER:
        return []
    if op.key not in places:
        return [f"lost: {op.key}, acknowledged at place {op.result}"]
    if places[op.key] != op.result:
        return [f"{op.key} is at {places[op.key]}, not at {op.result} as was answered"]
    return []


def check_order(ordered):
    """Given the one order that they can have had: nothing may have ended before something ahead of it began."""
    found, latest = [], None
    for _, op in sorted(ordered, key=lambda pair: pair[0]):
        if latest is not None and op.returned < latest.invoked:
            what = "order" if latest.kind == "append" else "stale read"
            found.append(f"{what}: {_name(op)} had ended when {_name(latest)} began, which comes before it")
        if latest is None or op.invoked > latest.invoked:
            latest = op
    return found


def check_bounds(ops):
    """What agents say how far a read has to wait never goes back, whichever is asked."""
    bounds = [op for op in ops if op.kind == "bound" and op.returned != NEVER]
    return check_order([((op.result, 0, op.invoked), op) for op in bounds])


def check_glances(ops):
    """Eventual reads of one process never go back."""
    found, ended = [], {}
    glances = [op for op in ops if op.kind == "glance" and op.returned != NEVER]
    begins = [(op.invoked, True, number) for number, op in enumerate(glances)]
    ends = [(op.returned, False, number) for number, op in enumerate(glances)]
    least = {}
    for _, begin, number in sorted(begins + ends):
        op = glances[number]
        process, count = op.result["process"], op.result["count"]
        if begin:
            least[number] = ended.get(process, 0)
        else:
            if count < least[number]:
                found.append(f"process {process} told of {least[number]} lines, and later of {count}")
            ended[process] = max(ended.get(process, 0), count)
    return found


def check_registers(ops):
    """What is wrong with the registers: the keys whose operations are not linearizable."""
    by_key = {}
    for op in ops:
        if op.kind in {"set", "swap"} or (op.kind == "get" and op.returned != NEVER):
            by_key.setdefault(op.key, []).append(op)
    return [f"register {key} is not linearizable" for key, some in by_key.items() if not linearizable(some)]


def check_replicas(result):
    """That all replicas are in the same state, in memory and on disk."""
    found = []
    for one in result:
        if one["written"] != one["lines"]:
            found.append(
                f"replica {one['replica']} has {len(one['written'])} lines on disk, {len(one['lines'])} in memory"
            )
        for what in ("lines", "registers", "hash"):
            if one[what] != result[0][what]:
                found.append(f"replicas {result[0]['replica']} and {one['replica']} differ: {what}")
    return found


def _name(op):
    return f"{op.kind} {op.key or op.result} of {op.client}"

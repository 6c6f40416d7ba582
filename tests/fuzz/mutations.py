"""Bytes made worse, and JSON: the same for the same seed."""

import json
import os
import random

SEED = int(os.environ.get("JINA_FUZZ_SEED", "20"))
REQUESTS = int(os.environ.get("JINA_FUZZ_REQUESTS", "1200"))
"""All requests of the tier together."""

_INTERESTING = [
    b"\x00", b"\xff", b"\x7f", b"\x80", b"\xff" * 9, b"\x80\x80\x80\x80\x10", b"{", b"}", b'"', b"[", b"\\u0000",
    b"\xed\xa0\x80", b"NaN", b"1e999", b"-0", b"\r\n", b"\r\n\r\n", b":", b"%00", b"0" * 40,
]  # fmt: skip
_VALUES = [
    None, True, 0, -1, 2**31, 2**63, 2**64, 10**400, 1.5, float("nan"), float("inf"), "", "x" * 2000, "\u0000",
    "\ud800", "\u202e", [], {}, [[]], [None], {"": ""}, {"id": None}, {"$ref": "#"}, [1, "a", {}],
]  # fmt: skip


def rng(name):
    """Chance of one test, by its name."""
    return random.Random(f"{SEED} {name}")


def worse(data, chance):
    """The bytes with one to four changes: flipped, cut, doubled, inserted, swapped."""
    data = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randint(0, len(data))
        match chance.randrange(7):
            case 0 if data:
                data[at - 1] ^= 1 << chance.randrange(8)
            case 1:
                data[at:at] = chance.choice(_INTERESTING)
            case 2:
                del data[at : at + chance.randint(1, 20)]
            case 3:
                del data[at:]
            case 4:
                data[at:at] = data[at : at + chance.randint(1, 50)]
            case 5:
                data[at : at + 1] = chance.randbytes(chance.randint(1, 4))
            case _ if len(data) > 1:
                other = chance.randrange(len(data))
                data[at - 1], data[other] = data[other], data[at - 1]
    return bytes(data)


def worse_json(value, chance):
    """JSON text of the value with some parts replaced by others; sometimes no JSON."""

    def changed(one, depth=0):
        if chance.random() < 0.12:
            return chance.choice(_VALUES)
        if isinstance(one, dict):
            fields = {name: changed(item, depth + 1) for name, item in one.items() if chance.random() > 0.05}
            if chance.random() < 0.1:
                fields[chance.choice(["", "id", "data", "header", "parameters", "__class__", "x" * 100])] = changed(1)
            return fields
        if isinstance(one, list):
            return [changed(item, depth + 1) for item in one for _ in range(chance.choice([0, 1, 1, 1, 2]))]
        return one

    if chance.random() < 0.02:
        deep = chance.choice(["[" * 60_000, '{"a":' * 60_000, "[" * 300 + "]" * 300])
        value = {**value, chance.choice([*value]): "DEEP"} if isinstance(value, dict) else [*value, "DEEP"]
        return json.dumps(value).replace('"DEEP"', deep).encode()
    text = json.dumps(changed(value)).encode("utf-8", "replace")
    return worse(text, chance) if chance.random() < 0.2 else text

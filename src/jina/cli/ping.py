"""`jina ping`: see whether a service answers, from the outside."""

from __future__ import annotations

import argparse
import sys
import time

from jina.errors import JinaError, UsageError

TARGETS = ("executor", "deployment", "flow", "gateway")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whom to ask, how often, how long to wait."""
    parser.add_argument(
        "words",
        nargs="+",
        metavar="[executor|deployment|flow|gateway] HOST",
        help="such as executor grpc://127.0.0.1:8080",
    )
    parser.add_argument(
        "--timeout", type=float, default=3000, help="milliseconds to wait for each answer [default: 3000]"
    )
    parser.add_argument("--attempts", type=int, default=1, help="how often to ask, a second apart [default: 1]")
    parser.add_argument("--api-key", default=None, help="key to show, where the service asks for one")
    parser.add_argument(
        "--min-successful-attempts", type=int, default=1, help="answers needed for exit code 0 [default: 1]"
    )


def run(options: argparse.Namespace) -> int:
    """Ask; 0 if enough answers came, 1 otherwise."""
    *target, host = options.words
    if len(target) > 1 or (target and target[0] not in TARGETS):
        raise UsageError(f"ping: {' '.join(target)!r} is not one of {', '.join(TARGETS)}")
    if options.attempts < 1 or options.timeout <= 0:
        raise UsageError("ping: --attempts must be at least 1 and --timeout above 0")
    answered = 0
    for attempt in range(1, options.attempts + 1):
        started = time.monotonic()
        if failure := _ask(host, options.timeout / 1000, options.api_key):
            print(f"{host}: no answer ({attempt}/{options.attempts}): {failure}", file=sys.stderr)
        else:
            answered += 1
            took = (time.monotonic() - started) * 1000
            print(f"{host}: ready in {took:.1f} ms ({attempt}/{options.attempts})", file=sys.stderr)
        if answered >= options.min_successful_attempts:
            return 0
        if attempt < options.attempts:
            time.sleep(1)
    return 1


def _ask(host: str, timeout: float, key: str | None) -> str:
    """Empty if the service is ready, else why not."""
    from jina.client import Client

    try:
        with Client(host=host if "://" in host else f"grpc://{host}", api_key=key) as client:
            return "" if client.is_flow_ready(timeout=timeout) else "not ready"
    except JinaError as error:
        return error.message

"""`jina status`: the services of this user on this machine, with their processes; or what one says at its address."""

from __future__ import annotations

import argparse
import sys

from jina.errors import NotSupportedError, UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which ones, and in which form."""
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="names of Flows and Deployments [default: all], or addresses such as grpc://host:51000",
    )
    parser.add_argument("--api-key", default="", help="key to show at an address, to be told its version")
    parser.add_argument("--json", action="store_true", help="print a JSON array instead of text")


def run(options: argparse.Namespace) -> int:
    """Ask and print; 0 if all of them are ready, 1 if one is not or there is none."""
    addresses = [name for name in options.names if "://" in name]
    if addresses:
        if len(addresses) < len(options.names):
            raise UsageError("status: give names, or addresses, not both")
        return _elsewhere(addresses, options)
    if sys.platform != "linux":
        raise NotSupportedError(
            "jina status finds the services of a machine on Linux only",
            help="ask by address: jina status grpc://localhost:51000",
        )
    import msgspec

    from jina.launch.status import services

    found = services()
    if options.names:
        found = [one for one in found if one.name in options.names]
    missing = set(options.names) - {one.name for one in found}
    if options.json:
        print(msgspec.json.encode(found).decode())
    else:
        for one in found:
            print(one)
    if missing or not found:
        print(f"no service {', '.join(sorted(missing)) or 'of yours'} runs on this machine", file=sys.stderr)
        return 1
    return 0 if all(one.state == "ready" for one in found) else 1


def _elsewhere(addresses: list[str], options: argparse.Namespace) -> int:
    """Ask services by their addresses; 0 if all of them are ready."""
    import dataclasses
    import json

    from jina.transport.remote_status import status_at

    found = [status_at(address, key=options.api_key) for address in addresses]
    if options.json:
        print(json.dumps([dataclasses.asdict(one) for one in found]))
    else:
        for one in found:
            print(one)
    return 0 if all(one.state == "ready" for one in found) else 1

#!/bin/sh
# Makes what `make test-observe` talks to: Prometheus with promtool (Debian's packages) and, in .cache/env-observe,
# rotel (PyPI), a collector of OpenTelemetry data. Does nothing where they are there already.
set -eu
cd "$(dirname "$0")/.."

env=.cache/env-observe
packages='rotel==0.0.1a15'

if ! command -v prometheus >/dev/null || ! command -v promtool >/dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends prometheus >/dev/null
fi
if [ "$(cat "$env/.installed" 2>/dev/null || true)" != "$packages" ]; then
    rm -rf "$env"
    .venv/bin/uv venv -q --python .venv/bin/python "$env"
    # shellcheck disable=SC2086 # one word a package
    .venv/bin/uv pip install -q --prerelease allow --python "$env/bin/python" $packages
    printf '%s' "$packages" >"$env/.installed"
fi

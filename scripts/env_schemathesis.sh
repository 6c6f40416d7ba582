#!/bin/sh
# Makes .cache/env-schemathesis: what makes requests of an OpenAPI document. Does nothing when it is there already.
set -eu
cd "$(dirname "$0")/.."

env=.cache/env-schemathesis
packages='schemathesis==4.32.5'
stamp=$env/.installed

if [ "$(cat "$stamp" 2>/dev/null || true)" = "$packages" ]; then
    exit 0
fi
rm -rf "$env"
.venv/bin/uv venv -q --python .venv/bin/python "$env"
# shellcheck disable=SC2086 # one word a package
.venv/bin/uv pip install -q --python "$env/bin/python" $packages
printf '%s' "$packages" >"$stamp"

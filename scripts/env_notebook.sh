#!/bin/sh
# Makes .cache/env-notebook: what executes notebooks and writes them as HTML, for tests/notebook. Does nothing where it is
# there already. The kernel is that of .venv.
set -eu
cd "$(dirname "$0")/.."

env=.cache/env-notebook
packages='nbclient==0.10.2 nbformat==5.10.4 nbconvert==7.16.6'
if [ "$(cat "$env/.installed" 2>/dev/null || true)" = "$packages" ]; then
    exit 0
fi
rm -rf "$env"
.venv/bin/uv venv -q --python .venv/bin/python "$env"
# shellcheck disable=SC2086 # one word a package
.venv/bin/uv pip install -q --python "$env/bin/python" $packages
printf '%s' "$packages" >"$env/.installed"

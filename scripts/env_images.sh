#!/bin/sh
# What the tests of images and registries start, from Debian, as far as it is not here: an engine, a registry, and other
# programs that read images. Tests skip what cannot be installed, and say so.
set -eu

wanted=
for program in dockerd:docker.io docker-registry:docker-registry skopeo:skopeo umoci:umoci podman:podman git:git openssl:openssl \
    sshd:openssh-server ssh:openssh-client; do
    command -v "${program%%:*}" >/dev/null || wanted="$wanted ${program#*:}"
done
[ -n "$wanted" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    printf 'not here, and not installed without root and apt-get:%s\n' "$wanted" >&2
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -o DPkg::Lock::Timeout=300 update -qq || true
for package in $wanted; do
    # Services of these packages are not started: the tests start what they need, each in a folder of its own.
    RUNLEVEL=1 apt-get -o DPkg::Lock::Timeout=300 install -qy --no-install-recommends "$package" >/dev/null </dev/null || printf 'no %s here\n' "$package" >&2
done

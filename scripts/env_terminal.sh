#!/bin/sh
# Installs tmux, by which tests look at terminals (Debian, as root). Does nothing where it is there already.
set -eu
command -v tmux > /dev/null && exit 0
apt-get install -q -y --no-install-recommends tmux || { apt-get update -q && apt-get install -q -y --no-install-recommends tmux; }

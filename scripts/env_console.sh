#!/bin/sh
# Makes .cache/env-console, with Playwright, for the tests of the console, and installs Debian's Chromium where there is
# no browser and this user may. Does nothing when both are there already.
set -eu
cd "$(dirname "$0")/.."

env=.cache/env-console
packages='playwright==1.65.2'
stamp=$env/.installed

if ! command -v chromium >/dev/null; then
    apt-get update -q
    apt-get install -q -y --no-install-recommends chromium
fi
if [ "$(cat "$stamp" 2>/dev/null || true)" = "$packages" ]; then
    exit 0
fi
rm -rf "$env"
.venv/bin/uv venv -q --python .venv/bin/python "$env"
# shellcheck disable=SC2086 # one word a package
.venv/bin/uv pip install -q --python "$env/bin/python" $packages
"$env/bin/python" -c 'import playwright.sync_api'
printf '%s' "$packages" >"$stamp"

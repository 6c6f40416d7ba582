#!/usr/bin/env bash
# Known vulnerabilities in what the agent calls (https://go.dev/doc/security/vuln/). Where the database or the tool
# cannot be reached, that is said and nothing fails; what is found fails.
set -euo pipefail
cd "$(dirname "$0")/../consensus"

# The tool takes a minute to build, and can do nothing without the database.
database=https://vuln.go.dev/index/db.json
if ! told=$(../.venv/bin/python -c "import urllib.request as u; u.urlopen('$database', timeout=10)" 2>&1); then
    printf 'govulncheck: not done, its database cannot be had: %s\n' "$(tail -n 1 <<< "$told")"
    exit
fi
if said="$(go run golang.org/x/vuln/cmd/govulncheck@v1.1.4 ./... 2>&1)"; then
    printf '%s\n' "$said"
elif grep -qE 'fetching vulnerabilities|dial tcp|no such host|module lookup disabled|requires go' <<< "$said"; then
    printf 'govulncheck: not done, its database or the tool cannot be had: %s\n' "$(tail -n 2 <<< "$said" | head -n 1)"
else
    printf '%s\n' "$said"
    exit 1
fi

#!/usr/bin/env bash
# The agent's own tests: vet, the tests with the race detector, fuzzing, known vulnerabilities. The environment says
# where Go's caches are.
set -euo pipefail
cd "$(dirname "$0")/../consensus"
scratch=$(mktemp -d)
others=
clean_up() {
    if [ -n "$others" ]; then
        kill "$others" 2> /dev/null || true
        wait "$others" || true
    fi
    rm -rf "$scratch"
}
trap clean_up EXIT

# Built as `make agent` does it, so that what it compiled serves here too.
plain() {
    CGO_ENABLED=0 nice -n 19 go "$1" -trimpath "${@:2}"
}

# What needs no quiet machine; the tests with the race detector mostly wait meanwhile, and go first.
beside() {
    plain vet ./...
    plain vet -tags faults ./...
    plain test -c -fuzz . -o "$scratch/fuzz" .
    nice -n 19 ../scripts/govulncheck.sh
}

# The tests of elections have timeouts, and the machine may have other work: what failed runs once more, alone. Both
# runs are printed; what fails twice fails here, and at once what no other work brings about.
tests() {
    local said=$scratch/said failed
    if "$scratch/race" -test.timeout 10m > "$said" 2>&1; then
        tail -n 1 "$said"
        return
    fi
    cat "$said"
    finish
    failed=$(sed -n 's/^--- FAIL: \([^ ]*\).*/\1/p' "$said" | sort -u | paste -sd '|')
    if [ -z "$failed" ] || grep -qE '^WARNING: DATA RACE|^panic:|^fatal error:' "$said"; then
        return 1
    fi
    printf '\nonce more: %s\n' "$failed"
    "$scratch/race" -test.timeout 10m -test.v -test.run "^($failed)\$"
}

# Wait for what went on beside, and tell what it said.
finish() {
    local status=0 job=$others
    others=
    if [ -n "$job" ]; then
        wait "$job" || status=$?
        cat "$scratch/others"
    fi
    return "$status"
}

# Go now and then takes the end of the time for a failure, without an input that fails: that is once more.
fuzz() {
    local said=$scratch/said
    for _ in 1 2 3; do
        if nice "$scratch/fuzz" -test.run XXX -test.fuzz "$1" -test.fuzztime 10s \
            -test.fuzzcachedir "$(go env GOCACHE)/fuzz/jina-raft" 2>&1 | tee "$said"; then
            return
        fi
        if grep -q 'Failing input' "$said" || ! grep -q '^ *context deadline exceeded$' "$said"; then
            return 1
        fi
    done
    return 1
}

CGO_ENABLED=1 nice go test -race -c -o "$scratch/race" .
(set -e; beside) > "$scratch/others" 2>&1 &
others=$!
tests
finish
fuzz FuzzFrames
fuzz FuzzEntries
fuzz FuzzOperations

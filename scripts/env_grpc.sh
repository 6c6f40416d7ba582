#!/bin/sh
# Builds foreign clients of HTTP/2 and gRPC from their Go modules into .cache/env-grpc. Does nothing where they are there.
set -eu
cd "$(dirname "$0")/.."

out=$PWD/.cache/env-grpc
mkdir -p "$out"
cd tests/http2/go
test -x "$out/grpcurl" || nice go build -o "$out/grpcurl" github.com/fullstorydev/grpcurl/cmd/grpcurl
test -x "$out/h2spec" || nice go build -o "$out/h2spec" github.com/summerwind/h2spec/cmd/h2spec
test -x "$out/interop_client" || nice go build -o "$out/interop_client" google.golang.org/grpc/interop/client

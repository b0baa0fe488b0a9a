#!/bin/sh
# Writes the Go form of inference.proto to the folder $1, by default this one. protoc is
# Debian's protobuf-compiler; its plugins are the versions that go.mod has.
set -eu
cd "$(dirname "$0")"
plugins=$(mktemp -d)
trap 'rm -rf "$plugins"' EXIT
go build -o "$plugins/" google.golang.org/protobuf/cmd/protoc-gen-go connectrpc.com/connect/cmd/protoc-gen-connect-go
PATH="$plugins:$PATH" protoc --proto_path=. \
	--go_out="${1:-.}" --go_opt=paths=source_relative \
	--connect-go_out="${1:-.}" --connect-go_opt=paths=source_relative,simple \
	inference.proto

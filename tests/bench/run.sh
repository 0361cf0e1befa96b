#!/bin/sh
# Measures the host beside two servers that do next to nothing; Markdown on stdout, what is going on on stderr.
# Takes about five minutes; `--rounds`, `--seconds` and `--warm-up-seconds` are handed on.
set -eu
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-target}

cargo build --release --locked -p host -p good -p bench >&2

plugins=$(mktemp -d)
trap 'rm -rf "$plugins"' EXIT
trap 'exit 130' INT TERM
cp "$target/release/libgood.so" "$plugins/"

"$target/release/bench" compare --host "$target/release/host" --plugins "$plugins" "$@"

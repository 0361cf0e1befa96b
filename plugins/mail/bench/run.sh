#!/usr/bin/env bash
# Measures the mail plugin beside its peers, all of them sending to the same SMTP sink on this machine. Markdown on
# stdout, what is going on on stderr; `--rounds`, `--messages` and `--text-len` are handed on.
#
# It takes what it needs: Postfix's smtp-sink and smtp-source by apt (without starting its daemon), nodemailer by npm into
# the folder of tools (tests/setup.sh).
set -euo pipefail
cd "$(dirname "$0")/../../.."

readonly nodemailer=10.6.0
readonly tools=$(realpath -m "${TASK_SERVER_TOOLS:-target/tools}")
readonly target=${CARGO_TARGET_DIR:-target}

say() { printf 'bench: %s\n' "$*" >&2; }

# Debian keeps them beside its daemons.
export PATH=$PATH:/usr/sbin
if ! command -v smtp-sink >/dev/null; then
    if [[ $EUID -ne 0 ]] || ! command -v apt-get >/dev/null; then
        say "smtp-sink is missing; on Debian: sudo apt-get install --no-install-recommends postfix"
        exit 1
    fi
    say "installing postfix"
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends postfix >/dev/null
fi
if [[ ! -d $tools/node_modules/nodemailer ]] ||
    ! grep -q "\"version\": \"$nodemailer\"" "$tools/node_modules/nodemailer/package.json"; then
    say "installing nodemailer $nodemailer"
    mkdir -p "$tools"
    npm install --silent --no-save --prefix "$tools" "nodemailer@$nodemailer" >&2
fi

cargo build --release --locked -p host -p mail >&2
cargo build --release --locked -p mail --example load >&2
cargo build --release --locked --manifest-path plugins/mail/bench/lettre/Cargo.toml --target-dir "$target/lettre-load" >&2
export NODE_PATH=$tools/node_modules
exec python3 plugins/mail/bench/compare.py --built "$target/release" \
    --lettre "$target/lettre-load/release/lettre-load" "$@"

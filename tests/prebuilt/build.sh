#!/bin/sh
# Builds libold.so again, from the first plugin-api. Needs the repository's history; the target is x86_64 Linux.
#
# The library that is checked in is the point: it must go on loading as it is. Build it again only to see that this
# recipe still holds, and compare what the two answer.
set -eu
cd "$(dirname "$0")"
first=f47dd7636420f9fe56e61b04e5e9e2d2f311c003
output=${1:-libold.so}
case $output in /*) ;; *) output=$PWD/$output ;; esac

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM
git -C "$(git rev-parse --show-toplevel)" archive "$first" plugin-api Cargo.toml Cargo.lock rust-toolchain.toml | tar -x -C "$folder"
cp -R old "$folder/old"
cd "$folder"

# The workspace of then, with nothing in it but plugin-api and the fixture.
awk '/^members = \[/ { print "members = [\"plugin-api\", \"plugin-api/macros\", \"old\"]"; skip = 1 } !skip { print } /^\]/ { skip = 0 }' \
    Cargo.toml > Cargo.toml.new
mv Cargo.toml.new Cargo.toml
cat >> Cargo.toml <<'TOML'
debug = false
strip = "symbols"
opt-level = "s"
lto = true
codegen-units = 1
TOML
sed -i '/^debug = "line-tables-only"$/d' Cargo.toml

RUSTFLAGS="--remap-path-prefix=$folder=. --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo" \
    cargo build --release --target-dir "$folder/target" -p old
cp "$folder/target/release/libold.so" "$output"
ls -l "$output"

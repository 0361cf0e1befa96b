#!/usr/bin/env bash
# Fuzzes what reads bytes that nobody has checked, each target for so many seconds, one after the other on one processor:
#
#   tests/fuzz.sh SECONDS [TARGET…]
#
# What a target finds is kept in the target folder beside what it has learnt, and its path is the last thing it says. The
# compiler is the one of rust-toolchain.toml, told to allow what else only a nightly does; versions are those of the
# product's own Cargo.lock, so that what is fuzzed is what is shipped. Clang compiles the libraries in C, so that these
# are watched and learnt from as the Rust code is.
#
# Fuzzers of images begin with the files that `make images` has fetched, where it has.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly tools=$(realpath -m "${TASK_SERVER_TOOLS:-target/tools}")
target_dir=$(realpath -m "${CARGO_TARGET_DIR:-target}")
readonly target_dir=$target_dir/fuzz
readonly triple=$(rustc -vV | sed -n 's/^host: //p')
readonly built=$target_dir/$triple/release
readonly seconds=${1:?how many seconds for each target}
shift
targets=("$@")
((${#targets[@]})) || mapfile -t targets < <(ls tests/fuzz/targets | sed -n 's/\.rs$//p' | grep -vx seeds)

# What takes images takes longer ones, and as much memory as it is told to.
options() {
    case $1 in
    *_files) echo -max_len=65536 -rss_limit_mb=2048 -timeout=60 ;;
    *_profiles) echo -max_len=16384 -rss_limit_mb=2048 -timeout=60 ;;
    *) echo -max_len=4096 -rss_limit_mb=1024 -timeout=10 ;;
    esac
}

# The plugin whose code it is, where it is one's.
features() {
    case $1 in
    addresses | smtp_*) echo --features=mail ;;
    report_*) echo --features=report ;;
    avif_* | gif_* | image_* | jpeg_* | png_* | webp_*) echo --features=resize ;;
    esac
}

tests/setup.sh fuzz
export ASAN_OPTIONS=quarantine_size_mb=64
cp Cargo.lock tests/fuzz/Cargo.lock
for target in seeds "${targets[@]}"; do
    # shellcheck disable=SC2046 # options are words
    env RUSTC_BOOTSTRAP=1 "CC_${triple//-/_}=$PWD/tests/fuzz/clang" "CXX_${triple//-/_}=clang++" \
        "$tools/cargo-fuzz/bin/cargo-fuzz" build --fuzz-dir tests/fuzz --target-dir "$target_dir" $(features "$target") "$target"
done
# The notes of real libraries; a clone has these where `make plugins` or the tests have built them.
cargo build --release --locked -p good -p evil -p versioned
ASAN_OPTIONS=detect_leaks=0 "$built/seeds" "$target_dir/seeds" docs/PROTOCOL.md \
    "${target_dir%/fuzz}"/release/lib{good,evil,versioned}.so

images=${target_dir%/fuzz}/images
if [[ -d $images && -x $tools/images-venv/bin/python ]]; then
    "$tools/images-venv/bin/python" tests/images/seeds.py "$images" "$target_dir/seeds"
fi

# Whatever one finds, the others have their turn.
status=0
for target in "${targets[@]}"; do
    printf '\n== %s, %s s\n' "$target" "$seconds"
    mkdir -p "$target_dir/corpus/$target" "$target_dir/found/$target" "$target_dir/seeds/$target"
    # shellcheck disable=SC2046 # options are words
    RUST_BACKTRACE=0 "$built/$target" -max_total_time="$seconds" $(options "$target") -print_final_stats=1 -verbosity=1 \
        -artifact_prefix="$target_dir/found/$target/" \
        "$target_dir/corpus/$target" "$target_dir/seeds/$target" 2>&1 | grep -vE '^#|NEW_FUNC' || status=1
done
exit $status

#!/usr/bin/env bash
# Measures the report plugin, through a host, beside pandas, XlsxWriter and ReportLab doing the same work. Markdown on
# stdout, what is going on on stderr; `--rounds`, `--group-rows`, `--xlsx-rows` and `--pdf-rows` are handed on.
#
# The peers come from the virtual environment of the tests (tests/setup.sh), or one of its own if they aren't there.
set -euo pipefail
cd "$(dirname "$0")/../../.."

readonly tools=$(realpath -m "${TASK_SERVER_TOOLS:-target/tools}")
readonly target=${CARGO_TARGET_DIR:-target}

say() { printf 'bench: %s\n' "$*" >&2; }

has_peers() { "$1" -c 'import pandas, reportlab, xlsxwriter' 2>/dev/null; }

python=$tools/venv/bin/python
if ! has_peers "$python"; then
    python=$tools/bench-venv/bin/python
    if ! has_peers "$python"; then
        say "installing pandas, XlsxWriter and ReportLab into $tools/bench-venv"
        for base in python3 /usr/bin/python3; do
            "$base" -c 'import ensurepip, venv' 2>/dev/null && break
        done
        "$base" -m venv "$tools/bench-venv"
        "$python" -m pip install --quiet --disable-pip-version-check pandas XlsxWriter reportlab >&2
    fi
fi
command -v pdfinfo >/dev/null || { say "pdfinfo is missing: install poppler-utils"; exit 1; }

if [[ -z ${BENCH_BUILT:-} ]]; then
    cargo build --release --locked -p host -p report >&2
fi
exec "$python" plugins/report/bench/compare.py --built "${BENCH_BUILT:-$target/release}" --data "$target/bench-report" "$@"

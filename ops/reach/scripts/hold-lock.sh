#!/bin/bash
# Holds the lock in the folder $1 for as long as its standard input says a line every $2 seconds;
# $3 says who holds it. Prints `locked`, or `held by` with what the holder said.
install -d -m 0711 "$1"
umask 077
exec 9>>"$1/lock"
if ! flock -n 9; then
    echo "held by $(cat "$1/holder")"
    exit 0
fi
printf '%s\n' "$3" >"$1/holder"
echo locked
while read -r -t "$2" _; do :; done

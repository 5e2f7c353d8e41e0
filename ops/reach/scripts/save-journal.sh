#!/bin/sh
# Writes standard input, $4 bytes, to the file $3 in the folder $1, and makes the run's folder $2.
# Written beside and moved: a reader sees the whole journal or the one before, also after a crash.
# The length is sent along, for a connection that is cut ends the input like one that was sent whole.
# That there is a run is no secret: what restarts the receiver looks for it. What it says is.
set -e
install -d -m 0711 "$1"
umask 077
mkdir -p "$2"
cat >"$3.new"
test "$(wc -c <"$3.new")" -eq "$4"
sync "$3.new"
mv "$3.new" "$3"
sync "$1"

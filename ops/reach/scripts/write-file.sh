#!/bin/sh
# Writes standard input to the file $1 and gives it the mode $2, if there is one.
set -e
cat >"$1"
[ -z "$2" ] || chmod "$2" "$1"

#!/bin/sh
# Runs "$@" with its output in a file and prints that at its end: what it leaves running would
# inherit a pipe, and keep it open.
out=$(mktemp)
"$@" >"$out" 2>&1
code=$?
cat "$out"
rm "$out"
exit $code

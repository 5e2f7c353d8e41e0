#!/bin/sh
# Copies the file $2 from PostgreSQL's machine at the address $1 to $3, whole or not at all.
if ssh -q "postgres@$1" cat "$2" >"$3.tmp" && mv "$3.tmp" "$3"; then
    exit 0
fi
rm -f "$3.tmp"
exit 1

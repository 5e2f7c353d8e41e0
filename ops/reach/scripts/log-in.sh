#!/bin/bash
# Logs in at the host or socket $1, port $2, as the user $3, into the database $4, as any client
# does: by password. The password is never an argument or a variable: libpq reads it from a file in
# memory that only postgres can read, gone a moment later. Standard input is a line of a password
# file.
umask 077
file=$(mktemp -p /run/postgresql) && trap 'rm -f "$file"' EXIT
cat >"$file"
PGPASSFILE=$file psql -X -w -A -t -q -h "$1" -p "$2" -U "$3" -d "$4" -c 'SELECT 1'

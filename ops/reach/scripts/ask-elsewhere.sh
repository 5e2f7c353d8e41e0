#!/bin/bash
# Asks another PostgreSQL server: psql with the connection string $1. Standard input is a line of a
# password file, which ends before the SQL begins: bash reads no further than that from a pipe. The
# password is never an argument of a program: libpq reads it from a file in memory that only the
# user can read, and that is removed at the end, also when the connection to this machine breaks.
set -e
umask 077
file=$(mktemp -p /run/postgresql)
trap 'rm -f "$file"' EXIT
IFS= read -r line
printf '%s\n' "$line" >"$file"
PGPASSFILE=$file psql -X -w -A -t -q -v ON_ERROR_STOP=1 -d "$1"

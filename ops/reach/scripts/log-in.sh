#!/bin/bash
# Logs in to PostgreSQL as the user $1, into the database $2, as any client's: by password over the
# socket. The password is never an argument or a variable: libpq reads it from a file in memory
# that only postgres can read, gone a moment later. Standard input is a line of a password file.
umask 077
file=$(mktemp -p /run/postgresql) && trap 'rm -f "$file"' EXIT
cat >"$file"
PGPASSFILE=$file psql -X -w -A -t -q -h /run/postgresql -U "$1" -d "$2" -c 'SELECT 1'

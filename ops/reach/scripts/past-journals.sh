#!/bin/sh
# Prints the journals of all runs in the folder $1 that are over, a line each.
for file in "$1"/*/journal.json; do
    [ -e "$file" ] || continue
    tr -d '\n' <"$file"
    echo
done

#!/bin/sh
# Moves what was received of other timelines than $3, and is not archived yet, from the folder $1 to
# the folder $2. A complete segment, too: the receiver would go on behind it, on a timeline that the
# server may have no history of.
mkdir -p "$2"
for file in "$1"/*; do
    name=$(basename "$file")
    case $name in
    "$3"* | *.history | '*') ;;
    *) mv "$file" "$2/$name" ;;
    esac
done

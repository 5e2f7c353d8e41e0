#!/bin/sh
# Moves what was being received of other timelines than $3 from the folder $1 to the folder $2.
# A segment that is complete on disk but not archived may stand beside the partial one.
mkdir -p "$2"
for file in "$1"/*.partial; do
    name=$(basename "$file")
    case $name in
    "$3"* | '*'*) ;;
    *) mv "$file" "$2/$name" ;;
    esac
done

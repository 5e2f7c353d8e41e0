#!/bin/sh
# Moves what take-tail.sh put into the folder $1 to the folder $2, as segments: received whole but
# for their unwritten end, which is zeros, the partial ones end their timeline.
[ -d "$1" ] || exit 0
for file in "$1"/*; do
    [ -s "$file" ] || continue
    mv "$file" "$2/$(basename "$file" .partial)"
done

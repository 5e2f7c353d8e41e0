#!/bin/sh
# Moves a data directory from $1 to $3 and its tablespaces, where it has any, from $2 to $4. Can be
# repeated: the data directory goes last.
set -e
if [ -d "$2" ] && [ ! -e "$4" ]; then mv "$2" "$4"; fi
if [ ! -e "$3" ]; then mv "$1" "$3"; fi

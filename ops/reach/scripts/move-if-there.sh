#!/bin/sh
# Moves the file $1 to $2, unless that was done before.
if [ -e "$1" ]; then mv "$1" "$2"; fi

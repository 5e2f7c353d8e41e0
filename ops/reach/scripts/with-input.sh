#!/bin/sh
# Runs the rest of its words with the file $1 as standard input. In one line, for it is part of a
# unit.
file=$1; shift; exec "$@" <"$file"

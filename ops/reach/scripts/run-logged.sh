#!/bin/sh
# Runs the rest of its words with the output in the file $1, then puts the exit code into $1.status:
# a transient unit that has ended is forgotten by systemd. In one line, for it is part of a unit.
log=$1; shift; "$@" >"$log" 2>&1; echo $? >"$log.new"; mv "$log.new" "$log.status"

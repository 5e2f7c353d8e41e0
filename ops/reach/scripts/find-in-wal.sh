#!/bin/sh
# Says whether the text $3 is in the WAL segment $2 as Barman has it for the server $1: 0 or 1.
barman get-wal "$1" "$2" | grep -a -c -F -- "$3"

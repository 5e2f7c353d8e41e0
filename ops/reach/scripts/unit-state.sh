#!/bin/sh
# Prints systemd's word for the unit $2 while it runs, then the exit code that run-logged.sh left
# beside the log $1. The unit is asked first: once it has ended, its file is there. The other way
# round work that ends between the two looks can be taken for work that was killed.
state=$(systemctl is-active "$2")
case $state in
active | activating | deactivating) echo "$state" ;;
*) cat "$1.status" 2>/dev/null || echo "$state" ;;
esac

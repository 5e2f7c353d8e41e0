#!/bin/sh
# Prints the path of the last file in the last of the folders in $1, by their names.
for folder in "$1"/*/; do :; done
for file in "$folder"*; do :; done
echo "$file"

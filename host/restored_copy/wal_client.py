"""The restore_command of a copy: asks the feed outside its confinement for one file.

usage: wal_client.py SOCKET FOLDER NAME DESTINATION. Ends as host/domain/wal_store.py says.
"""

import os
import socket
import sys

# No file, and no telling that the WAL ends: PostgreSQL stops at more than 125.
NOBODY_ANSWERS = 255


def main(path: str, folder: str, name: str, destination: str) -> int:
    try:
        with socket.socket(socket.AF_UNIX) as feed:
            feed.connect(path)
            feed.sendall(f"{name}\n".encode())
            answer = feed.makefile().readline()
    except OSError:
        return NOBODY_ANSWERS
    if answer != "0\n":
        return int(answer) if answer else NOBODY_ANSWERS
    os.replace(f"{folder}/{name}", destination)  # noqa: PTH105 - starts once for each segment
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

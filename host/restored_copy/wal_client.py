"""The restore_command of a copy: asks the feed outside its confinement for one file.

usage: wal_client.py SOCKET FOLDER NAME DESTINATION. Ends as host/domain/wal_store.py says.

It starts once for each segment, and PostgreSQL waits for it: what the socket module imports takes
longer than all the rest.
"""

import _socket
import os
import sys

# No file, and no telling that the WAL ends: PostgreSQL stops at more than 125.
NOBODY_ANSWERS = 255


def main(path: str, folder: str, name: str, destination: str) -> int:
    feed, answer = _socket.socket(_socket.AF_UNIX), b""
    try:
        feed.connect(path)
        feed.sendall(f"{name}\n".encode())
        while piece := feed.recv(16):
            answer += piece
    except OSError:
        return NOBODY_ANSWERS
    if not answer.endswith(b"\n"):
        return NOBODY_ANSWERS
    if answer != b"0\n":
        return int(answer)
    os.replace(f"{folder}/{name}", destination)  # noqa: PTH105 - nor pathlib
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

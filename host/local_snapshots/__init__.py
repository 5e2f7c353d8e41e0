"""Local snapshots: clones of the data directory on its own disk, from which a recovery or a clone
of the server can begin. None of them is a backup: the disk that has them is the server's."""

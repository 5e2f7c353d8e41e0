"""Whether a packed backup is as PostgreSQL sent it. Runs as the barman user; prints JSON: what is
wrong with it, a list of sentences."""

import json
from pathlib import Path

from host.backup_verify import packed_files
from host.domain import backup_info


def main(server: str, backup: str, contents: bool) -> None:
    """`server` is Barman's directory of one server. Without `contents` only what can be seen from
    outside."""
    fields = backup_info.read(Path(server))[backup]
    data = Path(server, "base", backup, "data")
    if contents:
        wrong = packed_files.wrong(data, fields, lambda: None)
    else:
        wrong = packed_files.wrong_outside(data, fields)
    print(json.dumps(wrong))

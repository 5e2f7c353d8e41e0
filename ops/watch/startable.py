"""Whether the running server could be started again, with what was set since it was started."""

from ops.reach import postgres, remote_python
from ops.reach.ssh import Site

# The settings of a server of any size are read, and its shared memory is asked for.
TIMEOUT_S = 300
REMEDY = (
    "ALTER SYSTEM RESET that setting, or mend it in its file (SELECT * FROM pg_file_settings), "
    "then the same again"
)
_PENDING = "SELECT count(*) FROM pg_file_settings WHERE error IS NOT NULL"


def obstacle(site: Site) -> str | None:
    """Why not, in PostgreSQL's words; None where it could, or where nothing was set since."""
    machine, outputs = site.postgres, site.outputs.postgres
    if postgres.query(machine, _PENDING) == "0":
        return None
    version = outputs.version.split(".")[0]
    config = f"/etc/postgresql/{version}/main/postgresql.conf"
    found = remote_python.call(
        machine,
        "host.restored_copy.trial",
        [version, config, outputs.data_directory],
        timeout_s=TIMEOUT_S,
    )
    return found["failed"]

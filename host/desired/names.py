"""Names and places that both machines, and whoever connects to them, agree on."""

from host.domain import processes

OPERATOR = "dbadmin"
# Barman knows one server; its name and slot as in Barman's own examples and the field report.
SERVER = "pg"
SLOT = "barman"
# PostgreSQL's roles for Barman: one runs backups, the other receives WAL.
BARMAN_ROLE = "barman"
STREAMING_ROLE = processes.ROLE

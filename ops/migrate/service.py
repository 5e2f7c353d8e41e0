"""What a managed service adds of its own, and how its parameters are changed."""

import re
from dataclasses import dataclass
from enum import StrEnum

from host.domain.quoting import identifier


class Service(StrEnum):
    """Who runs the source."""

    AZURE = "azure"
    RDS = "rds"
    CLOUD_SQL = "cloudsql"
    OTHER = "other"


# The role that only such a server has.
_MARKS = {
    "azure_pg_admin": Service.AZURE,
    "rds_superuser": Service.RDS,
    "cloudsqlsuperuser": Service.CLOUD_SQL,
}
_MARK_NAMES = ", ".join(f"'{name}'" for name in _MARKS)
_DATABASES = frozenset({"azure_maintenance", "azure_sys", "rdsadmin", "cloudsqladmin"})
# As the services' documentation names them, and as they were met; a team may have others that begin
# so.
_ROLES = {
    Service.AZURE: re.compile(r"azuresu|azure_superuser|azure_pg_admin|replication"),
    Service.RDS: re.compile(
        r"rds(admin|topmgr|repladmin|proxyadmin|writeforwarduser)"
        r"|rds_(superuser|replication|password|iam|ad|extension|reserved)"
    ),
    Service.CLOUD_SQL: re.compile(r"cloudsql\w*"),
}
_SCHEMAS = "^(azure|azure_.*|rds_.*|rdsadmin|cloudsql.*|google_.*)$"
# In SQL, of a schema n: it is the service's own. A team may have one of such a name, of its own.
SCHEMA = f"""(n.nspname ~ '{_SCHEMAS}'
  AND n.nspowner IN (SELECT oid FROM pg_roles WHERE rolsuper OR rolname IN ({_MARK_NAMES}))
  AND EXISTS (SELECT FROM pg_roles WHERE rolname IN ({_MARK_NAMES})))"""  # noqa: S608 - constants
# As PostgreSQL reads it, too.
EXTENSIONS = "^(azure.*|pgaadauth|pg_azure.*|aws_.*|rds_.*|google_.*)$"


def of(roles: set[str]) -> Service:
    """Whose server has these roles."""
    return next((found for mark, found in _MARKS.items() if mark in roles), Service.OTHER)


def owns_database(name: str) -> bool:
    return name in _DATABASES


def owns_role(service: Service, name: str) -> bool:
    """Whether the role is PostgreSQL's or the service's own."""
    own = _ROLES.get(service)
    return name.startswith("pg_") or (own is not None and own.fullmatch(name) is not None)


def owns_extension(name: str) -> bool:
    return re.match(EXTENSIONS, name) is not None


@dataclass(frozen=True)
class Commands:
    """What to type so that the source can be followed."""

    logical: str
    replication: str
    slots: str


def commands(service: Service, user: str) -> Commands:
    """As the service wants them; a restart of the source is part of the first and the last."""
    role = identifier(user)
    azure = "az postgres flexible-server parameter set -g GROUP -s SERVER"
    again = "az postgres flexible-server restart -g GROUP -n SERVER"
    if service is Service.AZURE:
        return Commands(
            f"{azure} -n wal_level -v logical && {again}",
            f"ALTER ROLE {role} REPLICATION;",
            f"{azure} -n max_replication_slots -v 20 && {again}",
        )
    if service is Service.RDS:
        return Commands(
            "set rds.logical_replication to 1 in the parameter group, then restart the server",
            f"GRANT rds_replication TO {role};",
            "set max_replication_slots to 20 in the parameter group, then restart the server",
        )
    if service is Service.CLOUD_SQL:
        flag = "gcloud sql instances patch SERVER --database-flags"
        return Commands(
            f"{flag}=cloudsql.logical_decoding=on   (with all other flags that it has)",
            f"ALTER USER {role} WITH REPLICATION;",
            f"{flag}=max_replication_slots=20   (with all other flags that it has)",
        )
    return Commands(
        "ALTER SYSTEM SET wal_level = 'logical';   (then restart the server)",
        f"ALTER ROLE {role} REPLICATION;",
        "ALTER SYSTEM SET max_replication_slots = 20;   (then restart the server)",
    )

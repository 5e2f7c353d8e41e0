"""How long PostgreSQL's certificate is still valid, asked on its own machine."""

from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict

from ops.reach import postgres
from ops.reach.ssh import Site

# What certificate alerts also count by (host/monitoring/alerts.yml).
SOON_DAYS = 14
# The path comes from PostgreSQL itself; openssl reads certificates alone, the key is passed over.
_SHOW = ["openssl", "x509", "-noout", "-dateopt", "iso_8601"]
_FIELDS = ["-subject", "-issuer", "-startdate", "-enddate"]


class Certificate(BaseModel):
    """The certificate that PostgreSQL shows to its clients."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    subject: str
    issuer: str
    starts: datetime
    ends: datetime

    def days_left(self, now: datetime) -> int:
        """Whole days; negative once it has expired."""
        return (self.ends - now).days


def read(site: Site) -> Certificate:
    """Ask PostgreSQL's machine. Raises OperatorError, CommandFailed or ConnectionLost."""
    machine = site.postgres
    path = postgres.query(machine, "SHOW ssl_cert_file", timeout_s=20)
    said = machine.run([*_SHOW, *_FIELDS, "-in", path], user=postgres.USER, timeout_s=20)
    return parse(said.stdout)


def parse(text: str) -> Certificate:
    """From openssl's lines. Raises KeyError or ValueError for others."""
    fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    return Certificate(
        subject=fields["subject"].strip(),
        issuer=fields["issuer"].strip(),
        starts=_moment(fields["notBefore"]),
        ends=_moment(fields["notAfter"]),
    )


def _moment(text: str) -> datetime:
    return datetime.strptime(text.strip(), "%Y-%m-%d %H:%M:%SZ").replace(tzinfo=UTC)

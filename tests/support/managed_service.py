"""A managed PostgreSQL that a team wants to leave: Debian 12 with PostgreSQL 15, or another release
with its own, somewhere on the Internet as the stack's machines see it, in a lab of its own.

Its login has what Azure's Flexible Server gives to its administrator: membership in azure_pg_admin,
CREATEDB, CREATEROLE, session_replication_role, and no superuser. There the service's own PostgreSQL
lets it change its REPLICATION; `let_replicate` is that here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from cloud_init.first_boot import TELL_AGENT
from lab.machines import image, machine
from lab.machines.spec import Interface, MachineSpec
from lab.names import Lab
from lab.net import fabric
from lab.net.topology import Nic, SecurityRule, Subnet, Topology, VirtualNetwork
from tests.support.waiting import eventually

NAME = "managed"
ADDRESS, MAC = "10.68.0.4", "02:00:00:00:68:04"
ADMIN, PASSWORD = "dbadmin", "it's a : hard \\ one"
SUPERUSER = "azuresu"
PORT = 5432
# One after the other, as root: a server that speaks TLS only, with a certificate of an authority of
# its own, in the locale that Flexible Server has.
INSTALL = """
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -q -y --no-install-recommends locales openssl
localedef -i en_US -f UTF-8 en_US.UTF-8
localedef -i de_DE -f UTF-8 de_DE.UTF-8
apt-get install -q -y --no-install-recommends "postgresql-$1"
pg_dropcluster --stop "$1" main
pg_createcluster --locale en_US.UTF-8 "$1" main
"""
CONFIGURE = f"""
cd "/etc/postgresql/$1/main"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
    -subj '/CN=authority of the service' -keyout ca.key -out ca.pem
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
    -subj '/CN=managed' -keyout server.key -out server.csr
echo "subjectAltName=IP:$0" > names
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 \
    -extfile names -out server.pem
chown postgres server.key server.pem
cat > conf.d/service.conf <<END
listen_addresses = '*'
ssl_cert_file = '/etc/postgresql/$1/main/server.pem'
ssl_key_file = '/etc/postgresql/$1/main/server.key'
max_prepared_transactions = 10
END
# Nobody else is on this machine.
cat > pg_hba.conf <<'END'
local all all trust
hostssl all all 0.0.0.0/0 scram-sha-256
END
systemctl restart "postgresql@$1-main"
runuser -u postgres -- psql -c 'CREATE ROLE interim LOGIN SUPERUSER'
psql -U interim -d postgres -c 'ALTER ROLE postgres RENAME TO {SUPERUSER}'
psql -U {SUPERUSER} -d postgres -c 'DROP ROLE interim'
"""
SERVICE = f"""
CREATE ROLE azure_pg_admin NOLOGIN;
GRANT pg_monitor, pg_signal_backend, pg_checkpoint TO azure_pg_admin;
CREATE ROLE {ADMIN} LOGIN CREATEDB CREATEROLE IN ROLE azure_pg_admin
  PASSWORD '{PASSWORD.replace("'", "''")}';
GRANT SET ON PARAMETER session_replication_role TO azure_pg_admin;
ALTER DATABASE postgres OWNER TO azure_pg_admin;
CREATE DATABASE azure_maintenance OWNER {SUPERUSER};
REVOKE CONNECT ON DATABASE azure_maintenance FROM PUBLIC;
CREATE DATABASE azure_sys OWNER {SUPERUSER};
"""
QUERY_STORE = "CREATE SCHEMA query_store; CREATE TABLE query_store.qs (id int PRIMARY KEY);"


@dataclass(frozen=True)
class Release:
    """Debian's, by its name, and the major version of PostgreSQL that it has."""

    name: str
    postgres: str


USUAL, NEWER = Release("bookworm", "15"), Release("forky", "18")


@dataclass(frozen=True)
class ManagedService:
    """The service, up. `address` is its public one, `authority` the certificate (PEM) of who signed
    its own."""

    lab: Lab
    release: Release
    address: str
    authority: str
    topology: Topology

    def conninfo(self, database: str = "postgres", *, sslmode: str = "require") -> str:
        """A connection string as its administrator has it, without the password."""
        return f"postgresql://{ADMIN}@{self.address}:{PORT}/{database}?sslmode={sslmode}"

    def sql(self, statement: str, database: str = "postgres", role: str = SUPERUSER) -> str:
        """What psql says on the machine itself, a statement at a time; fails if one does."""
        options = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-U", role]
        argv = ["env", f"PGDATABASE={database}", *options]
        return machine.execute(self.lab, NAME, argv, stdin=statement).stdout.strip()

    def on(self, command: str) -> str:
        """What a shell command says, as root on the machine."""
        return machine.execute(self.lab, NAME, ["sh", "-ec", command]).stdout.strip()

    def restart(self) -> None:
        """As the portal's button does; returns when it accepts connections."""
        self.on(f"systemctl restart postgresql@{self.release.postgres}-main")

    def let_replicate(self, allowed: bool) -> None:
        """What `ALTER ROLE dbadmin REPLICATION`, or NOREPLICATION, does there."""
        self.sql(f"ALTER ROLE {ADMIN} {'' if allowed else 'NO'}REPLICATION")

    @contextmanager
    def parameter(self, name: str, value: str) -> Iterator[None]:
        """A server parameter has this value; the server is restarted for it, and afterwards."""
        self.sql(f"ALTER SYSTEM SET {name} = '{value}'")
        self.restart()
        try:
            yield
        finally:
            self.sql(f"ALTER SYSTEM RESET {name}")
            self.restart()

    @contextmanager
    def firewalled(self) -> Iterator[None]:
        """No firewall rule lets anybody in: packets vanish."""
        (subnet,) = self.topology.subnets
        fabric.apply(
            self.lab, replace(self.topology, subnets=(replace(subnet, security_rules=()),))
        )
        try:
            yield
        finally:
            fabric.apply(self.lab, self.topology)

    @contextmanager
    def without_tls(self) -> Iterator[None]:
        """The server offers no TLS."""
        with self.parameter("ssl", "off"):
            yield


@contextmanager
def managed_service(root: Path, release: Release = USUAL) -> Iterator[ManagedService]:
    """The service, without data, in a lab below `root`; afterwards it is gone."""
    lab = Lab.of(root, NAME)
    public = fabric.internet(lab).first_public
    topology = _topology(public)
    (subnet,) = topology.subnets
    spec = MachineSpec(
        name=NAME,
        image_release=release.name,
        instance_id=NAME,
        hostname=NAME,
        admin_user="service",
        admin_keys=(),
        custom_data=f"#cloud-config\n{json.dumps({'bootcmd': [TELL_AGENT]})}".encode(),
        nics=(Interface(subnet.key, f"{ADDRESS}/24", subnet.gateway, MAC),),
        disks=(),
        nameservers=(fabric.RESOLVER,),
    )
    image.ensure(release.name)
    try:
        fabric.apply(lab, topology)
        machine.provision(lab, spec)
        machine.start(lab, NAME)
        yield _serving(lab, release, public, topology)
    finally:
        machine.delete(lab, NAME)
        fabric.remove(lab)


def _topology(public: str) -> Topology:
    clients = SecurityRule(
        *("clients", 100, "Inbound", "Allow", "Tcp"),
        *(("Internet",), ("*",), ("*",), (str(PORT),)),
    )
    subnet = Subnet("service", "v", "10.68.0.0/24", (clients,), None, True)
    nic = Nic(NAME, subnet.key, ADDRESS, MAC, public)
    return Topology((VirtualNetwork("v", ("10.68.0.0/16",)),), (subnet,), (nic,))


def _serving(lab: Lab, release: Release, public: str, topology: Topology) -> ManagedService:
    booted = ["cloud-init", "status", "--wait"]
    eventually(
        "the service's machine to boot",
        lambda: machine.execute(lab, NAME, booted, check=False, timeout=300).returncode == 0,
        300,
    )
    for script in (INSTALL, CONFIGURE):
        argv = ["sh", "-ec", script, public, release.postgres]
        machine.execute(lab, NAME, argv, timeout=900)
    image.harvest(lab, NAME)
    server = f"/etc/postgresql/{release.postgres}/main"
    authority = machine.execute(lab, NAME, ["cat", f"{server}/ca.pem"]).stdout
    service = ManagedService(lab, release, public, authority, topology)
    service.sql(SERVICE)
    service.sql(QUERY_STORE, "azure_sys")
    return service

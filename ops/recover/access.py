"""Who is let in: while a server is brought back nobody but the runbook, clients after the checks.

No commit is acknowledged to anybody before the step from which a run only goes forward.
"""

from collections.abc import Mapping

from host.domain.control_data import minimums
from ops.reach import shell
from ops.reach.ssh import Machine
from ops.recover.cluster import Cluster, cluster
from ops.runbook.steps import Run

HBA = "local all postgres peer\n"
# Whatever the files say, postgresql.auto.conf among them: no network, answers while replaying, its
# log where and in the language in which it is read, no worker of a subscription.
ALWAYS = {
    "listen_addresses": "",
    "hot_standby": "on",
    "logging_collector": "off",
    "log_destination": "stderr",
    "lc_messages": "C",
    "max_logical_replication_workers": "0",
}

# The first version that has the setting event_triggers.
EVENT_TRIGGERS_SINCE = 17


def restrict(run: Run) -> None:
    """From the next start on only the runbook is let in, and replay has what it insists on."""
    names, machine = cluster(run), run.site.postgres
    shell.write_file(machine, hba_file(names), HBA, mode="0644")
    kept = kept_file(names)
    if not machine.run(["test", "-e", kept], accept=(0, 1)).ok:
        machine.run(["cp", "--preserve", options_file(names), kept])
    options = {**ALWAYS, "hba_file": hba_file(names), **minimums(control(machine, names))}
    if int(names.version) >= EVENT_TRIGGERS_SINCE:
        # One that objects to DDL would keep the checks from bringing what they need.
        options["event_triggers"] = "off"
    shell.write_file(machine, options_file(names), render(options), mode="0644")


def lift(run: Run) -> None:
    """From the next start on the server's own configuration counts again."""
    names, machine = cluster(run), run.site.postgres
    if machine.run(["test", "-e", kept_file(names)], accept=(0, 1)).ok:
        machine.run(["mv", kept_file(names), options_file(names)])
    machine.run(["rm", "-f", hba_file(names)])


def control(machine: Machine, names: Cluster, data: str | None = None) -> str:
    """What pg_controldata says of the cluster's data directory, or of another of its version."""
    program = f"/usr/lib/postgresql/{names.version}/bin/pg_controldata"
    return machine.run([program, "-D", data or names.data]).stdout


def render(options: Mapping[str, str]) -> str:
    """Debian's pg_ctl.conf with these settings on PostgreSQL's command line. pg_ctlcluster splits
    it at spaces and knows no quotes in it."""
    words = [f"-o --{name}={value}" for name, value in options.items()]
    if any(len(word.split(" ")) != 2 for word in words):
        raise ValueError("a value with a space cannot stand in pg_ctl.conf")
    return (
        "# Written by a recovery runbook, which puts the former file back at its end.\n"
        f"pg_ctl_options = '{' '.join(words)}'\n"
    )


def options_file(names: Cluster) -> str:
    return f"{names.config}/pg_ctl.conf"


def kept_file(names: Cluster) -> str:
    return f"{names.config}/pg_ctl.conf.before-recovery"


def hba_file(names: Cluster) -> str:
    return f"{names.config}/pg_hba.recovery.conf"

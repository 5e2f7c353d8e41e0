"""A machine that is gone, recreated by `pulumi up`, brought back into its role."""

from ops.archive.plan import Plan
from ops.errors import NOTHING_CHANGED, OperatorError
from ops.reach import postgres
from ops.reach.ssh import Site

USER_TABLES = """
SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm') AND c.oid >= 16384
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'drill')
"""
ORDER = {
    "postgres": (
        "pulumi up                         (a new machine, a new disk; joining Barman fails: it "
        "is still another cluster)",
        "python -m ops rebuild postgres    (the data, from Barman)",
        "pulumi up                         (finishes the join)",
    ),
    "barman": (
        "pulumi up                         (a new machine, streaming, a first backup)",
        "python -m ops rebuild barman      (makes sure, and proves it)",
    ),
}


def require_blank(site: Site, plan: Plan) -> None:
    """Raises OperatorError unless the machine's cluster is a new one, without any table."""
    state, _, _ = postgres.state(site.postgres, site.outputs.backup.slot)
    if not state.accepting:
        return
    if state.system_id == plan.system_id:
        raise OperatorError(
            "This machine runs the cluster that Barman backs up: it is not a new one.",
            NOTHING_CHANGED,
            next_command="python -m ops recover   (to replace its data)",
        )
    names = postgres.query(
        site.postgres, "SELECT datname FROM pg_database WHERE datallowconn"
    ).split("\n")
    used = {
        name: count
        for name in names
        if (count := int(postgres.query(site.postgres, USER_TABLES, database=name)))
    }
    if used:
        tables = ", ".join(f"{count} in {name}" for name, count in used.items())
        raise OperatorError(
            f"The new cluster is not empty: it has tables ({tables}). Rebuilding would hide them.",
            NOTHING_CHANGED,
            next_command="save or drop them, then python -m ops rebuild postgres",
        )

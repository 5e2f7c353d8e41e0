"""docs/ops-json.md, written from the models: `python -m tools.ops_json >docs/ops-json.md`."""

from typing import Any

from pydantic import BaseModel

from ops.archive.snapshots import SnapshotList
from ops.archive.verification import Verification
from ops.archive.window import BackupList, Window
from ops.migrate.comparison import Comparison
from ops.migrate.model import MigrationPlan, MoveStatus
from ops.model import Status
from ops.rotate.report import RotationReport
from ops.watch.alerts import Alerts
from ops.watch.capacity import Capacity
from ops.watch.drills import DrillList
from ops.watch.durability import Durability
from ops.watch.statements import Statements

DOCUMENTED: dict[str, type[BaseModel]] = {
    "ops status --json": Status,
    "ops backups --json": BackupList,
    "ops snapshots --json": SnapshotList,
    "ops window --json": Window,
    "ops verify --json": Verification,
    "ops durability --json": Durability,
    "ops drills --json": DrillList,
    "ops capacity --json": Capacity,
    "ops alerts --json": Alerts,
    "ops top --json": Statements,
    "ops rotate KIND --json": RotationReport,
    "ops migrate plan SOURCE --json": MigrationPlan,
    "ops migrate status --json": MoveStatus,
    "ops migrate compare SOURCE --json": Comparison,
}

HEAD = """\
# The runbooks' JSON

Written by `make docs`; a test compares. Times are ISO 8601 in UTC, sizes bytes, log
sequence numbers PostgreSQL's own notation. Fields may be added; those here keep their meaning.
"""


def document() -> str:
    """The whole page."""
    parts = [HEAD]
    for command, model in DOCUMENTED.items():
        schema = model.model_json_schema(mode="serialization")
        parts.append(f"## `{command}`\n\n{schema.get('description', '')}\n")
        parts.append(_table(schema))
        for name, definition in schema.get("$defs", {}).items():
            parts.append(f"### {name}\n\n{definition.get('description', '')}\n")
            if "enum" in definition:
                parts.append("One of: " + ", ".join(f"`{value}`" for value in definition["enum"]))
                parts.append("")
            else:
                parts.append(_table(definition))
    return "\n".join(parts).rstrip() + "\n"


def _table(schema: dict[str, Any]) -> str:
    rows = ["| field | type | meaning |", "|---|---|---|"]
    rows += [
        f"| `{name}` | {_type(field)} | {field.get('description', '')} |"
        for name, field in schema["properties"].items()
    ]
    return "\n".join(rows) + "\n"


def _type(field: dict[str, Any]) -> str:
    if "$ref" in field:
        return str(field["$ref"]).rsplit("/", 1)[-1]
    if "anyOf" in field:
        return " or ".join(_type(option) for option in field["anyOf"])
    if field.get("type") == "array":
        return f"list of {_type(field['items'])}"
    return str(field.get("format") or field.get("type", "any"))


if __name__ == "__main__":
    print(document(), end="")

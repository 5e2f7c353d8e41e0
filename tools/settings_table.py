"""Writes the README's table of settings from Pulumi.yaml, where they are declared."""

import json
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- make docs writes this table -->\n", "<!-- end of table -->"


def table() -> str:
    """Markdown rows: setting, default, meaning."""
    declared = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"]
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for name, item in declared.items():
        default = item["default"]
        shown = default if isinstance(default, str) else json.dumps(default)
        rows.append(f"| `{name}` | `{shown}` | {item['description']} |")
    return "\n".join(rows)


def main() -> None:
    """Replace what stands between the two marks."""
    readme = ROOT / "README.md"
    before, _, rest = readme.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    readme.write_text(f"{before}{BEGIN}{table()}\n{END}{after}")


if __name__ == "__main__":
    main()

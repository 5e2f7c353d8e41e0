"""The documentation says what the code does."""

import re
from datetime import timedelta
from typing import Any

import yaml

from lab.azure.kinds import KINDS
from settings.model import Settings
from tests.unit.stack_double import ROOT, run
from tools import grafana_dashboard, scale_page
from tools.settings_table import table


def test_readme_has_the_settings_as_declared() -> None:
    assert table() in (ROOT / "README.md").read_text(), "make docs writes the table again"


def test_every_setting_is_declared_with_type_default_and_description() -> None:
    declared = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"]
    # The location is the Azure provider's own setting.
    assert set(declared) == set(Settings.model_fields) - {"location"}
    for name, item in declared.items():
        assert {"type", "default", "description"} <= set(item), name


def test_outputs_are_documented_one_by_one() -> None:
    documented = set(
        re.findall(r"^\| `([\w.<>]+)` \|", (ROOT / "docs/outputs.md").read_text(), re.MULTILINE)
    )
    # Everything that there may be.
    _, outputs = run("dev", pooler=True)
    assert documented == set(
        paths({**outputs, "databases": {"<name>": outputs["databases"]["app"]}})
    )


def paths(value: dict[str, Any], prefix: str = "") -> list[str]:
    found = []
    for key, item in value.items():
        found += paths(item, f"{prefix}{key}.") if isinstance(item, dict) else [f"{prefix}{key}"]
    return found


def test_every_resource_provider_that_must_be_registered_is_in_the_steps() -> None:
    used = {kind.arm_type.partition("/")[0] for kind in KINDS.values()}
    # Registered on every subscription.
    asked = used - {"", "Microsoft.Authorization"}
    steps = (ROOT / "README.md").read_text()
    named = re.search(r"for each in ([\w ]+); do az provider register", steps)
    assert named and {f"Microsoft.{name}" for name in named[1].split()} == asked


def test_links_inside_the_documentation_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)}: {target}"


def test_the_page_on_scale_is_as_reckoned() -> None:
    assert scale_page.page() == (ROOT / "docs/scale.md").read_text(), "make docs writes it again"


def test_a_larger_database_never_takes_less_time() -> None:
    for machines in scale_page.PAIRS:
        found = [scale_page.Database(gb, 0.22, machines) for gb in (10, 200, 3000, 9000)]
        for times in ([each.backup for each in found], [each.restore for each in found]):
            assert times == sorted(times)
        hour, eight = (
            scale_page.largest(machines, 0.22, timedelta(hours=h), restored=True) for h in (1, 8)
        )
        assert 0 < hour < eight


def test_the_grafana_dashboard_is_as_written_and_its_panels_do_not_overlap() -> None:
    assert grafana_dashboard.TARGET.read_text() == grafana_dashboard.text()
    cells = [
        (x, y)
        for panel in grafana_dashboard.dashboard()["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert all(x < grafana_dashboard.COLUMNS for x, _ in cells)

"""This checkout, and copies of it: each has a lab of its own."""

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
# Half a day from now: a test that cuts the power would fail the nightly backup, and the backup
# would be one more than another test has counted.
NIGHTLY = f"0 {(datetime.now(UTC) + timedelta(hours=12)).hour} * * *"


def checkout_files() -> list[str]:
    """The files of the checkout as git would clone them, with those not committed yet."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=CHECKOUT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    return [name for name in listed.split("\0") if name]


def copy_checkout(to: Path, **settings: str | int) -> Path:
    """The checkout's files as git would clone them, with changes not committed yet; its lab has
    these settings of the program. The virtual environment is shared."""
    for name in checkout_files():
        source = CHECKOUT / name
        if source.is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, to / name)
    return prepare(to, **settings)


def prepare(to: Path, **settings: str | int) -> Path:
    """Give the files of a checkout in `to` these settings of its lab, nightly backups at NIGHTLY,
    and the virtual environment of this one."""
    settings = {"backupSchedule": NIGHTLY} | settings
    stack = to / "Pulumi.lab.yaml"
    lines = [f"  postgres-barman:{name}: {value}\n" for name, value in settings.items()]
    # Not at the end: a developer's own file may have more than `config` there.
    stack.write_text(stack.read_text().replace("config:\n", "config:\n" + "".join(lines), 1))
    (to / ".venv").symlink_to(CHECKOUT / ".venv")
    return to

"""`up`: from nothing, or from whatever is there, to the stack running on this machine."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from engine import bootstrap
from engine.environment import Workspace, environment
from engine.project import copy_configuration, release_dead_locks, state_file
from engine.pulumi import Pulumi
from lab import orphans, plugins
from lab.machines import image, machine, power
from lab.names import Lab
from lab.progress import Progress

IMAGE_RELEASE = "trixie"


def up(root: Path, lab: Lab, progress: Progress) -> int:
    """Bring the lab of the checkout `root` up to what its program says; the engine's exit code.

    Raises EngineError, ProjectError. The caller holds the lab's lock.
    """
    workspace = Workspace(root / ".lab")
    workspace.prepare()
    release_dead_locks(workspace, lab.stack)
    orphans.end(workspace.home)
    if state_file(workspace, lab.stack).exists():
        progress.say(f"The lab {lab.stack!r} exists: bringing it up to date.")
    copy = copy_configuration(root, lab.stack, lab.directory / "project")
    with progress.step("Pulumi engine") as echo:
        programs = bootstrap.ensure(root, echo)
    around = environment(workspace, programs)
    # Where official plugins can be downloaded, it is the engine that does it.
    os.environ["PATH"] = around["PATH"]
    with progress.step("Provider plugins"):
        plugins.install(workspace.home)
    with progress.step("Machine image") as echo:
        image.ensure(IMAGE_RELEASE, echo)
    pulumi = Pulumi(root, around, lab.stack, copy.settings)
    pulumi.create_stack()
    # The engine believes that every machine runs, and would wait for SSH of an absent one.
    for news in power.switch_on(lab):
        progress.say(news)
    code = pulumi.up("--suppress-permalink=true", "--skip-plugin-pre-install")
    if code != 0:
        progress.say(
            f"\npulumi up ended with exit code {code}; what was made before that stays.\n"
            f"Machines: {', '.join(machine.names(lab)) or 'none'}. "
            "Their consoles: .venv/bin/python -m lab console NAME\n"
            "Then `make up` again continues from here, and `make down` removes it all."
        )
        return code
    for name in machine.names(lab):
        image.harvest(lab, name)
    answer = pulumi.outputs()
    answer.check_returncode()
    progress.say(summary(json.loads(answer.stdout), lab.stack))
    return 0


def summary(found: Mapping[str, Any], stack: str) -> str:
    """What the operator wants to know after `up`, without any secret."""
    lines = ["", f"The lab {stack!r} is up."]
    for name, database in (found.get("databases") or {}).items():
        lines.append(f"  database {name}: {without_password(database['uri'])}")
    lines.append("  password: make shell, then pulumi stack output databases --show-secrets")
    if backup := found.get("backup"):
        lines.append(
            f"  backup: server {backup['serverName']}, at {backup['schedule']}, "
            f"kept for {backup['retention']}"
        )
    option = "" if stack == "lab" else f" STACK={stack}"
    database = next(iter(found.get("databases") or {}), "postgres")
    host = found.get("postgres", {}).get("name", "NAME")
    lines += [
        "Next:",
        f"  .venv/bin/python -m ops status --stack {stack}",
        f"  .venv/bin/python -m lab enter --stack {stack} {host} sudo -u postgres psql {database}",
        f"  make down{option}     removes it",
    ]
    return "\n".join(lines)


def without_password(uri: str) -> str:
    """A connection URI without the password in it."""
    parts = urlsplit(uri)
    user, _, place = parts.netloc.rpartition("@")
    name = user.partition(":")[0]
    return parts._replace(netloc=f"{name}@{place}" if name else place).geturl()

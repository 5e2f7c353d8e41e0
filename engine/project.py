"""The Pulumi project as the lab uses it: a copy of its configuration, and its stacks.

The engine writes an encryption salt into the configuration of a stack that it creates. That
belongs to one machine's lab, not to the repository, so the engine is given a copy.
"""

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import yaml

from engine.environment import Workspace
from engine.errors import ProjectError, StackBusyError

PROJECT = "postgres-barman"

_ENCRYPTION = re.compile(r"^(encryptionsalt|encryptedkey|secretsprovider):.*\n?", re.MULTILINE)
_ENCRYPTED = re.compile(r"^\s*-?\s*secure:", re.MULTILINE)


@dataclass(frozen=True)
class Copy:
    """A folder with a copy of Pulumi.yaml and of one stack's configuration."""

    directory: Path
    stack: str

    @property
    def settings(self) -> Path:
        return self.directory / f"Pulumi.{self.stack}.yaml"


def copy_configuration(root: Path, stack: str, into: Path) -> Copy:
    """Copy project and stack configuration from the checkout `root`, without encryption keys.

    Values that were encrypted in this lab's shell keep the salt that goes with them. Raises
    ProjectError where the stack is unknown, or holds values only another key can read.
    """
    text = _settings(root, stack)
    if _ENCRYPTED.search(text):
        if not re.search(r"^encryptionsalt:", text, re.MULTILINE):
            raise ProjectError(
                f"Pulumi.{stack}.yaml holds encrypted values, which only that stack's own secrets "
                "provider\ncan read. For a lab, set them again in `make shell`:\n"
                "`pulumi config set --secret KEY VALUE`."
            )
        return _write(root, stack, into, text)
    return _write(root, stack, into, _ENCRYPTION.sub("", text))


def copy_for_plan(root: Path, stack: str, into: Path) -> tuple[Copy, list[str]]:
    """The same for a plan, which has no key to any stack: without the encrypted values. Returns the
    copy and their names. Raises ProjectError."""
    document = yaml.safe_load(_settings(root, stack))
    settings = document.get("config") or {}
    sealed = [
        key for key, value in settings.items() if isinstance(value, dict) and "secure" in value
    ]
    rest = {key: value for key, value in settings.items() if key not in sealed}
    text = yaml.safe_dump({"config": rest})
    if _ENCRYPTED.search(text):
        raise ProjectError(
            f"Pulumi.{stack}.yaml holds encrypted values inside of others, which only that stack's "
            "own secrets provider\ncan read. Nothing in this program needs them."
        )
    return _write(root, stack, into, text), sealed


def _settings(root: Path, stack: str) -> str:
    source = root / f"Pulumi.{stack}.yaml"
    if not source.exists():
        known = sorted(path.name[7:-5] for path in root.glob("Pulumi.*.yaml"))
        raise ProjectError(
            f"There is no stack {stack!r}: {source.name} does not exist. "
            f"Stacks here: {', '.join(known) or 'none'}."
        )
    return source.read_text()


def _write(root: Path, stack: str, into: Path, text: str) -> Copy:
    into.mkdir(parents=True, exist_ok=True)
    copy = Copy(into, stack)
    (into / "Pulumi.yaml").write_text((root / "Pulumi.yaml").read_text())
    copy.settings.write_text(text)
    return copy


def state_file(workspace: Workspace, stack: str) -> Path:
    """Where the file backend keeps the state of `stack`."""
    return workspace.backend / ".pulumi" / "stacks" / PROJECT / f"{stack}.json"


def forget_state(workspace: Workspace, stack: str) -> None:
    """Remove the state of `stack`, with its past, so that the next one starts from nothing."""
    state = state_file(workspace, stack)
    for suffix in ("", ".bak"):
        state.with_name(state.name + suffix).unlink(missing_ok=True)
    for kind in ("backups", "history", "locks/organization"):
        shutil.rmtree(workspace.backend / ".pulumi" / kind / PROJECT / stack, ignore_errors=True)


def release_dead_locks(workspace: Workspace, stack: str) -> None:
    """Remove the locks of engines that died while they worked on `stack`.

    Raises StackBusyError where the engine that holds one is alive.
    """
    for lock in _locks(workspace, stack):
        try:
            pid = int(json.loads(lock.read_text())["pid"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if _alive(pid):
            raise StackBusyError(
                f"A pulumi (process {pid}) is at work on the stack {stack!r}.\n"
                "Nothing was changed. Wait until it has finished, then type the same command again."
            )
    _unlock(workspace, stack)


def _locks(workspace: Workspace, stack: str) -> list[Path]:
    folder = workspace.backend / ".pulumi" / "locks" / "organization" / PROJECT / stack
    return sorted(folder.glob("*.json"))


def _unlock(workspace: Workspace, stack: str) -> None:
    for lock in _locks(workspace, stack):
        lock.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    """Whether `pid` is a living pulumi: not a later process that got its number, and not one
    that is dead and merely not yet reaped."""
    try:
        name, _, rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
    except OSError:
        return False
    return name.partition("(")[2] == "pulumi" and rest.split()[0] not in "ZX"

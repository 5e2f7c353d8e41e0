"""The environment in which pulumi speaks to the lab instead of to Azure.

One definition for `make up`, for `make shell` and for whatever reads a lab's outputs, so that a
command typed by hand behaves exactly as the lab's own.
"""

import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# Each of these would override what is set here, or send the state somewhere else.
_FOREIGN = (
    "PULUMI_ACCESS_TOKEN",
    "PULUMI_CONFIG_PASSPHRASE",
    "PULUMI_STACK",
    "PULUMI_OPTION_CONFIG_FILE",
    "PULUMI_OPTION_STACK",
)


@dataclass(frozen=True)
class Workspace:
    """The folder that holds an engine's home, state and passphrase (a checkout's .lab)."""

    directory: Path

    @property
    def home(self) -> Path:
        """PULUMI_HOME: plugins and logs."""
        return self.directory / "home"

    @property
    def backend(self) -> Path:
        """The file backend: every stack's state."""
        return self.directory / "backend"

    @property
    def backend_url(self) -> str:
        """PULUMI_BACKEND_URL. State files are replaced whole, but notes on them are not, so there
        are none (gocloud.dev, blob/fileblob: Options.Metadata)."""
        return f"file://{self.backend}?metadata=skip"

    @property
    def passphrase(self) -> Path:
        """The file with the passphrase that encrypts the secrets in the state."""
        return self.directory / "passphrase"

    def prepare(self) -> None:
        """Create what is missing. An existing passphrase is never replaced."""
        for folder in (self.directory, self.home, self.backend):
            folder.mkdir(parents=True, exist_ok=True)
        # Notes on the state files that former versions had kept; an engine that was killed while it
        # wrote one has left it empty, and then reads no state at all ("EOF").
        for note in self.backend.rglob("*.attrs"):
            note.unlink()
        # The state holds every secret of the lab, encrypted; its neighbours are nobody's business.
        self.directory.chmod(0o711)
        self.backend.chmod(0o700)
        if not self.passphrase.exists():
            partial = self.passphrase.with_suffix(f".{os.getpid()}")
            handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w") as out:
                out.write(secrets.token_urlsafe(32))
            try:
                # link, not rename: of two first runs at once, one passphrase wins for both.
                os.link(partial, self.passphrase)
            except FileExistsError:
                pass
            finally:
                partial.unlink()


def settings(
    workspace: Workspace, engine: Path, stack: str | None, base: Mapping[str, str]
) -> dict[str, str]:
    """The variables that make `pulumi` use `workspace`, and nothing else, keyed by name.

    `base` is the environment they go on top of. With `stack`, that stack is the selected one.
    """
    python = Path(sys.executable)
    path = [str(engine), str(python.parent), base.get("PATH", os.defpath)]
    chosen = {
        "PATH": os.pathsep.join(path),
        "PULUMI_HOME": str(workspace.home),
        "PULUMI_BACKEND_URL": workspace.backend_url,
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(workspace.passphrase),
        "PULUMI_IGNORE_AMBIENT_PLUGINS": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_SUPPRESS_NEO_LINK": "true",
        "PULUMI_PYTHON_CMD": str(python),
    }
    if stack is not None:
        chosen["PULUMI_STACK"] = stack
    return chosen


def environment(
    workspace: Workspace,
    engine: Path,
    stack: str | None = None,
    base: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """A whole environment for running pulumi against `workspace`."""
    base = os.environ if base is None else base
    kept = {name: value for name, value in base.items() if name not in _FOREIGN}
    if not sys.stdout.isatty():
        kept["NO_COLOR"] = "1"
    return kept | settings(workspace, engine, stack, base)


def exports(
    workspace: Workspace, engine: Path, stack: str, base: Mapping[str, str]
) -> dict[str, str | None]:
    """What a shell has to export, and with None unset, to speak to the lab."""
    chosen: dict[str, str | None] = dict.fromkeys(_FOREIGN)
    return chosen | settings(workspace, engine, stack, base)

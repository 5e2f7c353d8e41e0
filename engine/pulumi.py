"""Pulumi's command line: the one place where `pulumi` is started for a stack."""

import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from engine.errors import NoEngineError, ProjectError


@dataclass(frozen=True)
class Pulumi:
    """`pulumi` in the folder `directory`, with the environment `around`, for `stack` or for the
    selected one. `settings` is the file of the stack's settings, if it is not the project's own."""

    directory: Path
    around: Mapping[str, str]
    stack: str | None = None
    settings: Path | None = None

    def ask(
        self, *arguments: str, timeout_s: float | None = None
    ) -> subprocess.CompletedProcess[str]:
        """What pulumi answers, whatever its exit code. Raises NoEngineError, TimeoutExpired."""
        argv = ["pulumi", *arguments, "--non-interactive", *self._for_stack()]
        try:
            return subprocess.run(
                argv,
                cwd=self.directory,
                env=self.around,
                capture_output=True,
                text=True,
                check=False,
                timeout=timeout_s,
                stdin=subprocess.DEVNULL,
            )
        except FileNotFoundError:
            raise NoEngineError("pulumi is not on PATH.") from None

    def show(self, *arguments: str, words_to: IO[str] | None = None) -> int:
        """Run pulumi on this terminal; its exit code. What it prints goes to `words_to`, else to
        standard output. Raises NoEngineError.

        Ctrl-C is for the engine, which then ends in good order and releases its lock.
        """
        argv = ["pulumi", *arguments, *self._for_stack()]
        before = signal.signal(signal.SIGINT, lambda *_: None)
        try:
            done = subprocess.run(
                argv, cwd=self.directory, env=self.around, check=False, stdout=words_to
            )
        except FileNotFoundError:
            raise NoEngineError("pulumi is not on PATH.") from None
        finally:
            signal.signal(signal.SIGINT, before)
        return done.returncode

    def outputs(self, timeout_s: float | None = None) -> subprocess.CompletedProcess[str]:
        """The stack's outputs as JSON, secrets in clear: for use in this process only."""
        return self.ask("stack", "output", "--json", "--show-secrets", timeout_s=timeout_s)

    def up(self, *options: str, words_to: IO[str] | None = None) -> int:
        """Update the stack without a question, the outputs left unsaid."""
        update = ("up", "--yes", "--skip-preview", "--suppress-outputs", *self._from_settings())
        return self.show(*update, *options, words_to=words_to)

    def preview(self, *options: str) -> subprocess.CompletedProcess[str]:
        """What an update would do."""
        return self.ask("preview", *self._from_settings(), *options)

    def import_file(self, file: Path) -> int:
        """Take over into the state what an import file names, without a question; its exit code."""
        return self.show(
            *("import", "--file", str(file), "--yes", "--skip-preview", "--generate-code=false"),
            *self._from_settings(),
        )

    def unprotect(self) -> subprocess.CompletedProcess[str]:
        """Make every resource one that may be deleted."""
        return self.ask("state", "unprotect", "--all", "--yes")

    def destroy(self, *options: str) -> int:
        """Delete what the stack has, without a question."""
        return self.show("destroy", "--yes", "--skip-preview", *self._from_settings(), *options)

    def create_stack(self) -> subprocess.CompletedProcess[str]:
        """Make the stack in the backend, unless it is there, and select it. Raises ProjectError."""
        done = self._beside_settings().ask("stack", "select", "--create")
        if done.returncode != 0:
            raise ProjectError(
                f"The engine could not make the stack {self.stack!r}:\n{done.stderr}"
            )
        return done

    def remove_stack(self) -> subprocess.CompletedProcess[str]:
        """Forget the stack's state, whatever it holds; its settings stay."""
        return self._beside_settings().ask("stack", "rm", "--force", "--yes", "--preserve-config")

    def configuration(self) -> subprocess.CompletedProcess[str]:
        """The stack's settings as JSON, secrets hidden."""
        return self.ask("config", "--json", *self._from_settings())

    def configure(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Change a setting; `words` are options of `pulumi config set`, the key and the value."""
        return self.ask("config", "set", *self._from_settings(), *words)

    def _beside_settings(self) -> "Pulumi":
        """Where these commands, which take no file of settings, find the one that is meant: a new
        stack's key is written to it."""
        return replace(self, directory=self.settings.parent) if self.settings else self

    def _for_stack(self) -> list[str]:
        return ["--stack", self.stack] if self.stack else []

    def _from_settings(self) -> list[str]:
        return ["--config-file", str(self.settings)] if self.settings else []

"""A stack of this checkout, in a lab of its own, as tests handle it."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from lab.machines import disks, machine
from lab.machines.spec import Hardware
from lab.names import Lab
from tests.support import pages
from tests.support.waiting import eventually

POSTGRES, BARMAN = "postgres-lab", "barman-lab"
UP_TIMEOUT_S = 1500
_MESSAGE = "SELECT pg_logical_emit_message(true, 'fault', '')"
SWITCH = f"{_MESSAGE}; SELECT pg_walfile_name(pg_switch_wal()); {_MESSAGE}"


@dataclass(frozen=True)
class Stack:
    """The stack `lab` of a checkout at `root`."""

    root: Path

    @cached_property
    def lab(self) -> Lab:
        return Lab.of(self.root / ".lab", "lab")

    @cached_property
    def outputs(self) -> dict[str, Any]:
        """The stack's outputs, secrets in clear. The connection strings are as a client completes
        them: with the file that it keeps the authority's certificate in."""
        done = self.pulumi("stack", "output", "--json", "--show-secrets")
        found = json.loads(done.stdout)
        authority = self.root / ".lab" / "ca.pem"
        authority.write_text(found["caCertificate"])
        for database in found["databases"].values():
            for name in {"uri", "poolerUri"} & database.keys():
                database[name] += f"&sslrootcert={authority}"
        return found

    def read_outputs_again(self) -> None:
        """After something that changed them."""
        self.__dict__.pop("outputs", None)

    @property
    def cluster(self) -> str:
        """Version and name of the cluster as in Debian's paths: 17/main."""
        return "/".join(self.outputs["postgres"]["dataDirectory"].split("/")[-2:])

    @property
    def unit(self) -> str:
        """The cluster's: postgresql@17-main."""
        return f"postgresql@{self.cluster.replace('/', '-')}"

    @property
    def configuration(self) -> str:
        """The folder of the cluster's configuration."""
        return f"/etc/postgresql/{self.cluster}"

    def lab_command(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self._run([".venv/bin/python", "-m", "lab", *words], check=check)

    def pulumi(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Pulumi as an operator types it: with the environment that `lab env` prints."""
        exports = self.lab_command("env").stdout
        typed = f'eval "$0" && cd {self.root} && pulumi "$@"'
        return self._run(["bash", "-c", typed, exports, *words], check=check)

    def ops(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A runbook, as an operator types it."""
        return self._run(self._runbook(*words), check=check)

    def ops_patched(self, patch: str, *words: str) -> subprocess.CompletedProcess[str]:
        """A runbook with some of its own code replaced by `patch`."""
        run = f"import sys\n{patch}\nfrom ops.__main__ import main\nsys.argv[0] = 'ops'\nmain()"
        typed = 'eval "$0" && exec .venv/bin/python -c "$@"'
        exports = self.lab_command("env").stdout
        return self._run(["bash", "-c", typed, exports, run, *words], check=False)

    def start_ops(self, *words: str) -> subprocess.Popen[str]:
        """A runbook under way, its output in one stream."""
        return self._begin(self._runbook(*words))

    def start_pulumi(self, *words: str) -> subprocess.Popen[str]:
        """Pulumi under way, its output in one stream."""
        typed = f'eval "$0" && cd {self.root} && exec pulumi "$@"'
        return self._begin(["bash", "-c", typed, self.lab_command("env").stdout, *words])

    def _begin(self, argv: Sequence[str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            argv,
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def _runbook(self, *words: str) -> list[str]:
        typed = 'eval "$0" && exec .venv/bin/python -m ops "$@"'
        return ["bash", "-c", typed, self.lab_command("env").stdout, *words]

    def engines(self) -> list[int]:
        """The Pulumi engines at work on this checkout, by process id."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                engine = (process / "comm").read_text().strip() == "pulumi"
                if engine and (process / "cwd").resolve() == self.root:
                    found.append(int(process.name))
            except OSError:
                continue
        return found

    def kill_engines(self) -> None:
        """What a laptop's empty battery does to them."""
        for engine in self.engines():
            with suppress(ProcessLookupError):
                os.kill(engine, signal.SIGKILL)

    def lose(self, name: str) -> None:
        """A machine's power is cut; it and its data disk are destroyed."""
        hardware = Hardware.read(self.lab.directory / "machines" / name / "hardware.json")
        machine.delete(self.lab, name)
        for disk in hardware.disks:
            disks.delete(Path(disk.path))

    def follow(
        self,
        page: str,
        values: Mapping[str, str] | None = None,
        *,
        codes: Mapping[int, int] | None = None,
        after: Mapping[int, Callable[[], None]] | None = None,
    ) -> list[str]:
        """Type every command of docs/runbooks/PAGE.md, yes to every question; what each said.

        `values` stand for what the page can only give as an example. `codes` are the exit codes
        expected, and `after` what happens after a command, both by its number, from 1 on.
        """
        found = pages.commands(page)
        for example in values or {}:
            assert any(example in command.text for command in found), f"{page}: no {example!r}"
        said = []
        for number, command in enumerate(found, 1):
            text = command.text
            for example, value in (values or {}).items():
                text = text.replace(example, value)
            done = self.type(replace(command, text=text))
            expected = (codes or {}).get(number, 0)
            assert done.returncode == expected, f"{text}\n{done.stdout}\n{done.stderr}"
            said.append(done.stdout + done.stderr)
            # Many a command ends with an update of the stack.
            self.read_outputs_again()
            if act := (after or {}).get(number):
                act()
        return said

    def type(self, command: pages.Command) -> subprocess.CompletedProcess[str]:
        """Type one command of a page where the page says, yes to its question."""
        text = command.text
        if command.machine:
            name = self.outputs[command.machine]["name"]
            argv = ["bash", "-c", f"cd / && set -o pipefail && {text}"]
            return machine.execute(self.lab, name, argv, check=False, timeout=300)
        if text.startswith(("pulumi up", "pulumi refresh")):
            # Its question wants a terminal.
            text += " --yes --non-interactive --skip-preview"
        typed = f'eval "$0" && PATH={self.root}/.venv/bin:$PATH && cd {self.root} && {text}'
        exports = self.lab_command("env").stdout
        return self._run(["bash", "-c", typed, exports], check=False, answer="y\n")

    def on(self, name: str, command: str, *, check: bool = True) -> str:
        """What a shell command says, run as root on machine `name`, past its network."""
        argv = ["sh", "-c", command]
        done = machine.execute(self.lab, name, argv, check=check, timeout=300)
        return done.stdout.strip()

    def sql(self, query: str, database: str = "postgres") -> str:
        """The answer of psql as superuser on the PostgreSQL machine, unaligned."""
        done = machine.execute(
            self.lab,
            "postgres-lab",
            ["runuser", "-u", "postgres", "--", "psql", "-XAtq", "-d", database],
            stdin=query,
        )
        return done.stdout.strip()

    def archived_segment(self) -> str:
        """The path, on Barman, of a WAL segment that was filled now, once it is archived."""
        name = self.sql(SWITCH).splitlines()[1]
        path = f"/data/barman/pg/wals/{name[:16]}/{name}"
        # Barman's cron would do so within a minute.
        archive = "runuser -u barman -- barman -q archive-wal pg >/dev/null 2>&1"
        there = f"{archive}; test -e {path} && echo there"
        eventually(
            f"Barman to archive {name}",
            lambda: self.on("barman-lab", there, check=False) == "there",
            150,
        )
        return path

    @contextmanager
    def damaged(self, path: str) -> Iterator[None]:
        """A file on Barman's disk in which bytes are not what they were."""
        flip = f"f = open({path!r}, 'r+b'); f.seek(2000); old = f.read(64); f.seek(2000); "
        flip += "f.write(bytes(byte ^ 255 for byte in old))"
        self.on("barman-lab", f'python3 -c "{flip}"')
        try:
            yield
        finally:
            self.on("barman-lab", f'python3 -c "{flip}"')

    def status(self) -> dict[str, Any]:
        """What `ops status` says, whatever it thinks of it."""
        return json.loads(self.ops("status", "--json", check=False).stdout)

    def reasons(self) -> str:
        """Why it is not content, a line each, with the next command."""
        output = self.status()["reasons"]
        return "\n".join(f"{item['text']} → {item['next_command']}" for item in output)

    def set_level(self, level: str) -> None:
        """As an operator does it."""
        self.set("durability", level)
        self.up()

    def set(self, name: str, value: str) -> None:
        """Change one setting of the program; `up` brings it about."""
        self.pulumi("config", "set", f"postgres-barman:{name}", value)

    def up(self, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.pulumi("up", "--yes", "--skip-preview", "--non-interactive", check=check)

    def backups(self) -> dict[str, dict[str, Any]]:
        """What `ops backups` says of each backup, by its id, newest first."""
        output = json.loads(self.ops("backups", "--json").stdout)["backups"]
        return {backup["id"]: backup for backup in output}

    def new_backup(self) -> str:
        """The id of a full backup taken now; its name need not be the newest."""
        before = set(self.backups())
        self.ops("backup", "--wait")
        (taken,) = set(self.backups()) - before
        return taken

    def until_content(self, timeout_s: float = 180) -> None:
        """Until `ops status` has nothing to complain about."""
        deadline = time.monotonic() + timeout_s
        while (done := self.ops("status", check=False)).returncode:
            assert time.monotonic() < deadline, done.stdout + done.stderr
            time.sleep(1)

    def assert_protected(self) -> None:
        """`ops status` has nothing to complain about now."""
        done = self.ops("status", "--json", check=False)
        assert done.returncode == 0, done.stdout

    def barman(self, *words: str) -> str:
        """What Barman says to its own user on its own machine."""
        argv = ["runuser", "-u", "barman", "--", "barman", *words]
        return machine.execute(self.lab, "barman-lab", argv, timeout=300).stdout

    def _run(
        self, argv: Sequence[str], *, check: bool, answer: str = ""
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            argv,
            cwd=self.root,
            capture_output=True,
            text=True,
            check=False,
            timeout=UP_TIMEOUT_S,
            input=answer,
        )
        if check and done.returncode:
            pytest.fail(f"{' '.join(argv)[:200]}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done


@contextmanager
def standing(checkout: Path) -> Iterator[Stack]:
    """The stack of a checkout, up; afterwards it is gone with all its data."""
    made = Stack(checkout)
    try:
        made.lab_command("up")
        yield made
    finally:
        made.lab_command("down", "--yes-delete-data", check=False)
